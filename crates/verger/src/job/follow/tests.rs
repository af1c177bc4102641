//! A run followed, told by a server that says what is written here.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use serde_json::{Value, json};

use super::*;
use crate::job::server::Server;

/// The method that is asked, what is told before the answer, the answer, and what is told after it.
type Step = (&'static str, Vec<Value>, Value, Vec<Value>);

/// Lets `follow` talk to a server that goes through `steps`, and ends the connection then.
fn with_server<T>(steps: Vec<Step>, follow: impl FnOnce(&mut Server) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let steps =
        [("initialize", Vec::new(), json!({}), Vec::new())].into_iter().chain(steps).collect::<Vec<_>>();
    thread::scope(|scope| {
        let script = scope.spawn(move || play(&listener.accept().unwrap().0, steps));
        let mut server = Server::connect(7, &path).unwrap();
        let result = follow(&mut server);
        drop(server);
        script.join().unwrap();
        result
    })
}

fn play(stream: &UnixStream, steps: Vec<Step>) {
    let mut lines = BufReader::new(stream).lines();
    let mut say = |message: &Value| writeln!(&*stream, "{message}").unwrap();
    for (method, before, result, after) in steps {
        let request: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(request["method"], method);
        before.iter().for_each(&mut say);
        let key = if result.get("code").is_some() { "error" } else { "result" };
        say(&json!({ "id": request["id"], key: result }));
        after.iter().for_each(&mut say);
    }
}

fn run(state: &str, thread: Option<&str>) -> Value {
    json!({
        "id": 9, "job": "evening", "cause": "manual", "state": state, "slots": 1, "more": false, "attempt": 1,
        "threadId": thread, "durationMs": (state == "succeeded").then_some(1500),
    })
}

fn updated(run: &Value) -> Value {
    json!({ "method": "verger/job/run/updated", "params": { "run": run } })
}

fn read(run: &Value) -> (&'static str, Vec<Value>, Value, Vec<Value>) {
    ("verger/job/run/read", Vec::new(), json!({ "run": run }), Vec::new())
}

#[test]
fn waiting_ends_with_the_run_and_with_no_other() {
    let begun: JobRun = serde_json::from_value(run("scheduled", None)).unwrap();
    let mut other = run("succeeded", None);
    other["id"] = json!(8);
    let told =
        [updated(&other), json!({ "method": "of/another/version" }), updated(&run("running", Some("t")))];
    let mut step = read(&run("scheduled", None));
    step.3 = told.into_iter().chain([updated(&run("failed", Some("t")))]).collect();
    let ended = with_server(vec![step], |server| wait(server, &begun).unwrap());
    assert_eq!(ended.state, JobRunState::Failed);
}

#[test]
fn an_end_that_comes_before_the_answer_is_not_missed() {
    let begun: JobRun = serde_json::from_value(run("scheduled", None)).unwrap();
    let (method, _, result, after) = read(&run("succeeded", None));
    let step = (method, vec![updated(&run("succeeded", None))], result, after);
    let ended = with_server(vec![step], |server| wait(server, &begun).unwrap());
    assert_eq!(ended.state, JobRunState::Succeeded);
}

#[test]
fn a_server_that_is_gone_is_said_to_be() {
    let begun: JobRun = serde_json::from_value(run("scheduled", None)).unwrap();
    let error = with_server(vec![read(&run("running", None))], |server| {
        wait(server, &begun).unwrap_err().to_string()
    });
    assert!(error.starts_with("server (pid 7) does not answer: "), "{error}");
    assert!(error.ends_with("`verger ps` shows whether it still runs"), "{error}");
}

fn tailed(steps: Vec<Step>) -> Result<String, String> {
    let mut out = Vec::new();
    let done = with_server(steps, |server| {
        tail(server, "evening", false, &mut out).map_err(|error| error.to_string())
    });
    done.map(|()| String::from_utf8(out).unwrap())
}

fn history(runs: &[Value]) -> Step {
    ("verger/job/history", Vec::new(), json!({ "data": runs, "nextCursor": null }), Vec::new())
}

#[test]
fn what_is_said_is_shown_from_where_it_is_up_to_the_end_of_the_run() {
    let running = run("running", Some("t"));
    let half = json!({ "type": "agentMessage", "id": "m", "text": "Noth" });
    let mut resumed = started_thread();
    resumed["thread"]["turns"] = json!([
        { "id": "old", "status": "completed", "items": [{ "type": "agentMessage", "id": "o", "text": "long ago" }] },
        { "id": "u", "status": "inProgress", "items": [half] },
    ]);
    let mut last = read(&running);
    last.3 = vec![
        told("item/agentMessage/delta", &json!({ "itemId": "m", "delta": "ing new." })),
        updated(&run("succeeded", Some("t"))),
    ];
    let steps = vec![
        history(&[run("scheduled", None)]),
        {
            let mut step = read(&run("scheduled", None));
            step.3 = vec![updated(&running)];
            step
        },
        ("thread/resume", Vec::new(), resumed, Vec::new()),
        last,
    ];
    let expected = "Nothing new.\nrun 9 of job 'evening' succeeded after 1.5s\n";
    assert_eq!(tailed(steps), Ok(expected.to_owned()));
}

#[test]
fn a_run_without_a_turn_is_followed_to_its_end_all_the_same() {
    let running = run("running", Some("t"));
    let refused = json!({ "code": -32600, "message": "no rollout found for thread id t" });
    let steps = vec![
        history(std::slice::from_ref(&running)),
        read(&running),
        ("thread/resume", vec![updated(&run("succeeded", None))], refused, Vec::new()),
        // Passed over with the answer before it, so asked for.
        read(&run("succeeded", None)),
    ];
    assert_eq!(tailed(steps), Ok("run 9 of job 'evening' succeeded after 1.5s\n".to_owned()));
}

#[test]
fn where_no_run_goes_on_it_is_said_what_to_ask_for() {
    let error = tailed(vec![history(&[run("succeeded", Some("t"))])]).unwrap_err();
    let expected = "no run of job 'evening' goes on; `verger job logs evening` shows the last one, `verger job run evening` \
                    begins one";
    assert_eq!(error, expected);
}

/// What `thread/resume` answers, as far as it must.
fn started_thread() -> Value {
    let thread = json!({
        "id": "t", "sessionId": "t", "preview": "", "ephemeral": false, "modelProvider": "offline", "createdAt": 1,
        "updatedAt": 1, "status": { "type": "idle" }, "cwd": "/", "cliVersion": "0", "source": "appServer", "turns": [],
        "historyMode": "legacy",
    });
    json!({
        "thread": thread, "model": "m", "modelProvider": "offline", "cwd": "/", "approvalPolicy": "never",
        "approvalsReviewer": "user", "sandbox": { "type": "readOnly" }, "instructionSources": [],
    })
}

fn printed(messages: &[Value], is_json: bool) -> String {
    let mut out = Vec::new();
    let mut printed = Printed { out: &mut out, is_json, streamed: BTreeSet::new(), is_mid_line: false };
    for message in messages {
        let told = notification(message).unwrap_or_else(|| panic!("{message}"));
        printed.notification(&told, Some("t"), message).unwrap();
    }
    String::from_utf8(out).unwrap()
}

fn told(method: &str, rest: &Value) -> Value {
    let mut params = json!({ "threadId": "t", "turnId": "u", "startedAtMs": 1, "completedAtMs": 2 });
    for (name, value) in rest.as_object().unwrap() {
        params[name] = value.clone();
    }
    json!({ "method": method, "params": params })
}

#[test]
fn messages_and_calls_are_printed_as_they_come_and_once() {
    let call = |status: &str, result: Value| {
        json!({ "item": {
            "type": "mcpToolCall", "id": "c", "server": "git", "tool": "status", "status": status,
            "arguments": { "path": "/a" }, "result": result,
        } })
    };
    let message = |text: &str| json!({ "item": { "type": "agentMessage", "id": "m", "text": text } });
    let other = json!({
        "method": "item/agentMessage/delta",
        "params": { "threadId": "other", "turnId": "u", "itemId": "x", "delta": "not of this thread" },
    });
    let messages = [
        told("item/started", &message("")),
        told("item/agentMessage/delta", &json!({ "itemId": "m", "delta": "I loo" })),
        other,
        told("item/agentMessage/delta", &json!({ "itemId": "m", "delta": "k." })),
        told("item/completed", &message("I look.")),
        told("item/started", &call("inProgress", Value::Null)),
        told(
            "item/completed",
            &call("completed", json!({ "content": [{ "type": "text", "text": "clean\nvery" }] })),
        ),
        told("item/completed", &message("Nothing new.")),
    ];
    let expected = "I look.\n* git/status {\"path\":\"/a\"}\n  = clean\n  = very\nNothing new.\n";
    assert_eq!(printed(&messages, false), expected);
    assert_eq!(printed(&messages, true).lines().count(), 7, "each of the thread's on its own line");
}
