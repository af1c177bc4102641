//! Lists of threads, loaded threads and servers: orders, filters, pages.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, turn};

fn ids(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().expect("a page");
    data.iter().map(|thread| thread["id"].as_str().expect("an id").to_owned()).collect()
}

async fn list(client: &Client, params: Value) -> Value {
    client.call("thread/list", params).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn threads_are_listed_in_every_order_and_in_pages_both_ways() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let mut threads = Vec::new();
    for _ in 0..5 {
        threads.push(stage.saved(&client).await);
    }
    // Ids sort as threads were created, also within one second; speaking in the first moves it by what has changed.
    turn(&client, &threads[0], "again").await;
    let newest_first: Vec<String> = threads.iter().rev().cloned().collect();
    assert_eq!(ids(&list(&client, json!({})).await), newest_first);
    assert_eq!(ids(&list(&client, json!({ "sortDirection": "asc" })).await), threads);
    for key in ["created_at", "updated_at", "recency_at"] {
        let whole = ids(&list(&client, json!({ "sortKey": key })).await);
        for limit in [1, 2, 4] {
            let mut params = json!({ "sortKey": key, "limit": limit });
            let (mut walked, mut last) = (Vec::new(), Value::Null);
            loop {
                let page = list(&client, params.clone()).await;
                walked.extend(ids(&page));
                if page["nextCursor"].is_null() {
                    break;
                }
                params["cursor"] = page["nextCursor"].clone();
                last = page["backwardsCursor"].clone();
            }
            assert_eq!(walked, whole, "{key}, {limit} a page");
            let back = json!({ "sortKey": key, "cursor": last, "sortDirection": "asc" });
            let back = ids(&list(&client, back).await);
            let newer: Vec<_> = whole.iter().rev().filter(|id| back.contains(id)).cloned().collect();
            assert_eq!(back, newer, "{key}, turned round: in order");
        }
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn recency_moves_when_the_user_speaks_and_not_with_labels() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let shown = list(&client, json!({})).await["data"][0].clone();
    let (created, recency, updated) = (&shown["createdAt"], &shown["recencyAt"], &shown["updatedAt"]);
    assert!(created.as_i64() <= recency.as_i64() && recency.as_i64() <= updated.as_i64(), "{shown}");
    client.call("thread/name/set", json!({ "threadId": thread, "name": "n" })).await;
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    let after = list(&client, json!({})).await["data"][0].clone();
    assert_eq!((&after["recencyAt"], &after["updatedAt"]), (recency, updated));
    assert_eq!(after["path"], Value::Null, "the store is a database");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn filters_narrow_the_list() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let (here, there) = (stage.home.work(), stage.home.path().to_owned());
    let mut threads = Vec::new();
    for (cwd, provider, text) in
        [(&here, "mock", "About apples"), (&there, "mock", "About pears"), (&here, "offline", "hi")]
    {
        let params = json!({ "cwd": cwd, "modelProvider": provider });
        let started = client.call("thread/start", params).await;
        let id = started["thread"]["id"].as_str().expect("an id").to_owned();
        turn(&client, &id, text).await;
        threads.push(id);
    }
    client.call("thread/name/set", json!({ "threadId": threads[2], "name": "Pears, too" })).await;
    let put_away = stage.saved(&client).await;
    client.call("thread/archive", json!({ "threadId": put_away })).await;
    let [a, b, c] = [0, 1, 2].map(|n| threads[n].clone());
    let cases = [
        (json!({}), vec![&c, &b, &a]),
        (json!({ "archived": true }), vec![&put_away]),
        (json!({ "cwd": there }), vec![&b]),
        (json!({ "cwd": [here, there] }), vec![&c, &b, &a]),
        (json!({ "cwd": [] }), vec![]),
        (json!({ "searchTerm": "pears" }), vec![&c, &b]),
        (json!({ "modelProviders": ["offline"] }), vec![&c]),
        (json!({ "modelProviders": [] }), vec![&c, &b, &a]),
        (json!({ "sourceKinds": [] }), vec![&c, &b, &a]),
        (json!({ "sourceKinds": ["cli", "vscode"] }), vec![&c, &b, &a]),
        (json!({ "sourceKinds": ["exec"] }), vec![]),
        (json!({ "excludedThreadIds": [c], "limit": 1 }), vec![&b]),
        (json!({ "sectionId": "x" }), vec![]),
        (json!({ "sectionId": null, "useStateDbOnly": true, "limit": 0 }), vec![&c]),
    ];
    for (params, expected) in cases {
        let listed = ids(&list(&client, params.clone()).await);
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{params}");
    }
    let refused = [
        (json!({ "originators": ["x"] }), "originators"),
        (json!({ "excludedThreadIds": [a, "x"] }), "excludedThreadIds[1]"),
        (json!({ "excludedThreadIds": vec![&a; 101] }), "excludedThreadIds"),
        (json!({ "sortKey": "section_position" }), "sortKey"),
    ];
    for (params, field) in refused {
        let (code, message) = client.refused("thread/list", params).await;
        assert_eq!(code, -32602, "{message}");
        assert!(message.starts_with(&format!("Invalid params: {field}: ")), "{message}");
    }
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn loaded_threads_and_servers_come_in_pages() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["polite"]);
        home.config().server("alpha", &helper).server("beta", &helper).server("gamma", &helper)
    });
    let client = stage.client("client").await;
    let mut threads = Vec::new();
    for _ in 0..3 {
        threads.push(stage.thread(&client).await);
    }
    let first = client.call("thread/loaded/list", json!({ "limit": 2 })).await;
    assert_eq!(first["data"], json!(threads[..2]));
    // Goes on behind the last one, also if that one has gone meanwhile.
    client.call("thread/unsubscribe", json!({ "threadId": threads[1] })).await;
    let second = client.call("thread/loaded/list", json!({ "cursor": first["nextCursor"] })).await;
    assert_eq!(second, json!({ "data": [threads[2]], "nextCursor": null }));

    let names = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let servers = async |params: Value| client.call("mcpServerStatus/list", params).await;
    let first = servers(json!({ "limit": 2 })).await;
    assert_eq!(names(&first), ["alpha", "beta"]);
    let second = servers(json!({ "limit": 2, "cursor": first["nextCursor"] })).await;
    assert_eq!((names(&second), &second["nextCursor"]), (vec!["gamma".to_owned()], &Value::Null));
    assert_eq!(names(&servers(json!({})).await), ["alpha", "beta", "gamma"]);
    assert_eq!(names(&servers(json!({ "serverName": "beta", "limit": 5 })).await), ["beta"]);
    let (_, message) = client.refused("mcpServerStatus/list", json!({ "cursor": "zz" })).await;
    assert_eq!(message, "invalid cursor: zz");
    stage.assert_no_helper();
    client.close().await;
    stage.finish();
}
