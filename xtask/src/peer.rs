//! The peer as judge: what Verger says, held against the schema and the words of the program whose protocol it speaks.

use crate::error::Error;
use crate::house::{House, PEER_FOLDER};
use crate::report::Outcome;
use crate::run::{cargo, program, run};
use crate::rust_tests;
use crate::tools::{has_nextest, has_peer, has_python};

/// The judges' scripts.
const SCRIPTS: &str = "tests/peer";
/// Where Verger differs on purpose.
const DIFFERENCES: &str = "docs/peer-differences.toml";

/// Runs the end-to-end tests with all that travels recorded, and holds every message against the peer's JSON Schema.
pub(crate) fn schema(house: &House) -> Result<Outcome, Error> {
    if let Some(skipped) = why_not(house)? {
        return Ok(skipped);
    }
    let schema = house.fresh("peer-schema")?;
    run(peer(house).args(["app-server", "generate-json-schema", "--experimental", "--out"]).arg(&schema))?;
    // A judge that has stopped seeing anything must not say that all is well.
    run(script(house).args(["-m", "unittest", "-q", "test_judge"]).env("PEER_SCHEMA", &schema))?;
    let recordings = house.fresh("peer-recordings")?;
    run(end_to_end_tests(house).env("VERGER_WIRE_LOG", &recordings))?;
    let differences = house.root.join(DIFFERENCES);
    run(script(house).arg("judge_schema.py").args([&schema, &recordings, &differences]))?;
    Ok(Outcome::passed())
}

/// Plays one script against the peer and against the built `verger`, and compares what their clients hear.
pub(crate) fn replay(house: &House) -> Result<Outcome, Error> {
    if let Some(skipped) = why_not(house)? {
        return Ok(skipped);
    }
    rust_tests::build(house)?;
    let stage = house.root.join("tests/stage");
    run(script(house).args(["-m", "unittest", "-q", "test_replay"]).env("PYTHONPATH", &stage))?;
    run(script(house)
        .arg("replay.py")
        .args([house.peer(), house.built("verger"), house.root.join(DIFFERENCES)])
        .env("FAKE_MODEL", house.built("fake-model"))
        .env("PYTHONPATH", &stage))?;
    Ok(Outcome::passed())
}

/// What is missing here, if anything.
fn why_not(house: &House) -> Result<Option<Outcome>, Error> {
    let why = if !has_peer(house)? {
        "the peer was not fetched (npm @openai/codex)"
    } else if !has_python(house)? {
        "no Python environment"
    } else {
        return Ok(None);
    };
    Ok(Some(Outcome::Skipped(why.into())))
}

/// The peer's program, with a home of its own: it must not see the developer's.
fn peer(house: &House) -> std::process::Command {
    let mut command = program(house, house.peer());
    command.env("CODEX_HOME", house.target.join(PEER_FOLDER));
    command
}

/// Python, in the folder of the judges.
fn script(house: &House) -> std::process::Command {
    let mut command = program(house, house.python());
    command.current_dir(house.root.join(SCRIPTS));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command
}

/// The tests of `verger` from outside, without those that say the same few messages thousands of times. All of the
/// workspace is named, so that its crates have the features that the step `build` gave them.
fn end_to_end_tests(house: &House) -> std::process::Command {
    let mut tests = cargo(house);
    if has_nextest(house) {
        tests.args(["nextest", "run", "--workspace", "--locked", "--test", "e2e"]);
        tests.args(["--filterset", "not test(/^(matrix|storms)::/)"]);
    } else {
        tests.args(["test", "--workspace", "--locked", "--test", "e2e", "--", "--test-threads", "1"]);
        tests.args(["--skip", "matrix::", "--skip", "storms::"]);
    }
    tests
}
