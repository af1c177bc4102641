//! What is known of a thread besides its turns, and the wire's picture of it.

use serde::{Deserialize, Serialize};
use verger_core::ids::ThreadId;
use verger_store::{NewThread, ThreadRow};
use verger_wire::requests::{
    Replay, ThreadForkParams, ThreadResumeParams, ThreadStartParams, ThreadStartResponse,
};
use verger_wire::types::{
    ApprovalsReviewer, AskForApproval, GitInfo, ReasoningSummary, SandboxMode, SandboxPolicy, SessionSource,
    Thread, ThreadHistoryMode, ThreadStatus, Turn,
};

use crate::config::Config;
use crate::settings;
use crate::thread::ClientTool;

/// The protocol level that this server speaks.
pub(crate) const PROTOCOL_LEVEL: &str = "0.169.0";

/// A thread's own facts. Times are Unix seconds.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) id: ThreadId,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    /// When the user last spoke.
    pub(crate) recency_at: i64,
    pub(crate) name: Option<String>,
    pub(crate) preview: String,
    pub(crate) ephemeral: bool,
    pub(crate) cwd: String,
    pub(crate) model: String,
    pub(crate) model_provider: String,
    pub(crate) forked_from: Option<ThreadId>,
    pub(crate) git_info: Option<GitInfo>,
    pub(crate) settings: Settings,
}

/// How a thread runs; kept with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) approval_policy: AskForApproval,
    pub(crate) sandbox: SandboxPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base_instructions: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) developer_instructions: Option<String>,
    /// MCP servers that it does without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) servers_off: Vec<String>,
    /// Tools that its clients provide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) client_tools: Vec<ClientTool>,
    /// How hard the model thinks; as its provider likes where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) effort: Option<String>,
    /// How much of its reasoning it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<ReasoningSummary>,
    /// How many tokens it can hold, where that is not what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context_window: Option<u32>,
}

/// What a request may set over the configuration.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) cwd: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) model_provider: Option<String>,
    pub(crate) approval_policy: Option<AskForApproval>,
    pub(crate) sandbox: Option<SandboxPolicy>,
    pub(crate) base_instructions: Option<String>,
    pub(crate) developer_instructions: Option<String>,
    pub(crate) servers_off: Option<Vec<String>>,
    pub(crate) effort: Option<String>,
    pub(crate) summary: Option<ReasoningSummary>,
    pub(crate) context_window: Option<u32>,
}

/// The three requests that set the same members.
macro_rules! overrides_of {
    ($($params:ty),+) => {$(
        impl From<&$params> for Overrides {
            fn from(params: &$params) -> Self {
                let beyond = settings::beyond(params.config.as_ref());
                Self {
                    cwd: params.cwd.clone(),
                    model: params.model.clone(),
                    model_provider: params.model_provider.clone(),
                    approval_policy: params.approval_policy,
                    sandbox: params.sandbox.map(policy),
                    base_instructions: params.base_instructions.clone(),
                    developer_instructions: params.developer_instructions.clone(),
                    servers_off: beyond.servers_off,
                    effort: beyond.model_reasoning_effort,
                    summary: beyond.model_reasoning_summary,
                    context_window: beyond.model_context_window,
                }
            }
        }
    )+};
}

overrides_of!(ThreadStartParams, ThreadForkParams, ThreadResumeParams);

/// The repository's state, where it is readable.
fn git_info(row: &ThreadRow) -> Option<GitInfo> {
    serde_json::from_str(row.git_info.as_deref()?)
        .inspect_err(
            |cause| tracing::warn!(thread = %row.id, %cause, "the thread's git info is not readable"),
        )
        .ok()
}

