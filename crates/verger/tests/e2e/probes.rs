//! `mcpServer/resource/read` without a thread: a helper for one request, gone before the answer, in every shape.

use serde_json::json;

use crate::stage::{SHAPES, STUBBORN, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resource_is_read_and_every_shape_of_helper_gone_before_the_answer() {
    for shape in SHAPES {
        let stage = Stage::lazy(&[shape]);
        let client = stage.client("client").await;
        let read = json!({ "server": "helper", "uri": "test://hello" });
        let answer = client.call("mcpServer/resource/read", read).await;
        stage.assert_no_helper();
        assert_eq!(answer["contents"][0]["text"], "hello", "{shape}");
        let missing = json!({ "server": "helper", "uri": "test://nope" });
        let (code, message) = client.refused("mcpServer/resource/read", missing).await;
        stage.assert_no_helper();
        // The helper's own error, as it is.
        assert_eq!((code, message.as_str()), (-32002, "resource not found"), "{shape}");
        assert_eq!(client.notes(0, "thread/started").len(), 0, "no thread was made for it");
        client.close().await;
        stage.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_helper_that_does_not_start_is_named() {
    let stage = Stage::lazy(&["reject-init"]);
    let client = stage.client("client").await;
    let read = json!({ "server": "helper", "uri": "test://hello" });
    let (code, message) = client.refused("mcpServer/resource/read", read).await;
    stage.assert_no_helper();
    assert_eq!(code, -32603);
    assert!(message.contains("helper") && message.contains("not in the mood"), "{message}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_leaves_takes_its_probe_along() {
    let stage = Stage::lazy(&["never-init"]);
    let client = stage.client("client").await;
    let read = json!({ "server": "helper", "uri": "test://hello" });
    client.begin("mcpServer/resource/read", read).await.expect("connected");
    stage.home.wait_for_helper_event("start", 1);
    let helpers = stage.helpers();
    client.close().await;
    helpers.wait(STUBBORN).expect("nobody wants it any more");
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn probes_at_once_do_not_wait_for_each_other() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let from = client.mark();
    let mut asked = Vec::new();
    for _ in 0..8 {
        let read = json!({ "server": "helper", "uri": "test://hello" });
        asked.push(client.begin("mcpServer/resource/read", read).await.expect("connected"));
    }
    for id in asked {
        let answer = client.answer(from, id, "a resource").await.expect("an answer");
        assert_eq!(answer["contents"][0]["text"], "hello");
    }
    stage.assert_no_helper();
    assert_eq!(stage.home.helper_events("start").len(), 8, "each its own");
    client.close().await;
    stage.finish();
}
