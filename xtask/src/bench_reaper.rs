//! `bench reaper`: what custody costs against killing plainly; the table becomes a section of docs/bench.md.

use crate::error::Error;
use crate::house::House;
use crate::run::{cargo, program, read, run};

/// The example of verger-reaper that measures.
const EXAMPLE: &str = "measure-reaper";

/// Builds, measures, and adds a dated section to docs/bench.md. `words` may be `small`: a try, which is only printed.
pub(crate) fn bench_reaper(house: &House, words: &[&str]) -> Result<bool, Error> {
    let is_try = match words {
        [] => false,
        ["small"] => true,
        _ => return Err(Error::Usage(format!("bench reaper {}: only `small` may follow", words.join(" ")))),
    };
    // Shims are made of the program that is shipped, so it is built alone, as it is shipped.
    run(cargo(house).args(["build", "--release", "--locked", "--package", "verger"]))?;
    run(cargo(house)
        .args(["build", "--release", "--locked", "--package", "verger-reaper"])
        .args(["--example", EXAMPLE]))?;
    let release = house.target.join("release");
    let mut measure = program(house, release.join("examples").join(EXAMPLE));
    let report = read(measure.arg(release.join("verger")).args(words))?;
    println!("\n{report}");
    if is_try {
        return Ok(true);
    }
    let date = read(program(house, "date").args(["--utc", "+%F"]))?;
    let commit = read(program(house, "git").args(["describe", "--always", "--dirty"]))?;
    let kernel = read(program(house, "uname").arg("--kernel-release"))?;
    let page = house.root.join("docs/bench.md");
    let text = std::fs::read_to_string(&page).map_err(Error::file(&page))?;
    std::fs::write(&page, with_section(&text, &date, &commit, &kernel, &report))
        .map_err(Error::file(&page))?;
    println!("\nadded to docs/bench.md");
    Ok(true)
}

/// The page with one section more, at its end.
fn with_section(page: &str, date: &str, commit: &str, kernel: &str, report: &str) -> String {
    let page = page.trim_end();
    format!("{page}\n\n## Custody, {date}, {commit}\n\n{}\n- Linux {kernel}\n", report.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_and_none_is_lost() {
        let page = "# The bench\n\n## Custody, 2026-11-20, abc\n\nold\n";
        let after = with_section(page, "2026-11-21", "def", "6.18", "| what |\n\n- 2 cores");
        assert_eq!(
            after,
            "# The bench\n\n## Custody, 2026-11-20, abc\n\nold\n\n\
             ## Custody, 2026-11-21, def\n\n| what |\n\n- 2 cores\n- Linux 6.18\n"
        );
    }
}
