//! Where a key comes from, and where it never goes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::wires::act::{Act, Wire, write_key};

const KEY: &str = "sk-test-0123456789";

pub(in crate::wires) async fn a_key_from_a_file(wire: &Wire<'_>) {
    let act = Act::with_key_file(wire, KEY).await;
    act.turn("hello").await.answers("ok");
    assert_eq!(act.asked().header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    // A new key needs no restart.
    write_key(&act.key_file(), "sk-another");
    act.turn("hello again").await.answers("ok");
    assert_eq!(act.asked().header("authorization"), Some("Bearer sk-another"));
    act.end().await;
}

pub(in crate::wires) async fn a_key_that_is_wrong_is_told_nowhere(wire: &Wire<'_>) {
    let act = Act::with_key_file(wire, KEY).await;
    let told = act.turn("FAIL status=401 repeat=authorization").await;
    let message = told.fails(&json!({ "httpConnectionFailed": { "httpStatusCode": 401 } }));
    assert!(message.ends_with("no user has Bearer [key]"), "{message}");
    act.turn("FAIL status=429 retry_after=1 repeat=authorization")
        .await
        .fails(&json!({ "responseTooManyFailedAttempts": { "httpStatusCode": 429 } }));
    let shown = act.client.call("config/read", json!({})).await;
    assert!(!shown.to_string().contains(KEY));
    assert!(!act.client.since(0).iter().any(|message| message.to_string().contains(KEY)), "not on the wire");
    assert!(!act.stage.daemon.stderr().contains(KEY), "not in the log");
    let kept = holders(act.stage.home.path(), KEY.as_bytes());
    assert_eq!(kept, [act.key_file()], "in its own file alone");
    act.end().await;
}

pub(in crate::wires) async fn a_key_that_others_can_read(wire: &Wire<'_>) {
    let act = Act::with_key_file(wire, KEY).await;
    let path = act.key_file();
    let others_may = |mode| {
        let mode = Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("it is this user's");
    };
    others_may(0o644);
    let told = act.turn("hello").await;
    let message = told.fails(&json!("other"));
    assert!(message.ends_with(&format!("run `chmod 600 {}`", path.display())), "{message}");
    assert_eq!(act.times_asked(), 0, "nothing was sent");
    others_may(0o600);
    act.goes_on().await;
    act.end().await;
}

/// Files below `folder` that hold these bytes.
fn holders(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the home") {
        let entry = entry.expect("a folder of the home");
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            found.extend(holders(&entry.path(), bytes));
        } else if kind.is_file() {
            let content = std::fs::read(entry.path()).expect("a file of the home");
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(entry.path());
            }
        }
    }
    found
}
