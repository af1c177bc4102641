//! What a job run does, from the thread that it opens to how it ended; its helpers live until somebody ends them.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use verger_core::ids::ThreadId;
use verger_core::server::ServerName;
use verger_store::End;
use verger_wire::RpcError;
use verger_wire::requests::{McpServerToolCallResponse, TurnStartResponse};
use verger_wire::types::{AskForApproval, ThreadItem, ThreadStatus, Turn, TurnStatus};

use super::client::{Client, Failure, Heard, read_answer};
use super::limits::Limits;
use super::plan::{JobPlan, Place, Work};
use crate::config::Config;

/// Of what came of a run, so many characters are kept.
const SUMMARY: usize = 1_000;

/// Why a run ends with its server.
pub(super) const STOPPED: &str = "the server was stopped";

/// How a job run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// Why, if it did not succeed.
    pub(super) reason: Option<String>,
    /// What came of it: the model's last message, or the tool's answer; shortened.
    pub(super) summary: Option<String>,
}

/// Why a job run is to end before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody said so.
    Cancelled,
    /// The server is stopping.
    Shutdown,
}

/// A job run's work.
pub(super) struct Doing<'a> {
    pub(super) client: &'a mut Client,
    pub(super) plan: &'a JobPlan,
    pub(super) config: &'a Config,
    /// What a thread of its own is called.
    pub(super) title: String,
    /// The thread of the job's last run that had one.
    pub(super) last_thread: Option<ThreadId>,
    /// Somebody has the thread open that it names.
    pub(super) is_open: bool,
    /// From the beginning of the run on.
    pub(super) limits: Limits,
}

#[derive(Deserialize)]
struct Opened {
    thread: WithId,
}

#[derive(Deserialize)]
struct WithId {
    id: String,
    status: ThreadStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfTurn {
    turn: Turn,
}

impl Outcome {
    pub(super) fn new(end: End, reason: impl Into<String>) -> Self {
        Self { end, reason: Some(reason.into()), summary: None }
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(End::Failed, reason)
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stopping => Self::new(End::Cancelled, STOPPED),
            other => Self::failed(other.to_string()),
        }
    }
}

