//! The handshake, and what clients ask about the server itself.

use std::collections::BTreeMap;

use serde_json::{Map, json};
use verger_wire::requests::*;
use verger_wire::types::ThreadStatus;
use verger_wire::{ClientRequest, requests::Empty};

use super::{Exchange, THREAD, ask};

const FOLDER: &str = "/home/ada/engine";

pub(super) fn exchanges() -> Vec<Exchange> {
    let relay = RelayParams {
        cwd: "/home/ada/engine".into(),
        path: Some("/usr/local/bin:/usr/bin:/bin".into()),
        overrides: vec![("model".into(), "\"qwen3-coder\"".into())],
        environment: BTreeMap::from([("OPENAI_API_KEY".into(), None)]),
    };
    let restart = HelperRestartParams { server: "git".into(), thread_id: Some(THREAD.into()) };
    vec![
        initialize(),
        ask(30, ClientRequest::AccountRead(GetAccountParams { refresh_token: false }), &nobody()),
        ask(31, ClientRequest::ModelList(ModelListParams::default()), &models()),
        ask(36, ClientRequest::ModelProviderList(Empty {}), &providers()),
        ask(37, ClientRequest::HooksList(FoldersParams { cwds: vec![FOLDER.into()] }), &hooks()),
        ask(38, ClientRequest::SkillsList(FoldersParams { cwds: vec![FOLDER.into()] }), &skills()),
        ask(32, ClientRequest::ConfigRead(ConfigReadParams::default()), &config()),
        ask(
            33,
            ClientRequest::ConfigRequirementsRead(Empty {}),
            &ConfigRequirementsReadResponse { requirements: None },
        ),
        ask(34, ClientRequest::McpServerReload(Empty {}), &Empty {}),
        ask(35, ClientRequest::Ps(Empty {}), &ps()),
        ask(39, ClientRequest::HelperRestart(restart), &HelperRestartResponse { ended: 1, forgiven: 1 }),
        ask(0, ClientRequest::Relay(relay), &Empty {}),
    ]
}

fn initialize() -> Exchange {
    let client =
        ClientInfo { name: "my-editor".into(), title: Some("My Editor".into()), version: "1.4.0".into() };
    let capabilities = InitializeCapabilities {
        opt_out_notification_methods: Some(vec!["item/reasoning/textDelta".into()]),
        ..Default::default()
    };
    let params = InitializeParams { client_info: client, capabilities: Some(capabilities) };
    let result = InitializeResponse {
        user_agent: "my-editor/0.169.0 (Linux 6.18.0; x86_64) verger/0.1.0 (my-editor; 1.4.0)".into(),
        codex_home: "/home/ada/.local/state/verger".into(),
        platform_family: "unix".into(),
        platform_os: "linux".into(),
    };
    ask(1, ClientRequest::Initialize(params), &result)
}

fn nobody() -> GetAccountResponse {
    GetAccountResponse { account: None, user_id: None, requires_openai_auth: false }
}

fn models() -> ModelListResponse {
    let model = Model {
        id: "qwen3-coder".into(),
        model: "qwen3-coder".into(),
        display_name: "qwen3-coder".into(),
        description: "As the provider 'local' is configured.".into(),
        hidden: false,
        supported_reasoning_efforts: vec![ReasoningEffortOption {
            reasoning_effort: "medium".into(),
            description: "As the provider likes.".into(),
        }],
        default_reasoning_effort: "medium".into(),
        is_default: true,
    };
    ModelListResponse { data: vec![model], next_cursor: None }
}

fn providers() -> ModelProviderListResponse {
    let local = ModelProviderSummary {
        id: "local".into(),
        name: "The machine in the cellar".into(),
        can_edit: false,
        base_url: Some("http://127.0.0.1:8080/v1".into()),
        settings: ProviderSettings::CustomGateway {
            auth: GatewayAuth::EnvironmentVariable { env_key: "CELLAR_KEY".into() },
        },
    };
    ModelProviderListResponse {
        data: vec![local],
        default_provider_id: "local".into(),
        can_change_default: false,
    }
}

fn hooks() -> HooksListResponse {
    HooksListResponse { data: vec![FolderHooks { cwd: FOLDER.into(), ..Default::default() }] }
}

fn skills() -> SkillsListResponse {
    SkillsListResponse { data: vec![FolderSkills { cwd: FOLDER.into(), ..Default::default() }] }
}

fn config() -> ConfigReadResponse {
    let config = json!({ "model": "qwen3-coder", "model_provider": "local", "approval_policy": null });
    let config = config.as_object().cloned().unwrap_or_default();
    ConfigReadResponse { config, origins: Map::new(), layers: None }
}

fn ps() -> PsResponse {
    PsResponse {
        server: PsServer {
            version: "0.1.0".into(),
            pid: 4021,
            run: "9b0c7d5e41".into(),
            uptime_sec: 3605,
            level: ContainmentLevel::Cgroup,
            level_reason: None,
            swept: 0,
        },
        threads: vec![PsThread {
            id: THREAD.into(),
            status: ThreadStatus::Idle,
            subscribers: 1,
            generation: 3,
            preview: "Which files changed today?".into(),
        }],
        helpers: vec![PsHelper {
            id: 7,
            server: "git".into(),
            scope: THREAD.into(),
            pid: Some(4102),
            state: HelperState::Running,
            level: ContainmentLevel::Cgroup,
            uptime_sec: 61,
            processes: 2,
            rss_bytes: 48_300_032,
            strays: 0,
            reason: None,
            retry_in_ms: None,
        }],
        connections: 2,
        tasks: 9,
    }
}
