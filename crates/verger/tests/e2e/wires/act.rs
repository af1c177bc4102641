//! The stage of one story: a server whose provider speaks the wire, a client, a thread, and what a turn told.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use verger_testkit::fake_model::{Counts, FakeModel, Request};
use verger_testkit::{Client, ConfigFile};

use super::gateway::Gateway;
use crate::stage::{Stage, ended, say};

/// Longer than anything here takes, so that a failure is not a hang.
const LIMIT: Duration = Duration::from_secs(20);

/// No attempt but the first.
pub(in crate::wires) const ONCE: &str = "request_max_retries = 0\nstream_max_retries = 0\n";

/// How the server reaches the fake model.
pub(in crate::wires) enum Wire<'g> {
    Responses,
    Chat,
    /// Chat Completions to a gateway that has its own fake model behind it.
    Gateway(&'g Gateway),
}

/// One story's server, client and thread.
pub(in crate::wires) struct Act<'a> {
    wire: &'a Wire<'a>,
    /// What the model had seen before.
    earlier: Counts,
    pub(in crate::wires) stage: Stage,
    pub(in crate::wires) client: Client,
    pub(in crate::wires) thread: String,
}

/// All that a turn told its client.
pub(in crate::wires) struct Told {
    /// Of `turn/completed`.
    pub(in crate::wires) turn: Value,
    notes: Vec<Value>,
}

// === impl Act ===

impl<'a> Act<'a> {
    /// A provider with these keys in its table.
    pub(in crate::wires) async fn begin(wire: &'a Wire<'a>, keys: &str) -> Self {
        Self::with(wire, |_| keys.to_owned(), false).await
    }

    /// The same, with an MCP server `helper`.
    pub(in crate::wires) async fn with_helper(wire: &'a Wire<'a>) -> Self {
        Self::with(wire, |_| ONCE.to_owned(), true).await
    }

    /// The same, with a key file that holds `key`, or what the gateway wants.
    pub(in crate::wires) async fn with_key_file(wire: &'a Wire<'a>, key: &str) -> Self {
        let keys = |path: PathBuf| {
            let key = if let Wire::Gateway(gateway) = wire { gateway.key() } else { key };
            write_key(&path, key);
            format!("{ONCE}key_file = {}\n", json!(path))
        };
        Self::with(wire, keys, false).await
    }

    async fn with(wire: &'a Wire<'a>, keys: impl FnOnce(PathBuf) -> String, helper: bool) -> Self {
        let stage = Stage::new(|home| {
            let file = home.path().join("key");
            let mut keys = keys(file.clone());
            if let (Wire::Gateway(gateway), false) = (wire, keys.contains("key_file")) {
                write_key(&file, gateway.key());
                keys.push_str(&format!("key_file = {}\n", json!(file)));
            }
            let config = match wire {
                Wire::Responses => ConfigFile::with_provider(&home.model().base_url(), "responses", &keys),
                Wire::Chat => ConfigFile::with_provider(&home.model().base_url(), "chat", &keys),
                Wire::Gateway(gateway) => ConfigFile::with_provider(gateway.base_url(), "chat", &keys),
            };
            if helper { config.server("helper", &home.bad_helper(&["polite"])) } else { config }
        });
        let client = stage.client("client").await;
        let thread = stage.thread(&client).await;
        let mut act = Self { wire, earlier: Counts::default(), stage, client, thread };
        act.earlier = act.model().counts();
        act
    }

    /// Whether the model was asked in Chat Completions.
    pub(in crate::wires) fn is_chat(&self) -> bool {
        !matches!(self.wire, Wire::Responses)
    }

    pub(in crate::wires) fn key_file(&self) -> PathBuf {
        self.stage.home.path().join("key")
    }

    fn model(&self) -> &FakeModel {
        match self.wire {
            Wire::Gateway(gateway) => gateway.model(),
            Wire::Responses | Wire::Chat => self.stage.home.model(),
        }
    }

    /// What the model was asked last.
    pub(in crate::wires) fn asked(&self) -> Request {
        self.model().requests().pop().expect("the model was asked")
    }

    /// How often the model was asked in this story.
    pub(in crate::wires) fn times_asked(&self) -> usize {
        self.model().counts().requests - self.earlier.requests
    }

    /// How many answers were given up on in this story.
    pub(in crate::wires) fn given_up(&self) -> usize {
        self.model().counts().abandoned - self.earlier.abandoned
    }

