//! What `test` needs and a machine may lack: fetched below `target/`, once, and never anywhere else.
//!
//! A registry out of reach is no failure: the step is skipped by name, and so is what would have used it.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::house::{GATEWAY, House, PEER_FOLDER, PYTHON_CLIENTS, read_if_there};
use crate::report::Outcome;
use crate::run::{cargo, is_there, program, run};

/// The test runner that starts each test in a process of its own.
const NEXTEST: &str = "cargo-nextest@0.9.143";
/// The protocol's own example server, as most people start theirs: through npx.
pub(crate) const EVERYTHING: &str = "@modelcontextprotocol/server-everything@2026.8.31";
/// One that people have for their agents' notes, started in the same way.
pub(crate) const MEMORY: &str = "@modelcontextprotocol/server-memory@2026.8.31";
/// The peer: the program whose protocol Verger speaks, in the version that docs/peer-differences.toml is about.
const PEER: &str = "@openai/codex@0.169.0";
const REQUIREMENTS: &str = "xtask/python-requirements.txt";
const CLIENTS: &str = "xtask/python-clients.txt";
const GATEWAY_LIST: &str = "xtask/python-gateway.txt";
/// What was fetched into a folder, in words that change with what is wanted.
const NOTE: &str = "fetched.txt";

/// cargo-nextest: the machine's, or one built below `target/tools`.
pub(crate) fn nextest(house: &House) -> Result<Outcome, Error> {
    if has_nextest(house) {
        return Ok(Outcome::passed());
    }
    let built = run(cargo(house)
        .args(["install", "--locked", NEXTEST, "--no-default-features", "--features", "default-no-update"])
        .arg("--root")
        .arg(house.tools())
        // Its crates are not ours: kept apart, they can be thrown away with the tool.
        .env("CARGO_TARGET_DIR", house.tools().join("build")));
    Ok(match built {
        Ok(()) => Outcome::Passed("built into target/tools".into()),
        Err(error) => Outcome::Skipped(format!("tests run under `cargo test` instead: {error}")),
    })
}

/// Whether `cargo nextest` works here.
pub(crate) fn has_nextest(house: &House) -> bool {
    is_there(house, "cargo-nextest")
}

/// A Python environment with mcp-server-time, the MCP SDK and what the acceptance scripts import.
pub(crate) fn python(house: &House) -> Result<Outcome, Error> {
    if has_python(house)? {
        return Ok(Outcome::passed());
    }
    if !is_there(house, "python3") {
        return Ok(Outcome::Skipped("no python3 on PATH".into()));
    }
    let made = house.fresh("venv").and_then(|venv| {
        run(program(house, "python3").args(["-m", "venv"]).arg(&venv))?;
        run(pip_install(house, house.python()).args(["--requirement", REQUIREMENTS]))?;
        note(&venv, &wanted(house, REQUIREMENTS)?)
    });
    Ok(made.map_or_else(|error| Outcome::Skipped(error.to_string()), |()| Outcome::passed()))
}

/// Whether that environment is there, with what the requirements ask today.
pub(crate) fn has_python(house: &House) -> Result<bool, Error> {
    Ok(house.python().exists() && is_noted(&house.venv(), &wanted(house, REQUIREMENTS)?)?)
}

/// Clients of the protocol, in a folder of their own: they come without what they say that they need.
pub(crate) fn clients(house: &House) -> Result<Outcome, Error> {
    if has_clients(house)? {
        return Ok(Outcome::passed());
    }
    if !has_python(house)? {
        return Ok(Outcome::Skipped("no Python environment".into()));
    }
    house.fresh(PYTHON_CLIENTS)?;
    let folder = house.python_clients();
    let made = run(pip_install(house, house.python())
        .args(["--no-deps", "--requirement", CLIENTS, "--target"])
        .arg(&folder))
    .and_then(|()| note(&folder, &wanted(house, CLIENTS)?));
    Ok(made.map_or_else(|error| Outcome::Skipped(error.to_string()), |()| Outcome::passed()))
}