fn policy(mode: SandboxMode) -> SandboxPolicy {
    match mode {
        SandboxMode::ReadOnly => SandboxPolicy::ReadOnly { network_access: false },
        SandboxMode::DangerFullAccess => SandboxPolicy::DangerFullAccess,
        SandboxMode::WorkspaceWrite => SandboxPolicy::WorkspaceWrite {
            writable_roots: Vec::new(),
            network_access: false,
            exclude_tmpdir_env_var: false,
            exclude_slash_tmp: false,
        },
    }
}

impl Overrides {
    /// Refuses what the configuration does not know or the machine does not have. The error names key and remedy.
    pub(crate) fn check(&self, config: &Config) -> Result<(), (&'static str, String)> {
        if let Some(id) = self.model_provider.as_ref().filter(|id| !config.model_providers.contains_key(*id))
        {
            let known = config.model_providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(("modelProvider", format!("no provider '{id}' is configured; known are {known}")));
        }
        if let Some(cwd) = self.cwd.as_ref().filter(|cwd| !std::path::Path::new(cwd).is_absolute()) {
            return Err(("cwd", format!("'{cwd}' is not an absolute path")));
        }
        Ok(())
    }
}

impl Meta {
    /// A new thread: what the request says, else what the configuration says, else what needs nothing.
    pub(crate) fn new(id: ThreadId, now: i64, ephemeral: bool, over: Overrides, config: &Config) -> Self {
        let here = || std::env::current_dir().map_or_else(|_| "/".into(), |dir| dir.display().to_string());
        let provider = over.model_provider.or_else(|| config.model_provider.clone());
        let model_provider = provider.unwrap_or_else(|| "offline".to_owned());
        let model = over.model.or_else(|| config.model.clone()).unwrap_or_else(|| model_provider.clone());
        let sandbox = over.sandbox.or_else(|| config.sandbox_mode.map(policy));
        let approval_policy = over.approval_policy.or(config.approval_policy);
        Self {
            id,
            created_at: now,
            updated_at: now,
            recency_at: now,
            name: None,
            preview: String::new(),
            ephemeral,
            cwd: over.cwd.unwrap_or_else(here),
            model,
            model_provider,
            forked_from: None,
            git_info: None,
            settings: Settings {
                approval_policy: approval_policy.unwrap_or(AskForApproval::OnRequest),
                sandbox: sandbox.unwrap_or(SandboxPolicy::ReadOnly { network_access: false }),
                base_instructions: over.base_instructions,
                developer_instructions: over.developer_instructions,
                servers_off: over.servers_off.unwrap_or_default(),
                client_tools: Vec::new(),
                effort: over.effort.or_else(|| config.model_reasoning_effort.clone()),
                summary: over.summary.or(config.model_reasoning_summary),
                context_window: over.context_window,
            },
        }
    }

    /// A saved thread. Settings that an older or newer version wrote otherwise fall back to the careful defaults.
    pub(crate) fn from_row(row: &ThreadRow) -> Self {
        let settings = serde_json::from_str(&row.settings).unwrap_or_else(|cause| {
            tracing::warn!(thread = %row.id, %cause, "the thread's settings are not readable; it gets the careful defaults");
            Settings {
                approval_policy: AskForApproval::OnRequest,
                sandbox: SandboxPolicy::ReadOnly { network_access: false },
                base_instructions: None,
                developer_instructions: None,
                servers_off: Vec::new(),
                client_tools: Vec::new(),
                effort: None,
                summary: None,
                context_window: None,
            }
        });
        Self {
            id: row.id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            recency_at: row.recency_at,
            name: row.name.clone(),
            preview: row.preview.clone(),
            ephemeral: false,
            cwd: row.cwd.clone(),
            model: row.model.clone().unwrap_or_else(|| row.model_provider.clone()),
            model_provider: row.model_provider.clone(),
            forked_from: row.forked_from,
            git_info: git_info(row),
            settings,
        }
    }

    /// A fork of `source`, as long as nothing else was asked for.
    pub(crate) fn forked(source: &Self, id: ThreadId, now: i64, ephemeral: bool) -> Self {
        Self {
            id,
            created_at: now,
            updated_at: now,
            recency_at: now,
            ephemeral,
            forked_from: Some(source.id),
            git_info: None,
            ..source.clone()
        }
    }

