//! A server's first words: where it serves, in Verger's words and in the peer's, and no other address.

use std::path::Path;

use verger_testkit::{Home, Launch, LeakGuard};

fn address(says: &str) -> String {
    let guard = LeakGuard::new();
    let home = Home::new().expect("a temporary folder and a port");
    let script = format!("printf '%b' '{says}' >&2; exec sleep 60");
    let daemon = Launch::new(Path::new("sh"), &home, &["-c", &script]).start().expect("it says where");
    let address = daemon.address().to_owned();
    daemon.kill();
    drop(home);
    guard.finish();
    address
}

#[test]
fn it_is_where_verger_says() {
    let says = r"warning: ws://127.0.0.1:1 is no address of mine\nverger 0.1.0 app-server listens on ws://127.0.0.1:2\n";
    assert_eq!(address(says), "127.0.0.1:2");
}

#[test]
fn it_is_where_the_peer_says() {
    let says = r"codex app-server (WebSockets)\n  listening on: ws://127.0.0.1:3\n  readyz: http://127.0.0.1:3/readyz\n";
    assert_eq!(address(says), "127.0.0.1:3");
}
