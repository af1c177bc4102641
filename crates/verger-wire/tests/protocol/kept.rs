//! Files in the repository that are made from the types: held against them, and written by `cargo xtask docs`.

use std::path::Path;

use verger_wire::schema::Pack;

use crate::page::page;

/// Set by `cargo xtask docs`: write, do not judge.
const WRITE: &str = "VERGER_WRITE_DOCS";

#[track_caller]
fn check(path: &str, now: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(&file, now).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let Some((line, (was, is))) = (1..).zip(lines(&kept).zip(lines(now))).find(|(_, (was, is))| was != is)
    else {
        return;
    };
    panic!("{path}:{line} is stale: run `cargo xtask docs`\n  it says: {was}\n   types: {is}");
}

/// The lines of a text and a mark of its end, so that a text is not the same as its beginning.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().chain(["(end)"])
}

#[test]
fn docs_protocol_md_says_what_the_types_say() {
    check("../../docs/protocol.md", &page());
}

#[test]
fn the_schema_in_the_program_is_that_of_the_types() {
    check("schema.json", &Pack::of_types().text());
    if std::env::var_os(WRITE).is_none() {
        assert_eq!(Pack::kept(), Pack::of_types());
    }
}
