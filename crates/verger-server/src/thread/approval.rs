//! Whether a tool may be called without asking, and asking where it may not.

use serde_json::{Map, Value, json};
use verger_core::server::ServerName;
use verger_core::thread::{Answer, Ask, Outcome};
use verger_mcp::{Hints, Tool};
use verger_wire::types::{AskForApproval, McpServerElicitationAction, SandboxPolicy};
use verger_wire::{
    McpServerElicitationRequest, McpServerElicitationRequestResponse, McpToolApprovalMeta, ToolParamDisplay,
};

use super::asking::Asking;
use super::tools::Caller;
use crate::config::ToolApproval;
use crate::meta::Settings;

/// What a rejected call is told, in the words that clients and models know from the peer.
const REJECTED: &str = "user rejected MCP tool call";
const CANCELLED: &str = "user cancelled MCP tool call";

/// Why a call was given up whose question ended without an answer. Its turn has ended then, which says so itself.
const WITHDRAWN: &str = "the call was given up before anyone approved it";

/// When tools are called without asking: a thread's settings, as one of its turns found them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    approval: AskForApproval,
    /// The client said that nothing is out of bounds.
    has_full_access: bool,
    /// The user typed the calls, so that nobody need be asked.
    is_offline: bool,
}

/// What is to be done about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Runs,
    Asks,
    /// Someone would have to be asked, and nobody may be.
    Refused,
}

impl Policy {
    pub(super) fn new(settings: &Settings, is_offline: bool) -> Self {
        let has_full_access = matches!(settings.sandbox, SandboxPolicy::DangerFullAccess);
        Self { approval: settings.approval_policy, has_full_access, is_offline }
    }

    /// The answer to a helper's question, where nobody may be asked.
    pub(super) fn elicitation(self, request: &McpServerElicitationRequest) -> Option<Answer> {
        let may_ask = match self.approval {
            AskForApproval::Never => false,
            AskForApproval::Granular(granular) => granular.mcp_elicitations,
            AskForApproval::Untrusted | AskForApproval::OnRequest => true,
        };
        if may_ask {
            return None;
        }
        // A form without fields asks for a yes, which full access is.
        let is_confirmation = match request {
            McpServerElicitationRequest::Form { requested_schema, .. } => {
                requested_schema["properties"].as_object().is_none_or(Map::is_empty)
            }
            McpServerElicitationRequest::Url { .. } => false,
        };
        let is_yes = is_confirmation && self.has_full_access && self.approval == AskForApproval::Never;
        let action = match is_yes {
            true => McpServerElicitationAction::Accept,
            false => McpServerElicitationAction::Decline,
        };
        Some(Answer::Elicitation(McpServerElicitationRequestResponse { action, content: None, meta: None }))
    }

    fn verdict(self, mode: ToolApproval, hints: Hints) -> Verdict {
        let never = self.approval == AskForApproval::Never;
        let needs = match mode {
            ToolApproval::Approve => false,
            ToolApproval::Prompt => true,
            ToolApproval::Writes => hints.read_only != Some(true),
            // What a tool does not say of itself is taken for the worse.
            ToolApproval::Auto => {
                let is_tame = hints.destructive == Some(false) && hints.open_world == Some(false);
                !self.is_offline && hints.read_only != Some(true) && !is_tame
            }
        };
        match (needs, never) {
            (false, _) => Verdict::Runs,
            (true, true) if self.has_full_access => Verdict::Runs,
            (true, true) => Verdict::Refused,
            (true, false) => Verdict::Asks,
        }
    }
}

/// A call that may need an approval.
pub(super) struct Call<'a> {
    /// The item's id.
    pub(super) item: &'a str,
    pub(super) server: &'a ServerName,
    pub(super) tool: &'a Tool,
    pub(super) arguments: &'a Value,
    /// What the configuration says of the tool.
    pub(super) mode: ToolApproval,
}

impl Caller {
    /// Returns when the call may be made. The error is for the model and for people.
    pub(super) async fn approve(&self, call: &Call<'_>, policy: Policy) -> Result<(), String> {
        match policy.verdict(call.mode, call.tool.hints) {
            Verdict::Runs => Ok(()),
            Verdict::Asks if self.is_granted(call) => Ok(()),
            Verdict::Asks => self.ask_approval(call).await,
            Verdict::Refused => Err(format!(
                "MCP tool call requires approval, but approval policy is never: tool '{}' of server '{}' does not say that it \
                 only reads; allow it with approval_mode = \"approve\" in [mcp_servers.{}.tools.{}], or everything with \
                 sandbox_mode = \"danger-full-access\"",
                call.tool.name, call.server, call.server, call.tool.name
            )),
        }
    }

    /// Whether the user has allowed the tool for this conversation; a mode that asks every time is above that.
    fn is_granted(&self, call: &Call<'_>) -> bool {
        call.mode == ToolApproval::Auto && self.shared.grants.has(self.thread, call.server, &call.tool.name)
    }

    async fn ask_approval(&self, call: &Call<'_>) -> Result<(), String> {
        let ask = Ask::Approval { item: call.item.to_owned(), request: question(call) };
        let asking = Asking::new(&self.shared.questions, &self.owner, ask);
        let outcome = match asking {
            Some(asking) => asking.outcome().await,
            None => Outcome::Withdrawn,
        };
        match outcome {
            Outcome::Answered(Answer::Elicitation(response)) => match response.action {
                McpServerElicitationAction::Accept => {
                    self.grant(call, &response).await;
                    Ok(())
                }
                McpServerElicitationAction::Decline => Err(REJECTED.to_owned()),
                McpServerElicitationAction::Cancel => Err(CANCELLED.to_owned()),
            },
            Outcome::Answered(Answer::Unable(why)) => Err(format!("{REJECTED}: {why}")),
            Outcome::Answered(Answer::Tool(_)) => Err(REJECTED.to_owned()),
            Outcome::Withdrawn => Err(WITHDRAWN.to_owned()),
        }
    }

