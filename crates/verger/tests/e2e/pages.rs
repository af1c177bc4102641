//! Turns and items page by page, in both directions, while the thread grows.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{Stage, begin_turn, ended, turn};

/// What a page holds, by `what` of each entry.
fn column(page: &Value, what: impl Fn(&Value) -> &Value) -> Vec<String> {
    let data = page["data"].as_array().expect("a page");
    data.iter().map(|entry| what(entry).as_str().expect("a text").to_owned()).collect()
}

fn ids(page: &Value) -> Vec<String> {
    column(page, |turn| &turn["id"])
}

fn items(page: &Value) -> Vec<String> {
    column(page, |entry| &entry["item"]["id"])
}

fn params(thread: &str, more: &Value) -> Value {
    let mut params = json!({ "threadId": thread });
    for (key, value) in more.as_object().expect("an object") {
        params[key] = value.clone();
    }
    params
}

async fn turns(client: &Client, thread: &str, more: Value) -> Value {
    client.call("thread/turns/list", params(thread, &more)).await
}

async fn items_of(client: &Client, thread: &str, more: Value) -> Value {
    client.call("thread/items/list", params(thread, &more)).await
}

/// Every entry, page after page.
async fn walk(client: &Client, method: &str, thread: &str, more: Value) -> Vec<Value> {
    let (mut all, mut more) = (Vec::new(), more);
    loop {
        let page = client.call(method, params(thread, &more)).await;
        let data = page["data"].as_array().expect("a page");
        assert!(data.len() as u64 <= more["limit"].as_u64().expect("a limit"));
        all.extend(data.iter().cloned());
        if page["nextCursor"].is_null() {
            return all;
        }
        more["cursor"] = page["nextCursor"].clone();
    }
}