/// Whether they are there, in the versions asked for today.
pub(crate) fn has_clients(house: &House) -> Result<bool, Error> {
    is_noted(&house.python_clients(), &wanted(house, CLIENTS)?)
}

/// A gateway to models, in an environment of its own: its pins are not those of the rest. About 280 MB.
pub(crate) fn gateway(house: &House) -> Result<Outcome, Error> {
    if has_gateway(house)? {
        return Ok(Outcome::passed());
    }
    if !is_there(house, "python3") {
        return Ok(Outcome::Skipped("no python3 on PATH".into()));
    }
    let made = house.fresh(GATEWAY).and_then(|folder| {
        run(program(house, "python3").args(["-m", "venv"]).arg(&folder))?;
        run(pip_install(house, house.gateway_python()).args(["--no-deps", "--requirement", GATEWAY_LIST]))?;
        note(&folder, &wanted(house, GATEWAY_LIST)?)
    });
    Ok(made.map_or_else(|error| Outcome::Skipped(error.to_string()), |()| Outcome::passed()))
}

/// Whether it is there, in the versions asked for today.
pub(crate) fn has_gateway(house: &House) -> Result<bool, Error> {
    is_noted(&house.target.join(GATEWAY), &wanted(house, GATEWAY_LIST)?)
}

fn pip_install(house: &House, python: PathBuf) -> std::process::Command {
    let mut pip = program(house, python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.env("PIP_CACHE_DIR", house.target.join("pip-cache"));
    pip
}

/// The text of a list of requirements.
fn wanted(house: &House, list: &str) -> Result<String, Error> {
    let file = house.root.join(list);
    std::fs::read_to_string(&file).map_err(Error::file(file))
}

/// server-everything and server-memory, with everything they are made of.
pub(crate) fn npm(house: &House) -> Result<Outcome, Error> {
    install(house, "npm", &[EVERYTHING, MEMORY])
}

/// Whether they are there, in the versions asked for today.
pub(crate) fn has_npm(house: &House) -> Result<bool, Error> {
    is_noted(&house.npm(), &[EVERYTHING, MEMORY].join(" "))
}

/// The peer's program, some hundreds of megabytes.
pub(crate) fn peer(house: &House) -> Result<Outcome, Error> {
    install(house, PEER_FOLDER, &[PEER])
}

/// Whether it is there, in the version asked for today.
pub(crate) fn has_peer(house: &House) -> Result<bool, Error> {
    is_noted(&house.target.join(PEER_FOLDER), PEER)
}

/// npm packages and all that they need, in a folder of this name below `target`.
fn install(house: &House, folder: &str, packages: &[&str]) -> Result<Outcome, Error> {
    let wanted = packages.join(" ");
    if is_noted(&house.target.join(folder), &wanted)? {
        return Ok(Outcome::passed());
    }
    if !is_there(house, "npm") || !is_there(house, "npx") {
        return Ok(Outcome::Skipped("no npm and npx on PATH".into()));
    }
    let made = house.fresh(folder).and_then(|folder| {
        run(program(house, "npm")
            .args(["install", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel", "error"])
            .arg("--prefix")
            .arg(&folder)
            .arg("--cache")
            .arg(house.target.join("npm-cache"))
            .args(packages))?;
        note(&folder, &wanted)
    });
    Ok(made.map_or_else(|error| Outcome::Skipped(error.to_string()), |()| Outcome::passed()))
}

/// Written last, so that a fetch that broke off half-way does not count as done.
fn note(folder: &Path, what: &str) -> Result<(), Error> {
    let note = folder.join(NOTE);
    std::fs::write(&note, what).map_err(Error::file(note))
}

fn is_noted(folder: &Path, what: &str) -> Result<bool, Error> {
    Ok(read_if_there(&folder.join(NOTE))?.is_some_and(|noted| noted == what))
}
