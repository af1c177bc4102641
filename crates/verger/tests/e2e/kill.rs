//! The server ends, by KILL, TERM or INT, while threads own live helper trees: no process of theirs stays.

use std::time::Duration;

use rustix::process::Signal;

use crate::stage::{SHAPES, Stage, touch};

const TREES: usize = 3;

/// KILL is not orderly: nobody gets time to tidy up. Room for a busy machine only.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn with_trees(shape: &str) -> (Stage, verger_testkit::Client) {
    let stage = Stage::lazy(&[shape]);
    let client = stage.client("client").await;
    for _ in 0..TREES {
        let thread = stage.thread(&client).await;
        touch(&client, &thread).await;
    }
    (stage, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn killed_servers_leave_nothing() {
    for shape in SHAPES {
        let (mut stage, _client) = with_trees(shape).await;
        let helpers = stage.helpers();
        assert!(helpers.len() >= TREES, "{shape}: {} processes of {TREES} trees", helpers.len());
        stage.daemon.signal(Signal::KILL);
        helpers.wait(AT_ONCE).unwrap_or_else(|alive| panic!("{shape}: {alive:?} survive"));
        stage.daemon.wait(AT_ONCE);
        stage.assert_no_helper();
        stage.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn term_ends_every_tree_before_the_server() {
    ends_before_the_server(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn int_ends_every_tree_before_the_server() {
    ends_before_the_server(Signal::INT).await;
}

async fn ends_before_the_server(signal: Signal) {
    for shape in SHAPES {
        let (mut stage, _client) = with_trees(shape).await;
        let helpers = stage.helpers();
        assert!(helpers.len() >= TREES, "{shape}: {} processes of {TREES} trees", helpers.len());
        stage.daemon.signal(signal);
        let status = stage.daemon.wait(Duration::from_secs(10));
        assert_eq!(helpers.alive(), [0; 0], "{shape}: alive when the server had exited");
        assert!(status.success(), "{shape}: {status}");
        stage.assert_no_helper();
        stage.end();
    }
}
