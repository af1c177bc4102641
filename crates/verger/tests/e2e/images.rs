//! Pictures as input: those on the web and those on the server's machine reach the model, and what cannot is said.

use serde_json::{Value, json};

use crate::stage::{Stage, ended};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nnot much of a picture";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn they_reach_the_model() {
    let mut stage = Stage::bare();
    std::fs::write(stage.home.work().join("here.png"), PNG).expect("the folder is writable");
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    let input = json!([
        { "type": "text", "text": "look", "text_elements": [] },
        { "type": "image", "url": "https://example.org/there.jpg", "detail": "low" },
        { "type": "image", "url": "data:image/gif;base64,R0lGODlh" },
        { "type": "localImage", "path": "here.png", "detail": "high" },
        { "type": "localImage", "path": "nowhere.png" },
    ]);
    let from = client.mark();
    let started = client.call("turn/start", json!({ "threadId": thread, "input": input })).await;
    let turn = started["turn"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(ended(&client, from, &turn).await["status"], "completed");
    let seen = |stage: &Stage| {
        let requests = stage.home.model().requests();
        requests.last().expect("it was asked").body["input"][0]["content"].clone()
    };
    let content = seen(&stage);
    let here = "data:image/png;base64,iVBORw0KGgpub3QgbXVjaCBvZiBhIHBpY3R1cmU=";
    assert_eq!(
        content[1],
        json!({ "type": "input_image", "image_url": "https://example.org/there.jpg", "detail": "low" })
    );
    assert_eq!(content[2], json!({ "type": "input_image", "image_url": "data:image/gif;base64,R0lGODlh" }));
    assert_eq!(content[3], json!({ "type": "input_image", "image_url": here, "detail": "high" }));
    let missing = content[4]["text"].as_str().expect("a text in its stead");
    assert!(missing.contains("nowhere.png") && missing.contains("No such file"), "{missing}");

    // The log has what the client sent, not the picture's bytes.
    drop(client);
    stage.restart();
    let client = stage.client("after").await;
    let resumed = crate::stage::resume(&client, &thread).await;
    let kept: Vec<Value> =
        resumed["thread"]["turns"][0]["items"][0]["content"].as_array().expect("content").clone();
    assert_eq!(kept[3], json!({ "type": "localImage", "path": "here.png", "detail": "high" }));
    crate::stage::turn(&client, &thread, "and again").await;
    assert_eq!(seen(&stage)[3]["image_url"], here, "later answers see it too");
    client.close().await;
    stage.finish();
}