    /// Keeps a yes for as long as the user said.
    async fn grant(&self, call: &Call<'_>, response: &McpServerElicitationRequestResponse) {
        // Where the configuration says that every call is asked for, no answer changes that.
        if call.mode != ToolApproval::Auto {
            return;
        }
        let persist = response.meta.as_ref().and_then(|meta| meta.get("persist")).and_then(Value::as_str);
        let (server, tool) = (call.server, call.tool.name.as_str());
        match persist {
            Some("session") => self.shared.grants.add(self.thread, server, tool),
            Some("always") => {
                // Whatever becomes of the file, it holds for this thread.
                self.shared.grants.add(self.thread, server, tool);
                self.shared.keep_approval(server, tool).await;
            }
            _ => {}
        }
    }
}

/// What the client shows its user.
fn question(call: &Call<'_>) -> McpServerElicitationRequest {
    let tool = call.tool;
    let display = |(name, value): (&String, &Value)| ToolParamDisplay {
        name: name.clone(),
        value: value.clone(),
        display_name: name.clone(),
    };
    let empty = Map::new();
    let params = call.arguments.as_object().unwrap_or(&empty);
    let meta = McpToolApprovalMeta {
        codex_approval_kind: "mcp_tool_call".to_owned(),
        persist: match call.mode {
            ToolApproval::Auto => vec!["session".to_owned(), "always".to_owned()],
            _ => Vec::new(),
        },
        tool_name: tool.name.clone(),
        tool_title: tool.raw.get("title").and_then(Value::as_str).map(str::to_owned),
        tool_annotations: tool.raw.get("annotations").filter(|notes| notes.is_object()).cloned(),
        tool_description: tool.description.clone(),
        tool_params: if call.arguments.is_null() { json!({}) } else { call.arguments.clone() },
        tool_params_display: params.iter().map(display).collect(),
    };
    McpServerElicitationRequest::Form {
        meta: Some(serde_json::to_value(meta).expect("texts and JSON values always encode")),
        message: format!("Allow the {} MCP server to run tool \"{}\"?", call.server, tool.name),
        requested_schema: json!({ "type": "object", "properties": {} }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: SandboxPolicy = SandboxPolicy::DangerFullAccess;
    const READ_ONLY: SandboxPolicy = SandboxPolicy::ReadOnly { network_access: false };

    fn verdict(
        approval: AskForApproval,
        sandbox: &SandboxPolicy,
        mode: ToolApproval,
        hints: Hints,
    ) -> Verdict {
        let has_full_access = matches!(sandbox, SandboxPolicy::DangerFullAccess);
        Policy { approval, has_full_access, is_offline: false }.verdict(mode, hints)
    }

    fn hints(read_only: Option<bool>, destructive: Option<bool>, open_world: Option<bool>) -> Hints {
        Hints { read_only, destructive, open_world, idempotent: None }
    }

    #[test]
    fn a_tool_is_asked_for_unless_it_says_that_it_is_harmless() {
        let auto = |hints| verdict(AskForApproval::OnRequest, &READ_ONLY, ToolApproval::Auto, hints);
        for harmless in [
            hints(Some(true), None, None),
            hints(Some(true), Some(true), Some(true)),
            hints(None, Some(false), Some(false)),
        ] {
            assert_eq!(auto(harmless), Verdict::Runs, "{harmless:?}");
        }
        for other in [
            Hints::default(),
            hints(Some(false), None, None),
            hints(None, Some(false), None),
            hints(None, None, Some(false)),
        ] {
            assert_eq!(auto(other), Verdict::Asks, "{other:?}");
        }
    }

    #[test]
    fn never_runs_only_where_nothing_is_out_of_bounds() {
        let never =
            |sandbox: &SandboxPolicy, mode| verdict(AskForApproval::Never, sandbox, mode, Hints::default());
        assert_eq!(never(&FULL, ToolApproval::Auto), Verdict::Runs);
        assert_eq!(never(&FULL, ToolApproval::Prompt), Verdict::Runs);
        assert_eq!(never(&READ_ONLY, ToolApproval::Auto), Verdict::Refused);
        assert_eq!(never(&READ_ONLY, ToolApproval::Approve), Verdict::Runs);
    }

    #[test]
    fn modes_of_the_configuration_count() {
        let asks = |mode, hints| verdict(AskForApproval::Untrusted, &FULL, mode, hints) == Verdict::Asks;
        let reads = hints(Some(true), None, None);
        assert!(asks(ToolApproval::Prompt, reads) && !asks(ToolApproval::Writes, reads));
        assert!(asks(ToolApproval::Writes, hints(None, Some(false), Some(false))));
        assert!(!asks(ToolApproval::Approve, Hints::default()));
    }

    #[test]
    fn what_the_user_typed_runs_unless_the_configuration_says_otherwise() {
        let typed = Policy { approval: AskForApproval::OnRequest, has_full_access: false, is_offline: true };
        assert_eq!(typed.verdict(ToolApproval::Auto, Hints::default()), Verdict::Runs);
        assert_eq!(typed.verdict(ToolApproval::Prompt, Hints::default()), Verdict::Asks);
    }
}
