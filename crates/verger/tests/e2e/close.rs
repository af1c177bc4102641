//! Every way to end a loaded thread or its helper, with each shape of helper. Archive, delete and reload are answered
//! only once the helpers are gone (K2).

use serde_json::json;
use verger_testkit::Client;

use crate::stage::{SHAPES, STUBBORN, Stage, loaded, touch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Unsubscribe,
    Disconnect,
    Archive,
    Delete,
    /// A reload without the server.
    Removal,
    /// A reload with another command for it.
    Change,
}

impl By {
    fn closes_the_thread(self) -> bool {
        !matches!(self, Self::Removal | Self::Change)
    }

    fn answers_when_gone(self) -> bool {
        !matches!(self, Self::Unsubscribe | Self::Disconnect)
    }
}

async fn do_it(stage: &Stage, by: By, shape: &str, client: Client, thread: &str) -> Option<Client> {
    let named = json!({ "threadId": thread });
    match by {
        By::Unsubscribe => client.call("thread/unsubscribe", named).await,
        By::Archive => client.call("thread/archive", named).await,
        By::Delete => client.call("thread/delete", named).await,
        By::Removal | By::Change => {
            let changed = stage.home.bad_helper(&[shape]).key("env", "{ CHANGED = \"1\" }");
            let config = match by {
                By::Change => stage.home.config().server("helper", &changed),
                _ => stage.home.config(),
            };
            stage.home.write_config(&config.text()).expect("the home is writable");
            client.call("config/mcpServer/reload", json!({})).await
        }
        By::Disconnect => {
            client.close().await;
            return None;
        }
    };
    Some(client)
}

async fn close_by(by: By) {
    for shape in SHAPES {
        let stage = Stage::lazy(&[shape]);
        let observer = stage.client("observer").await;
        let client = stage.client("client").await;
        let thread = stage.saved(&client).await;
        let pid = touch(&client, &thread).await;
        let (helpers, from) = (stage.helpers(), observer.mark());
        let client = do_it(&stage, by, shape, client, &thread).await;
        if by.answers_when_gone() {
            assert_eq!(helpers.alive(), [0; 0], "{by:?} of {shape}: answered while they were alive");
        }
        helpers.wait(STUBBORN).unwrap_or_else(|alive| panic!("{by:?} of {shape}: {alive:?} survive"));
        if by.closes_the_thread() {
            let told = match by {
                By::Archive => "thread/archived",
                By::Delete => "thread/deleted",
                _ => "thread/closed",
            };
            observer.note(from, told, |params| params["threadId"] == thread.as_str()).await;
            assert_eq!(loaded(&observer).await, [""; 0], "{by:?} of {shape}: still loaded");
            stage.assert_no_helper();
        } else {
            assert_eq!(
                loaded(&observer).await,
                [thread.as_str()],
                "{by:?} of {shape}: its client is still there"
            );
        }
        if let (By::Change, Some(client)) = (by, &client) {
            assert_ne!(
                touch(client, &thread).await,
                pid,
                "{shape}: the changed server answers from a new process"
            );
        }
        drop(client);
        stage.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unsubscribe_ends_every_shape() {
    close_by(By::Unsubscribe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn disconnect_ends_every_shape() {
    close_by(By::Disconnect).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn archive_answers_when_every_shape_is_gone() {
    close_by(By::Archive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn delete_answers_when_every_shape_is_gone() {
    close_by(By::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_without_the_server_answers_when_every_shape_is_gone() {
    close_by(By::Removal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_with_a_changed_server_answers_when_every_shape_is_gone() {
    close_by(By::Change).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_leaves_alone_what_did_not_change() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let pid = touch(&client, &thread).await;
    let more = stage.home.config().server("helper", &stage.home.bad_helper(&["polite"]));
    let more = more.server("other", &stage.home.bad_helper(&["stubborn"]).arg("--tag").arg("unused"));
    stage.home.write_config(&more.text()).unwrap();
    client.call("config/mcpServer/reload", json!({})).await;
    assert_eq!(touch(&client, &thread).await, pid);
    client.close().await;
    stage.finish();
}