    /// Waits until the model sees that its answer is wanted no more.
    pub(in crate::wires) async fn is_given_up(&self) {
        let earlier = self.earlier.abandoned;
        let seen = self.model().wait_until(|counts| counts.abandoned == earlier + 1);
        assert!(tokio::time::timeout(LIMIT, seen).await.is_ok(), "the connection to the model stays open");
    }

    /// Every request of this story.
    pub(in crate::wires) fn requests(&self) -> Vec<Request> {
        self.model().requests().split_off(self.earlier.requests)
    }

    /// Runs a turn to its end.
    pub(in crate::wires) async fn turn(&self, text: &str) -> Told {
        self.turn_with(say(&self.thread, text)).await
    }

    /// The same with any parameters of `turn/start`.
    pub(in crate::wires) async fn turn_with(&self, mut params: Value) -> Told {
        params["threadId"] = json!(self.thread);
        let from = self.client.mark();
        let started = self.client.call("turn/start", params).await;
        let id = started["turn"]["id"].as_str().expect("a turn has an id");
        let turn = ended(&self.client, from, id).await;
        Told { turn, notes: self.client.since(from) }
    }

    /// Requires that the thread goes on after all that has happened to it.
    pub(in crate::wires) async fn goes_on(&self) {
        self.turn("and now?").await.answers("ok");
    }

    pub(in crate::wires) async fn end(self) {
        self.client.close().await;
        self.stage.finish();
    }
}

/// For its owner's eyes.
pub(in crate::wires) fn write_key(path: &std::path::Path, key: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("{key}\n")).expect("the home is writable");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is this user's");
}

// === impl Told ===

impl Told {
    /// Parameters of the notifications of `method`, in order.
    pub(in crate::wires) fn notes(&self, method: &str) -> Vec<&Value> {
        self.notes.iter().filter(|note| note["method"] == method).map(|note| &note["params"]).collect()
    }

    /// Completed items of a type, in order.
    pub(in crate::wires) fn items(&self, kind: &str) -> Vec<&Value> {
        let completed = self.notes("item/completed").into_iter().map(|params| &params["item"]);
        completed.filter(|item| item["type"] == kind).collect()
    }

    /// Deltas of the answer, joined.
    pub(in crate::wires) fn deltas(&self) -> String {
        let deltas = self.notes("item/agentMessage/delta").into_iter();
        deltas.filter_map(|params| params["delta"].as_str()).collect()
    }

    /// Text of the last message that the model completed.
    pub(in crate::wires) fn text(&self) -> &str {
        self.items("agentMessage").last().and_then(|item| item["text"].as_str()).unwrap_or_default()
    }

    /// Requires that the turn ended well, with these words.
    #[track_caller]
    pub(in crate::wires) fn answers(&self, text: &str) {
        assert_eq!(self.turn["status"], "completed", "{}", self.turn);
        assert_eq!(self.text(), text);
    }

    /// Requires that the turn failed for this reason, told once and finally; what it says.
    #[track_caller]
    pub(in crate::wires) fn fails(&self, info: &Value) -> &str {
        assert_eq!(self.turn["status"], "failed", "{}", self.turn);
        let error = &self.turn["error"];
        assert_eq!(&error["codexErrorInfo"], info, "{error}");
        let last: Vec<_> =
            self.notes("error").into_iter().filter(|note| note["willRetry"] == false).collect();
        assert_eq!(last.len(), 1, "told once: {last:?}");
        assert_eq!(&last[0]["error"], error);
        error["message"].as_str().expect("an error says something")
    }

    /// Requires one announcement of another attempt, with its cause.
    #[track_caller]
    pub(in crate::wires) fn retried_after(&self, status: &Value, cause: &str) {
        let again: Vec<_> =
            self.notes("error").into_iter().filter(|note| note["willRetry"] == true).collect();
        assert_eq!(again.len(), 1, "{again:?}");
        let info = json!({ "responseStreamDisconnected": { "httpStatusCode": status } });
        let error = &again[0]["error"];
        assert_eq!((&error["message"], &error["codexErrorInfo"]), (&json!("Reconnecting... 1/1"), &info));
        let details = error["additionalDetails"].as_str().expect("what went wrong");
        assert!(details.contains(cause), "{details}");
    }

    /// Where a notification that fits stands among all.
    pub(in crate::wires) fn place(&self, method: &str, item: &str) -> Option<usize> {
        self.notes.iter().position(|note| note["method"] == method && note["params"]["item"]["id"] == item)
    }
}