async fn five_turns(stage: &Stage, client: &Client) -> String {
    let thread = stage.thread(client).await;
    for n in 1..=5 {
        turn(client, &thread, &format!("message {n}")).await;
    }
    thread
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_of_any_size_make_up_the_thread() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = five_turns(&stage, &client).await;
    let whole = client.call("thread/read", json!({ "threadId": thread, "includeTurns": true })).await;
    let whole = whole["thread"]["turns"].as_array().expect("turns").clone();
    let all_items: Vec<Value> =
        whole.iter().flat_map(|turn| turn["items"].as_array().unwrap().clone()).collect();
    assert_eq!((whole.len(), all_items.len()), (5, 10));
    // Loaded, and then from the store.
    for _ in 0..2 {
        for limit in [1, 2, 3, 5, 100] {
            for (direction, turned) in [("asc", false), ("desc", true)] {
                let more = json!({ "limit": limit, "sortDirection": direction, "itemsView": "full" });
                let mut walked = walk(&client, "thread/turns/list", &thread, more).await;
                let more = json!({ "limit": limit, "sortDirection": direction });
                let mut items = walk(&client, "thread/items/list", &thread, more).await;
                if turned {
                    walked.reverse();
                    items.reverse();
                }
                assert_eq!(walked, whole, "{direction}, {limit} a page");
                let items: Vec<Value> = items.iter().map(|entry| entry["item"].clone()).collect();
                assert_eq!(items, all_items, "{direction}, {limit} a page");
            }
        }
        client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    }
    client.close().await;
    stage.restart();
    let client = stage.client("client").await;
    let page = turns(&client, &thread, json!({ "limit": 2 })).await;
    let newest_first: Vec<_> = whole.iter().rev().map(|turn| turn["id"].as_str().unwrap()).collect();
    assert_eq!(ids(&page), newest_first[..2], "newest first where nothing is said");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cursors_stay_right_while_the_thread_grows() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = five_turns(&stage, &client).await;
    let newest = turns(&client, &thread, json!({ "limit": 2 })).await;
    let last_item = items_of(&client, &thread, json!({ "limit": 1, "sortDirection": "desc" })).await;
    turn(&client, &thread, "message 6").await;
    turn(&client, &thread, "message 7").await;
    // On towards older turns as if nothing had come.
    let older = turns(&client, &thread, json!({ "limit": 9, "cursor": newest["nextCursor"] })).await;
    assert_eq!((ids(&older).len(), &older["nextCursor"]), (3, &Value::Null));
    // And back: the newest known turn again, then what came.
    let back = json!({ "cursor": newest["backwardsCursor"], "sortDirection": "asc" });
    let later = ids(&turns(&client, &thread, back).await);
    assert_eq!((later.len(), &later[0]), (3, &ids(&newest)[0]));
    let back = json!({ "cursor": last_item["backwardsCursor"], "sortDirection": "asc" });
    let later = items(&items_of(&client, &thread, back).await);
    assert_eq!((later.len(), &later[0]), (5, &items(&last_item)[0]));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_under_way_is_listed_as_far_as_it_has_come() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.saved(&client).await;
    let from = client.mark();
    let running = begin_turn(&client, &thread, "STREAM n=1000 size=10 delay_ms=5").await;
    client.note(from, "item/agentMessage/delta", |_| true).await;
    let page = turns(&client, &thread, json!({ "limit": 1, "itemsView": "full" })).await["data"][0].clone();
    assert_eq!((&page["id"], &page["status"]), (&json!(running), &json!("inProgress")));
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2), "the text in flight is one of them");
    let known = items_of(&client, &thread, json!({ "turnId": running })).await;
    let text = known["data"][1]["item"]["text"].as_str().expect("a text").to_owned();
    assert!(!text.is_empty() && known["data"][1]["completedAtMs"].is_null(), "{known}");
    assert!(known["data"][0]["completedAtMs"].is_i64(), "{known}");
    let last = items_of(&client, &thread, json!({ "limit": 1, "sortDirection": "desc" })).await;
    client.call("turn/interrupt", json!({ "threadId": thread, "turnId": running })).await;
    ended(&client, from, &running).await;
    // Who turns round there sees what became of it.
    let back = json!({ "cursor": last["backwardsCursor"], "sortDirection": "asc" });
    let again = items_of(&client, &thread, back).await;
    assert_eq!(items(&again), items(&last));
    let whole = again["data"][0]["item"]["text"].as_str().expect("a text");
    assert!(whole.starts_with(&text) && again["data"][0]["completedAtMs"].is_i64(), "{again}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_view_and_a_turn_narrow_what_is_told() {
    let stage = Stage::lazy(&["polite"]);
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    turn(&client, &thread, "CALL mcp__helper pid {}").await;
    turn(&client, &thread, "hi").await;
    let view = async |view: Value| {
        let page = turns(&client, &thread, json!({ "sortDirection": "asc", "itemsView": view })).await;
        let kinds = page["data"][0]["items"].as_array().expect("items").clone();
        let kinds: Vec<_> = kinds.iter().map(|item| item["type"].as_str().unwrap().to_owned()).collect();
        (page["data"][0]["itemsView"].as_str().unwrap().to_owned(), kinds)
    };
    let of = |name: &str, kinds: &[&str]| (name.to_owned(), kinds.iter().map(|k| (*k).to_owned()).collect());
    assert_eq!(view(json!("full")).await, of("full", &["userMessage", "mcpToolCall", "agentMessage"]));
    assert_eq!(view(json!("summary")).await, of("summary", &["userMessage", "agentMessage"]));
    assert_eq!(view(Value::Null).await, of("summary", &["userMessage", "agentMessage"]));
    assert_eq!(view(json!("notLoaded")).await, of("notLoaded", &[]));
    let first = ids(&turns(&client, &thread, json!({ "sortDirection": "asc", "limit": 1 })).await).remove(0);
    let of_first = items_of(&client, &thread, json!({ "turnId": first })).await;
    assert_eq!(of_first["data"].as_array().map(Vec::len), Some(3));
    let call = &of_first["data"][1];
    assert!(call["startedAtMs"].as_i64() <= call["completedAtMs"].as_i64() && call["startedAtMs"].is_i64());
    let anchor = json!({ "type": "item", "itemId": call["item"]["id"] });
    let after = items_of(&client, &thread, json!({ "turnId": first, "cursor": anchor })).await;
    assert_eq!(items(&after), items(&of_first)[2..], "an item as a place is not part of the page");
    let before = json!({ "turnId": first, "cursor": anchor, "sortDirection": "desc" });
    assert_eq!(items(&items_of(&client, &thread, before).await), items(&of_first)[..1]);
    let nobody = items_of(&client, &thread, json!({ "turnId": "no such turn" })).await;
    assert_eq!(nobody, json!({ "data": [], "nextCursor": null, "backwardsCursor": null }));
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resume_says_where_its_pages_begin() {
    let stage = Stage::bare();
    let (client, second) = (stage.client("client").await, stage.client("second").await);
    let thread = five_turns(&stage, &client).await;
    let page = json!({ "limit": 2, "itemsView": "notLoaded" });
    let asked = json!({ "threadId": thread, "excludeTurns": true, "initialTurnsPage": page });
    let resumed = second.call("thread/resume", asked).await;
    assert_eq!(resumed["thread"]["turns"], json!([]));
    assert_eq!(resumed["initialTurnsPage"], turns(&client, &thread, page).await);
    turn(&client, &thread, "message 6").await;
    let from = json!({ "cursor": resumed["turnsBackwardsCursor"], "limit": 2 });
    let older = turns(&second, &thread, from).await;
    assert_eq!(ids(&older), ids(&resumed["initialTurnsPage"]), "from the newest turn of then, with it");
    let from = json!({ "cursor": resumed["itemsBackwardsCursor"], "sortDirection": "desc", "limit": 100 });
    assert_eq!(items(&items_of(&second, &thread, from).await).len(), 10);
    let plain = second.call("thread/resume", json!({ "threadId": thread, "excludeTurns": true })).await;
    assert_eq!(plain["initialTurnsPage"], Value::Null);
    drop((client, second));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_is_paged_over_the_seam() {
    let stage = Stage::bare();
    let client = stage.client("client").await;
    let source = five_turns(&stage, &client).await;
    let known = ids(&turns(&client, &source, json!({ "sortDirection": "asc" })).await);
    let cut = json!({ "threadId": source, "lastTurnId": known[2], "excludeTurns": true });
    let forked = client.call("thread/fork", cut).await["thread"]["id"].clone();
    let forked = forked.as_str().expect("an id");
    let own = turn(&client, forked, "own").await;
    let all = walk(&client, "thread/turns/list", forked, json!({ "limit": 2, "sortDirection": "asc" })).await;
    let all: Vec<_> = all.iter().map(|turn| turn["id"].as_str().unwrap()).collect();
    assert_eq!(all[..3], known[..3]);
    assert_eq!(all[3..], [own["id"].as_str().unwrap()]);
    let of_source = turns(&client, &source, json!({ "limit": 1 })).await["nextCursor"].clone();
    let foreign = json!({ "threadId": forked, "cursor": of_source });
    let (_, message) = client.refused("thread/turns/list", foreign).await;
    assert!(message.starts_with("invalid cursor: "), "another thread's cursor: {message}");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resume_carries_the_newest_turns_and_leads_to_the_others() {
    let mut stage = Stage::bare();
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    // 3 MB each.
    for _ in 0..5 {
        turn(&client, &thread, "STREAM n=300 size=10000").await;
    }
    let all = ids(&turns(&client, &thread, json!({ "sortDirection": "asc" })).await);
    let check = async |client: &Client| {
        let resumed = client.call("thread/resume", json!({ "threadId": thread })).await;
        let shown = column(&json!({ "data": resumed["thread"]["turns"] }), |turn| &turn["id"]);
        assert_eq!(shown, all[2..], "8 MB are reached with the third");
        let older = json!({ "cursor": resumed["olderTurnsCursor"], "limit": 1, "sortDirection": "desc" });
        assert_eq!(ids(&turns(client, &thread, older).await), all[1..2]);
        let newest =
            json!({ "cursor": resumed["turnsBackwardsCursor"], "limit": 1, "sortDirection": "desc" });
        assert_eq!(ids(&turns(client, &thread, newest).await), all[4..]);
        resumed["thread"]["status"]["type"].clone()
    };
    assert_eq!(check(&client).await, "idle");
    client.close().await;
    stage.restart();
    let client = stage.client("client").await;
    check(&client).await;
    let small = stage.saved(&client).await;
    let resumed = client.call("thread/resume", json!({ "threadId": small })).await;
    assert_eq!(resumed.get("olderTurnsCursor"), None, "where all is there, nothing is said");
    client.close().await;
    stage.finish();
}
