//! `verger schema`: what it writes, what it replaces, and what it leaves alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn schema(out: &Path) -> Output {
    #[expect(clippy::disallowed_methods, reason = "a program that ends by itself; `output` waits for it")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_verger"));
    command.arg("schema").arg("--out").arg(out).output().unwrap()
}

#[track_caller]
fn written(out: &Path) -> BTreeMap<PathBuf, String> {
    let done = schema(out);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    files(out)
}

/// Every file below `folder`, by its path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn files_are_where_tools_for_the_peer_look() {
    let home = tempfile::tempdir().unwrap();
    let files = written(&home.path().join("made/for/it"));
    for path in [
        "json/codex_app_server_protocol.v2.schemas.json",
        "json/ClientRequest.json",
        "json/v1/InitializeParams.json",
        "json/v2/ThreadArchiveParams.json",
        "json/v2/ThreadArchiveResponse.json",
        "json/v2/TurnCompletedNotification.json",
        "json/McpServerElicitationRequestParams.json",
        "typescript/index.ts",
        "typescript/ClientRequest.ts",
        "typescript/v2/index.ts",
        "typescript/v2/ThreadStartParams.ts",
    ] {
        assert!(files.contains_key(Path::new(path)), "{path} is missing");
    }
}

#[test]
fn a_second_run_replaces_what_the_first_one_left() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path();
    let first = written(out);
    // A type that this version does not have, from a run of another one; and a file that was changed.
    let gone = out.join("typescript/v2/Gone.ts");
    std::fs::copy(out.join("typescript/v2/Turn.ts"), &gone).unwrap();
    let changed = out.join("json/RequestId.json");
    let text = std::fs::read_to_string(&changed).unwrap();
    std::fs::write(&changed, text.replace("integer", "number")).unwrap();
    // Beside the two folders, everything is the user's.
    std::fs::write(out.join("README.md"), "mine").unwrap();
    let mut second = written(out);
    assert_eq!(second.remove(Path::new("README.md")).as_deref(), Some("mine"));
    assert_eq!(second.keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
    assert!(second == first, "a file was not replaced");
}

#[test]
fn a_file_that_is_not_ours_is_left_alone_and_named() {
    let home = tempfile::tempdir().unwrap();
    let mine = home.path().join("typescript/v2/Turn.ts");
    std::fs::create_dir_all(mine.parent().unwrap()).unwrap();
    std::fs::write(&mine, "export type Turn = never;").unwrap();
    let before = files(home.path());
    let refused = schema(home.path());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(said.contains(mine.to_str().unwrap()) && said.contains("another --out"), "{said}");
    assert_eq!(files(home.path()), before, "something was written");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = schema(&file);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains(file.to_str().unwrap()), "{said}");
}