impl Doing<'_> {
    /// Opens the thread in which the run works.
    pub(super) async fn open(&mut self) -> Result<ThreadId, Outcome> {
        if self.is_open && self.plan.has_settings() {
            // They would not be kept to: a thread that is loaded has its own.
            let why = "its thread is open, with settings of its own; close it, or leave out servers, sandbox, approvalPolicy, cwd and model";
            return Err(Outcome::failed(why));
        }
        let resumed = match &self.plan.thread {
            Place::New => None,
            Place::Same => self.last_thread,
            Place::Id(thread) => Some(*thread),
        };
        let opened: Result<Opened, Failure> = match resumed {
            Some(thread) => {
                let params = json!({ "threadId": thread.to_string(), "excludeTurns": true });
                self.client.request("thread/resume", &with(params, self.manner())).await
            }
            None => self.client.request("thread/start", &self.start_params()).await,
        };
        let opened = match (opened, &self.plan.thread) {
            // The job's own thread was deleted or archived: it begins another.
            (Err(Failure::Refused(error)), Place::Same)
                if resumed.is_some_and(|thread| is_lost(&error, thread)) =>
            {
                tracing::info!(%error.message, "a job's thread cannot be resumed, it begins a new one");
                self.client.request("thread/start", &self.start_params()).await?
            }
            (opened, _) => opened?,
        };
        // A prompt would join it, and what ends this run would end that.
        if let ThreadStatus::Active { .. } = opened.thread.status {
            return Err(Outcome::failed("a turn is active in its thread; it is not joined"));
        }
        ThreadId::from_str(&opened.thread.id).map_err(|error| Outcome::failed(error.to_string()))
    }

    /// Does what is to be done in the open thread.
    pub(super) async fn work(&mut self, thread: ThreadId) -> Outcome {
        let done = match &self.plan.work {
            Work::Prompt(text) => self.prompt(thread, text).await,
            Work::Call { server, tool, arguments } => self.call(thread, server, tool, arguments).await,
        };
        done.unwrap_or_else(|end| end)
    }

    fn start_params(&self) -> Value {
        // Of a call nothing is stored in a thread.
        let is_call = matches!(self.plan.work, Work::Call { .. });
        with(json!({ "ephemeral": is_call }), self.manner())
    }

    /// How the thread is to work, as parameters of both requests that open one.
    fn manner(&self) -> Map<String, Value> {
        let plan = self.plan;
        let mut manner = Map::new();
        let mut set =
            |name: &str, value: Option<Value>| manner.extend(value.map(|value| (name.to_owned(), value)));
        set("cwd", plan.cwd.as_ref().map(|cwd| json!(cwd)));
        set("model", plan.model.as_ref().map(|model| json!(model)));
        set("modelProvider", plan.model_provider.as_ref().map(|provider| json!(provider)));
        // A thread that is somebody else's keeps what it has.
        let of_its_own = matches!(plan.thread, Place::New | Place::Same).then_some(AskForApproval::Never);
        let policy = plan.approval_policy.or(of_its_own);
        set("approvalPolicy", policy.map(|policy| json!(policy)));
        set("sandbox", plan.sandbox.map(|sandbox| json!(sandbox)));
        let allowed: Option<BTreeSet<ServerName>> =
            plan.servers.as_ref().map(|names| names.iter().cloned().collect());
        let off = self.config.enabled_servers().map(|(name, _)| name);
        let off = off.filter(|name| allowed.as_ref().is_some_and(|allowed| !allowed.contains(*name)));
        let off: Map<_, _> = off.map(|name| (name.to_string(), json!({ "enabled": false }))).collect();
        set("config", (!off.is_empty()).then(|| json!({ "mcp_servers": off })));
        manner
    }

    async fn prompt(&mut self, thread: ThreadId, text: &str) -> Result<Outcome, Outcome> {
        let input = json!([{ "type": "text", "text": text }]);
        let mut params = json!({ "threadId": thread.to_string(), "input": input });
        if let Some(effort) = &self.plan.effort {
            params["effort"] = json!(effort);
        }
        let TurnStartResponse { turn } = self.client.request("turn/start", &params).await?;
        self.name(thread).await?;
        let mut summary = None;
        // Set when the turn was told to end: the request, and the end that it then has.
        let mut forced = None;
        loop {
            let heard = tokio::select! {
                heard = self.client.hear() => heard?,
                end = self.limits.reached(true), if forced.is_none() => {
                    forced = Some((self.interrupt(thread, &turn.id).await?, end));
                    continue;
                }
            };
            self.limits.hear(thread, &heard);
            match heard {
                Heard::Notification { method, params } => match method.as_str() {
                    "item/completed" if params["turnId"] == turn.id.as_str() => {
                        summary = said(&params["item"]).or(summary);
                    }
                    "turn/completed" if params["turn"]["id"] == turn.id.as_str() => {
                        let OfTurn { turn } =
                            serde_json::from_value(params).map_err(|e| Outcome::failed(e.to_string()))?;
                        let end = forced.map_or_else(|| turn_end(&turn), |(_, end)| end);
                        return Ok(Outcome { summary: summary.map(|text| shorten(&text)), ..end });
                    }
                    "thread/closed" if is_of(&params, thread) => {
                        let lost = || Outcome::failed("its thread was closed in the middle of its turn");
                        return Ok(forced.map_or_else(lost, |(_, end)| end));
                    }
                    _ => {}
                },
                Heard::Question { id, method, params } => {
                    let why = needs_a_person(&method, &params);
                    self.client.decline(&id, &why).await?;
                    if forced.is_none() {
                        forced = Some((self.interrupt(thread, &turn.id).await?, Outcome::failed(why)));
                    }
                }
                // There is nothing to interrupt any more.
                Heard::Answer { id, result: Err(_) }
                    if forced.as_ref().is_some_and(|(asked, _)| *asked == id) =>
                {
                    return Ok(forced.map_or_else(|| Outcome::failed("it ended"), |(_, end)| end));
                }
                // To an interrupt: what counts is that the turn has ended.
                Heard::Answer { .. } => {}
            }
        }
    }

    /// Names a thread of the run's own, so that it is told from its like in a list.
    async fn name(&mut self, thread: ThreadId) -> Result<(), Failure> {
        if self.plan.thread != Place::New {
            return Ok(());
        }
        let params = json!({ "threadId": thread.to_string(), "name": self.title });
        // The answer is not waited for: it says nothing of the run.
        self.client.send("thread/name/set", &params).await.map(drop)
    }

    /// Ends the turn, and says under which name that was asked.
    async fn interrupt(&mut self, thread: ThreadId, turn: &str) -> Result<i64, Failure> {
        let params = json!({ "threadId": thread.to_string(), "turnId": turn });
        self.client.send("turn/interrupt", &params).await
    }

    async fn call(
        &mut self,
        thread: ThreadId,
        server: &ServerName,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Outcome, Outcome> {
        const METHOD: &str = "mcpServer/tool/call";
        let params = json!({ "threadId": thread.to_string(), "server": server.to_string(), "tool": tool, "arguments": arguments });
        let call = self.client.send(METHOD, &params).await?;
        loop {
            let heard = tokio::select! {
                heard = self.client.hear() => heard?,
                end = self.limits.reached(false) => return Ok(end),
            };
            self.limits.hear(thread, &heard);
            match heard {
                Heard::Answer { id, result } if id == call => {
                    return Ok(call_end(read_answer(METHOD, result)?));
                }
                Heard::Question { id, method, params } => {
                    let why = needs_a_person(&method, &params);
                    self.client.decline(&id, &why).await?;
                    return Ok(Outcome::failed(why));
                }
                Heard::Answer { .. } | Heard::Notification { .. } => {}
            }
        }
    }
}

