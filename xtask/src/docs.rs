//! What is made of the code's own comments and types, and kept in the repository: the pages of `docs/`, and the schema that
//! the program carries. A test beside each generator fails when its page is stale.

use crate::error::Error;
use crate::house::House;
use crate::run::{cargo, read, run};

/// Each page, and the example that prints it: the package, then the example's name.
const PAGES: &[(&str, &str, &str)] = &[("config.md", "verger-server", "config-reference")];

/// Tests that write what they otherwise judge, when `VERGER_WRITE_DOCS` is set: the package, then the test program.
/// verger-wire's are docs/protocol.md and its own schema.json.
const KEPT: &[(&str, &str)] = &[("verger-wire", "protocol")];

/// Writes every page anew.
pub(crate) fn docs(house: &House) -> Result<(), Error> {
    for (package, test) in KEPT {
        let mut writing = cargo(house);
        writing.args(["test", "--quiet", "--locked", "-p", package, "--test", test, "kept::"]);
        run(writing.env("VERGER_WRITE_DOCS", "1"))?;
    }
    for (page, package, example) in PAGES {
        let text =
            read(cargo(house).args(["run", "--quiet", "--locked", "-p", package, "--example", example]))?;
        let path = house.root.join("docs").join(page);
        std::fs::write(&path, text + "\n").map_err(Error::file(&path))?;
        println!("docs/{page}");
    }
    Ok(())
}
