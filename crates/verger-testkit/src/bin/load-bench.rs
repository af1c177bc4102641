//! The bench by hand: measures one server, or two in turns, and prints the table. `cargo xtask bench` builds everything
//! and runs this.

use std::path::PathBuf;
use std::process::ExitCode;

use verger_testkit::ServerEntry;
use verger_testkit::load::bench::{Bench, Flavor, Sizes, Step, Subject};

const USAGE: &str = "\
usage: load-bench --server PATH [--peer PATH] [--runs N] [--helper-script FILE] [--out STEM] [STEP]...

  --server PATH         the program that this is about
  --peer PATH           the program that it is compared with: an app-server of the same protocol
  --runs N              how often everything is done, 1 to 50 [default: 5]
  --helper-script FILE  the MCP server of tool calls, for python3 [default: bad-helper beside this program]
  --out STEM            writes STEM.json and STEM.md too
";

/// What the command line asks for.
struct Asked {
    bench: Bench,
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("load-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every step has its figures.
fn measure() -> Result<bool, Box<dyn std::error::Error>> {
    let Asked { bench, out } = asked(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(bench.run(|what| eprintln!("{what}")));
    println!("{report}");
    if let Some(stem) = out {
        std::fs::write(stem.with_extension("json"), format!("{:#}\n", report.to_json()))?;
        std::fs::write(stem.with_extension("md"), format!("{report}\n"))?;
    }
    Ok(report.skipped().is_empty())
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, Box<dyn std::error::Error>> {
    let (mut server, mut peer, mut script, mut out) = (None, None, None, None);
    let (mut runs, mut steps) = (5, Vec::new());
    while let Some(word) = words.next() {
        // Absolute, because servers run in folders of their own.
        let mut path = || -> Result<PathBuf, Box<dyn std::error::Error>> {
            let value = words.next().ok_or(format!("{word} needs a value\n\n{USAGE}"))?;
            Ok(std::path::absolute(value)?)
        };
        match word.as_str() {
            "--server" => server = Some(path()?),
            "--peer" => peer = Some(path()?),
            "--helper-script" => script = Some(path()?),
            "--out" => out = Some(path()?),
            "--runs" => {
                let number = words.next().and_then(|number| number.parse().ok());
                let number = number.filter(|number| (1..=50).contains(number));
                runs = number.ok_or(format!("--runs needs a number from 1 to 50\n\n{USAGE}"))?;
            }
            step if !step.starts_with('-') => steps.push(step.parse::<Step>()?),
            other => return Err(format!("'{other}': not understood\n\n{USAGE}").into()),
        }
    }
    let server = server.ok_or(format!("no --server\n\n{USAGE}"))?;
    let mut subjects = vec![Subject { name: "verger".into(), program: server, flavor: Flavor::Verger }];
    let mut notes = Vec::new();
    match peer {
        Some(program) => subjects.push(Subject { name: "peer".into(), program, flavor: Flavor::Peer }),
        None => notes.push("no peer beside it: no --peer PATH".into()),
    }
    let helper = match script {
        Some(script) => {
            notes.push("tool calls: a Python helper that uses the standard library alone".into());
            let words = [script.to_str().ok_or("the script's path is not UTF-8")?, "--mode", "good"];
            ServerEntry::new("python3", words.map(str::to_owned))
        }
        None => {
            notes.push("tool calls: bad-helper at its best, a Rust program; no --helper-script".into());
            let beside = std::env::current_exe()?.with_file_name("bad-helper");
            let program = beside.to_str().ok_or("the path of bad-helper is not UTF-8")?;
            ServerEntry::new(program, ["--mode", "polite"].map(str::to_owned))
        }
    };
    if steps.is_empty() {
        steps = Step::ALL.iter().copied().filter(|step| step.is_usual()).collect();
    }
    Ok(Asked { bench: Bench { subjects, steps, runs, sizes: Sizes::FULL, helper, notes }, out })
}
