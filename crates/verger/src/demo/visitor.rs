//! A client of the demo: opens threads, uses their tools, and watches what happens.

use std::time::Duration;

use serde_json::{Value, json};
use verger_wire::requests::PsResponse;

use super::choice::Tool;
use super::kernel::within;
use super::server::Server;
use crate::client::Client;
use crate::serve::Failure;

/// How long one request or its consequence may take, a helper's start included.
const LIMIT: Duration = Duration::from_secs(120);

/// The helper's name in the demo's configuration.
pub(super) const HELPER: &str = "demo";

/// One connection.
#[derive(Debug)]
pub(super) struct Visitor(Client);

impl Visitor {
    pub(super) async fn arrive(server: &Server) -> Result<Self, Failure> {
        Ok(Self(server.connect().await?))
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        Ok(within(method, LIMIT, self.0.call(method, params)).await??)
    }

    /// What the server says about itself.
    pub(super) async fn ps(&mut self) -> Result<PsResponse, Failure> {
        Ok(serde_json::from_value(self.ask("verger/ps", json!({})).await?)?)
    }

    /// Begins a thread; it is not saved before its first turn.
    pub(super) async fn begin(&mut self) -> Result<String, Failure> {
        let answer = self.ask("thread/start", json!({})).await?;
        Ok(answer["thread"]["id"].as_str().ok_or("thread/start: no id")?.to_owned())
    }

    /// Runs a turn whose model calls the tool, and waits for its end.
    pub(super) async fn turn(&mut self, thread: &str, tool: &Tool, word: &str) -> Result<(), Failure> {
        let text = format!("/call {HELPER} {} {}", tool.name, tool.arguments(word));
        let input = json!([{"type": "text", "text": text}]);
        self.ask("turn/start", json!({"threadId": thread, "input": input})).await?;
        let completed = self.hear("turn/completed", thread).await?;
        match completed["turn"]["status"].as_str() {
            Some("completed") => Ok(()),
            status => Err(format!("a turn ended as {status:?}: {}", completed["turn"]["error"]).into()),
        }
    }

    /// Calls the tool, and checks that it was the tool that answered.
    pub(super) async fn call(&mut self, thread: &str, tool: &Tool, word: &str) -> Result<(), Failure> {
        let params = json!({"threadId": thread, "server": HELPER, "tool": tool.name, "arguments": tool.arguments(word)});
        let answer = self.ask("mcpServer/tool/call", params).await?;
        let text = answer["content"][0]["text"].as_str().unwrap_or_default();
        if answer["isError"] == json!(true) || !tool.is_answer(text, word) {
            return Err(format!("tool {} answered {answer}", tool.name).into());
        }
        Ok(())
    }

    /// Waits for the next notification of that name about that thread.
    pub(super) async fn hear(&mut self, method: &str, thread: &str) -> Result<Value, Failure> {
        let heard = async {
            loop {
                let message = self.0.next().await?;
                if message["method"] == method && message["params"]["threadId"] == thread {
                    return Ok::<_, Failure>(message["params"].clone());
                }
            }
        };
        within(&format!("{method} of thread {thread}"), LIMIT, heard).await?
    }

    pub(super) async fn leave(self) {
        self.0.close().await;
    }
}
