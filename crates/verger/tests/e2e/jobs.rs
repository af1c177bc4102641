//! Jobs as a client sees them: what the stories about them say in common.

use serde_json::{Value, json};
use verger_testkit::Client;

/// Never by itself: runs of it are asked for.
pub(crate) const BY_HAND: &str = "at 2099-12-31T09:00";

/// A tool call that nothing but its end ends, as the model makes it.
pub(crate) const HANGS: &str = "CALL mcp__helper slow {\"seconds\":120}";

/// A definition that runs when it is asked to, and says `prompt`; `more` is the rest of it.
pub(crate) fn prompt(prompt: &str, more: Value) -> Value {
    with(json!({ "schedule": BY_HAND, "prompt": prompt }), more)
}

/// The same that calls a tool of `helper`.
pub(crate) fn calling(tool: &str, arguments: Value, more: Value) -> Value {
    let call = json!({ "server": "helper", "tool": tool, "arguments": arguments });
    with(json!({ "schedule": BY_HAND, "call": call }), more)
}

fn with(mut definition: Value, more: Value) -> Value {
    if let (Value::Object(members), Value::Object(more)) = (&mut definition, more) {
        members.extend(more);
    }
    definition
}

/// Adds a job; as it is then.
pub(crate) async fn add(client: &Client, name: &str, definition: Value) -> Value {
    client.call("verger/job/add", json!({ "name": name, "definition": definition })).await["job"].clone()
}

/// A job as it is now.
pub(crate) async fn read(client: &Client, name: &str) -> Value {
    client.call("verger/job/read", json!({ "name": name })).await["job"].clone()
}

/// Asks for a run; its number.
pub(crate) async fn run(client: &Client, name: &str) -> u64 {
    let asked = client.call("verger/job/run", json!({ "name": name })).await;
    asked["run"]["id"].as_u64().expect("a run has a number")
}

/// Whether a run has ended.
pub(crate) fn is_over(run: &Value) -> bool {
    run["state"] != "scheduled" && run["state"] != "running"
}

/// Waits until the client is told of a run that fits, from `from` on; that run.
pub(crate) async fn told(client: &Client, from: usize, fits: impl Fn(&Value) -> bool) -> Value {
    client.note(from, "verger/job/run/updated", |params| fits(&params["run"])).await["run"].clone()
}

/// Waits until the client is told that a run has begun, and in which thread.
pub(crate) async fn begun(client: &Client, run: u64) -> Value {
    told(client, 0, |told| told["id"] == run && told["state"] == "running" && !told["threadId"].is_null())
        .await
}

/// Waits for the end of a run, whoever was told of it; as it is then.
pub(crate) async fn over(client: &Client, run: u64) -> Value {
    let from = client.mark();
    // From here on this client is told.
    let now = client.call("verger/job/run/read", json!({ "run": run })).await["run"].clone();
    if is_over(&now) { now } else { told(client, from, |told| told["id"] == run && is_over(told)).await }
}

/// Asks for a run, and waits for its end, of which the client is told; as it is then.
pub(crate) async fn ran(client: &Client, name: &str) -> Value {
    let from = client.mark();
    let run = run(client, name).await;
    told(client, from, |told| told["id"] == run && is_over(told)).await
}

/// All that is kept of a job's runs, oldest first.
pub(crate) async fn history(client: &Client, name: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = json!({ "name": name, "cursor": cursor, "limit": 50 });
        let page = client.call("verger/job/history", page).await;
        found.extend(page["data"].as_array().expect("runs").clone());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            found.reverse();
            return found;
        }
    }
}

/// One of its times, in Unix seconds.
pub(crate) fn seconds(run: &Value, name: &str) -> i64 {
    run[name].as_i64().unwrap_or_else(|| panic!("no {name}: {run}"))
}

/// Every slot that these runs stand for, in the order of the rows; each comes every second.
pub(crate) fn slots(runs: &[Value]) -> Vec<i64> {
    let of_run = |run: &Value| {
        let slots = seconds(run, "slotAt")..=seconds(run, "lastSlotAt");
        assert_eq!(run["slots"], slots.clone().count(), "it is said how many there are: {run}");
        slots
    };
    runs.iter().filter(|run| run["attempt"] == 1 && !run["slotAt"].is_null()).flat_map(of_run).collect()
}

/// Requires that every second from the first slot to the last has one row.
#[track_caller]
pub(crate) fn assert_each_once(runs: &[Value]) -> usize {
    let mut slots = slots(runs);
    slots.sort_unstable();
    for pair in slots.windows(2) {
        assert_eq!(pair[1] - pair[0], 1, "after {} comes {}: {runs:#?}", pair[0], pair[1]);
    }
    slots.len()
}

/// Stops a job's slots: no run of it begins that was not put down before.
pub(crate) async fn pause(client: &Client, name: &str) -> Value {
    client.call("verger/job/pause", json!({ "name": name })).await["job"].clone()
}

/// Ends a run; as it is then.
pub(crate) async fn cancel(client: &Client, run: u64) -> Value {
    client.call("verger/job/cancel", json!({ "run": run })).await["run"].clone()
}