fn turn_end(turn: &Turn) -> Outcome {
    match turn.status {
        TurnStatus::Completed => Outcome { end: End::Succeeded, reason: None, summary: None },
        TurnStatus::Interrupted => Outcome::new(End::Cancelled, "its turn was interrupted"),
        TurnStatus::Failed | TurnStatus::InProgress => {
            let message = turn.error.as_ref().map(|error| error.message.clone());
            Outcome::failed(message.unwrap_or_else(|| "its turn failed without a word".to_owned()))
        }
    }
}

fn call_end(answer: McpServerToolCallResponse) -> Outcome {
    let texts = answer.content.iter().filter_map(|block| block["text"].as_str());
    let text = texts.collect::<Vec<_>>().join("\n");
    let text = match (text.is_empty(), &answer.structured_content) {
        (true, Some(structured)) => structured.to_string(),
        _ => text,
    };
    let (text, is_error) = (shorten(&text), answer.is_error == Some(true));
    match is_error {
        true => {
            Outcome::failed(if text.is_empty() { "the tool failed without a word".to_owned() } else { text })
        }
        false => Outcome { end: End::Succeeded, reason: None, summary: Some(text) },
    }
}

/// Whether the thread cannot be resumed ever; another server may have it for a while.
fn is_lost(error: &RpcError, thread: ThreadId) -> bool {
    [RpcError::no_rollout(thread), RpcError::thread_archived(thread)].contains(error)
}

/// Whether something is said of the thread.
pub(super) fn is_of(params: &Value, thread: ThreadId) -> bool {
    params["threadId"].as_str().is_some_and(|id| id.parse() == Ok(thread))
}

/// A message of the model's.
fn said(item: &Value) -> Option<String> {
    match serde_json::from_value(item.clone()) {
        Ok(ThreadItem::AgentMessage(message)) => Some(message.text),
        _ => None,
    }
}

fn needs_a_person(method: &str, params: &Value) -> String {
    let told = ["message", "reason", "tool"].iter().find_map(|name| params[*name].as_str());
    let what = match method {
        "mcpServer/elicitation/request" => "a question to the user",
        "item/tool/call" => "a tool that a client runs",
        _ => "an approval",
    };
    let told = told.map(|told| format!(": {told}")).unwrap_or_default();
    format!(
        "it needs a person, and a job has none: {what} ({method}){told}; allow the tool in the configuration, or choose another approval policy"
    )
}

fn shorten(text: &str) -> String {
    let mut characters = text.trim().chars();
    let head: String = characters.by_ref().take(SUMMARY).collect();
    if characters.next().is_some() { format!("{head}…") } else { head }
}

fn with(mut params: Value, more: Map<String, Value>) -> Value {
    if let Some(params) = params.as_object_mut() {
        params.extend(more);
    }
    params
}
