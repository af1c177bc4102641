//! Clients that other people wrote for the peer, unchanged, with `verger` in the peer's place.

use std::path::Path;

use crate::error::Error;
use crate::house::House;
use crate::report::Outcome;
use crate::run::{program, run};
use crate::rust_tests;
use crate::tools::{has_clients, has_peer, has_python};

const TESTS: [&str; 2] = ["test_openai_codex", "test_codex_app_server_client"];

/// A client waits for an answer as long as it takes. All of the tests end in less than a minute.
const LIMIT: &str = "5m";

/// Runs `tests/clients` against the built `verger`; and against the peer, so that nothing is asked that it does not do.
pub(crate) fn tests(house: &House) -> Result<Outcome, Error> {
    if !has_python(house)? || !has_clients(house)? {
        return Ok(Outcome::Skipped("the clients were not fetched (PyPI)".into()));
    }
    rust_tests::build(house)?;
    against(house, "verger", &house.built("verger"))?;
    if has_peer(house)? {
        against(house, "codex", &house.peer())?;
        return Ok(Outcome::passed());
    }
    Ok(Outcome::Passed("not against the peer, which was not fetched (npm)".into()))
}

fn against(house: &House, kind: &str, server: &Path) -> Result<(), Error> {
    let path = std::env::join_paths([house.root.join("tests/stage"), house.python_clients()]);
    run(program(house, "timeout")
        .args(["--kill-after", "10s", LIMIT])
        .arg(house.python())
        // The clients leave pipes to the collector; that is theirs to mend.
        .args(["-W", "ignore::ResourceWarning", "-m", "unittest"])
        .args(TESTS)
        .current_dir(house.root.join("tests/clients"))
        .env("SERVER", server)
        .env("SERVER_KIND", kind)
        .env("FAKE_MODEL", house.built("fake-model"))
        .env("PYTHONPATH", path.map_err(|_| Error::Colon { folder: house.root.clone() })?)
        .env("PYTHONDONTWRITEBYTECODE", "1"))
}
