//! The pages of `docs/` that are made of the code's own comments and types. A test beside each generator fails when its page
//! is stale.

use crate::error::Error;
use crate::house::House;
use crate::run::{cargo, read};

/// Each page, and the example that prints it: the package, then the example's name.
const PAGES: &[(&str, &str, &str)] = &[("config.md", "verger-server", "config-reference")];

/// Writes every page anew.
pub(crate) fn docs(house: &House) -> Result<(), Error> {
    for (page, package, example) in PAGES {
        let text =
            read(cargo(house).args(["run", "--quiet", "--locked", "-p", package, "--example", example]))?;
        let path = house.root.join("docs").join(page);
        std::fs::write(&path, text + "\n").map_err(Error::file(&path))?;
        println!("docs/{page}");
    }
    Ok(())
}