    /// What the store keeps of it with its first turn.
    pub(crate) fn to_new_thread(&self) -> NewThread {
        NewThread {
            created_at: self.created_at,
            name: self.name.clone(),
            cwd: self.cwd.clone(),
            model: Some(self.model.clone()),
            model_provider: self.model_provider.clone(),
            preview: self.preview.clone(),
            settings: self.settings_json(),
            forked_from: self.forked_from,
            git_info: self.git_info_json(),
        }
    }

    /// What the store keeps of the repository's state.
    pub(crate) fn git_info_json(&self) -> Option<String> {
        let json = |info| serde_json::to_string(info).expect("three texts, which always encode");
        self.git_info.as_ref().map(json)
    }

    pub(crate) fn settings_json(&self) -> String {
        serde_json::to_string(&self.settings)
            .expect("settings are plain data with string keys, which always encode")
    }

    /// Sets what a resume asks for; it holds for the turns to come, and is kept with the next of them.
    pub(crate) fn apply(&mut self, over: Overrides) {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(from) = from {
                *to = from;
            }
        }
        set(&mut self.cwd, over.cwd);
        set(&mut self.model, over.model);
        set(&mut self.model_provider, over.model_provider);
        set(&mut self.settings.approval_policy, over.approval_policy);
        set(&mut self.settings.sandbox, over.sandbox);
        set(&mut self.settings.servers_off, over.servers_off);
        fn keep<T>(to: &mut Option<T>, from: Option<T>) {
            *to = from.or(to.take());
        }
        keep(&mut self.settings.effort, over.effort);
        keep(&mut self.settings.summary, over.summary);
        keep(&mut self.settings.context_window, over.context_window);
        keep(&mut self.settings.base_instructions, over.base_instructions);
        keep(&mut self.settings.developer_instructions, over.developer_instructions);
    }

    /// As clients see it.
    pub(crate) fn to_wire(&self, status: ThreadStatus, turns: Vec<Turn>) -> Thread {
        let id = self.id.to_string();
        Thread {
            session_id: id.clone(),
            id,
            forked_from_id: self.forked_from.map(|id| id.to_string()),
            parent_thread_id: None,
            preview: self.preview.clone(),
            ephemeral: self.ephemeral,
            section: None,
            section_entered_at: None,
            project_id: None,
            history_mode: ThreadHistoryMode::Paginated,
            model_provider: self.model_provider.clone(),
            model: Some(self.model.clone()),
            reasoning_effort: self.settings.effort.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            recency_at: Some(self.recency_at),
            status,
            path: None,
            cwd: self.cwd.clone(),
            cli_version: PROTOCOL_LEVEL.to_owned(),
            originator: None,
            // What the peer gives to the threads of its app-server: clients list by it.
            source: SessionSource::VsCode,
            thread_source: None,
            agent_nickname: None,
            agent_role: None,
            git_info: self.git_info.clone(),
            name: self.name.clone(),
            turns,
        }
    }

    /// The answer to `thread/start`, and most of the one to `thread/resume`.
    pub(crate) fn to_response(
        &self,
        status: ThreadStatus,
        turns: Vec<Turn>,
        replay: Option<Replay>,
    ) -> ThreadStartResponse {
        ThreadStartResponse {
            thread: self.to_wire(status, turns),
            model: self.model.clone(),
            model_provider: self.model_provider.clone(),
            service_tier: None,
            disabled_plugin_ids: Vec::new(),
            cwd: self.cwd.clone(),
            instruction_sources: Vec::new(),
            approval_policy: self.settings.approval_policy,
            approvals_reviewer: ApprovalsReviewer::default(),
            sandbox: self.settings.sandbox.clone(),
            reasoning_effort: self.settings.effort.clone(),
            replay,
        }
    }
}
