//! What may be written, and what it comes to; `refused` and `warned` are about the rest.

mod refused;
mod warned;

mod jobs;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use verger_core::server::{Restarts, Rules, ServerName};
use verger_reaper::Graces;

use super::duration::Period;
use super::*;

fn parse_with(text: &str, flags: &[&str]) -> Result<Config, String> {
    let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let overrides = Overrides::new([], &flags).map_err(|error| error.to_string())?;
    Config::parse(text, Path::new("config.toml"), &Arc::new(overrides)).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Config, String> {
    parse_with(text, &[])
}

fn warnings(text: &str, flags: &[&str]) -> Vec<String> {
    parse_with(text, flags).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = parse("").unwrap();
    assert!(config.model_providers.contains_key("offline"));
    assert_eq!(config.mcp_servers.len(), 0);
    assert_eq!(config.warnings, []);
}

#[test]
fn the_keys_that_people_bring_along_are_understood() {
    let config = parse(
        r#"
        model = "m"
        model_provider = "mock"
        approval_policy = "never"
        sandbox_mode = "danger-full-access"
        [threads]
        orphan_grace = "1m 30s"
        [model_providers.mock]
        name = "mock"
        base_url = "http://127.0.0.1:9/v1"
        wire_api = "responses"
        request_max_retries = 0
        experimental_bearer_token = "t"
        [mcp_servers.helper]
        command = "python3"
        args = ["h.py"]
        startup_timeout_sec = 30
        start = "eager"
        env = { A = "b" }
        env_vars = ["C", { name = "D", source = "local" }]
        enabled_tools = ["a", "b"]
        disabled_tools = ["b"]
        [mcp_servers.quick]
        command = "python3"
        startup_timeout_ms = 1500
        stdin_grace = "50ms"
        idle_timeout = "10m"
        memory_max = "1GiB"
        max_processes = 20
        "#,
    )
    .unwrap();
    let server = |name| config.mcp_server(&ServerName::from(name)).unwrap();
    assert_eq!(server("helper").start, Start::Eager);
    assert_eq!(server("helper").startup_timeout(), Duration::from_secs(30));
    assert_eq!(server("quick").startup_timeout(), Duration::from_millis(1500));
    let graces = Graces { stdin: Duration::from_millis(50), ..Graces::default() };
    assert_eq!((server("quick").graces(), server("helper").graces()), (graces, Graces::default()));
    let limits = |name| (server(name).idle_timeout, server(name).memory_max, server(name).max_processes);
    assert_eq!(limits("quick"), (Some(Period(Duration::from_secs(600))), Some(Size(1 << 30)), Some(20)));
    assert_eq!(limits("helper"), (None, None, None));
    let variables: Vec<_> = server("helper").env_vars.iter().map(EnvVar::name).collect();
    assert_eq!(variables, ["C", "D"]);
    let offered = ["a", "b", "c"].map(|tool| server("helper").offers(tool));
    assert_eq!(offered, [true, false, false]);
    assert_eq!(config.threads.rules().orphan_grace, Duration::from_secs(90));
    assert_eq!(config.model_providers["mock"].http_headers["Authorization"], "Bearer t");
    assert_eq!(config.warnings, []);
}

#[test]
fn tables_of_codex_are_taken_whole() {
    let found = warnings(
        r#"
        [mcp_servers.x]
        command = "c"
        args = []
        env = {}
        env_vars = ["A", { name = "B", source = "local" }]
        cwd = "/"
        enabled = true
        required = false
        startup_timeout_sec = 1
        startup_timeout_ms = 1
        tool_timeout_sec = 2.5
        enabled_tools = ["a"]
        disabled_tools = ["b"]
        supports_parallel_tool_calls = true
        default_tools_approval_mode = "auto"
        tools = { a = { approval_mode = "writes" } }
        environment_id = "local"
        startup_readiness = "catalog"
        name = "n"
        scopes = []
        [mcp_servers.off]
        url = "https://mcp.example"
        enabled = false
        auth = "oauth"
        bearer_token_env_var = "T"
        http_headers = { A = "b" }
        http_headers_helper = "x"
        env_http_headers = { A = "B" }
        oauth = { client_id = "x" }
        oauth_resource = "x"
        scopes = ["x"]
        [model_providers.x]
        name = "x"
        base_url = "http://127.0.0.1:9"
        env_key = "K"
        env_key_instructions = "i"
        wire_api = "responses"
        query_params = {}
        http_headers = {}
        env_http_headers = {}
        request_max_retries = 1
        stream_max_retries = 1
        stream_idle_timeout_ms = 1
        websocket_connect_timeout_ms = 1
        requires_openai_auth = false
        supports_websockets = true
        supports_standalone_web_search = true
        "#,
        &[],
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn nothing_shown_is_secret() {
    let config = parse_with(
        r#"
        [mcp_servers.x]
        command = "c"
        env = { A = "hush1" }
        tokn = "hush2"
        [mcp_servers.y]
        url = "https://u:hush3@mcp.example/a?key=hush4"
        http_headers = { A = "hush5" }
        [model_providers.x]
        base_url = "http://u:hush6@127.0.0.1:9/v1?k=hush7"
        experimental_bearer_token = "hush8"
        http_headers = { A = "hush9" }
        query_params = { k = "hush10" }
        "#,
        &["mcp_servers.x.env.B=hush11", "threads.orphan_grace=2m"],
    )
    .unwrap();
    let shown = format!("{:?}", config.shown());
    assert!(!shown.contains("hush"), "{shown}");
    let in_force = serde_json::Value::from(config.shown().config.clone());
    assert_eq!(in_force["mcp_servers"]["x"]["env"], serde_json::json!({ "A": "(hidden)", "B": "(hidden)" }));
    assert_eq!(in_force["model_providers"]["x"]["base_url"], "http://127.0.0.1:9/v1");
    assert_eq!(in_force["threads"]["orphan_grace"], "2m");
    assert_eq!(in_force["threads"]["unsaved_grace"], "1m");
    let origins = config.shown().origins();
    assert_eq!(origins["threads.orphan_grace"]["name"]["type"], "sessionFlags");
    assert_eq!(origins["mcp_servers.x.command"]["name"]["type"], "user");
}

#[test]
fn the_reference_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == reference(), "docs/config.md is stale: run `cargo xtask docs`");
}

#[test]
fn every_example_of_the_reference_is_accepted() {
    let mut table = String::new();
    for line in reference().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            table = title.trim_matches(['`', '[', ']']).replace("NAME", "x");
        }
        let Some(example) = line.split("e.g. `").nth(1).and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        let (key, value) = example.split_once(" = ").unwrap();
        let flag = if table == "Top level" { example.to_owned() } else { format!("{table}.{key}={value}") };
        let mut flags = vec![flag.as_str()];
        // What every entry of its table needs.
        match table.as_str() {
            "mcp_servers.x" if key != "url" && key != "command" => flags.push("mcp_servers.x.command=c"),
            "model_providers.x" if key != "base_url" => flags.push("model_providers.x.base_url=u"),
            "jobs.x" => {
                flags.extend((key != "schedule").then_some("jobs.x.schedule=@daily"));
                flags.extend((key != "prompt").then_some("jobs.x.prompt=p"));
                flags.extend((key == "servers").then_some("mcp_servers.git.command=c"));
            }
            _ if key == "model_provider" => flags.push("model_providers.local.base_url=u"),
            _ => {}
        }
        let config = parse_with("", &flags).unwrap_or_else(|error| panic!("{flags:?}: {error}"));
        assert_eq!(config.warnings.len(), usize::from(key == "url"), "{flags:?}: {:?}", config.warnings);
    }
}

#[test]
fn the_rules_for_helpers_reach_the_core() {
    let config = parse(
        "[threads]\ndrain_limit = \"1s\"\n[helpers]\nmax_helpers = 7\nrestart_delay = \"1s\"\nrestart_delay_limit = \"2s\"\n\
         healthy_after = \"3s\"\ncrash_limit = 4\ncrash_window = \"5s\"\n",
    );
    let rules = config.unwrap().rules(9);
    let seconds = Duration::from_secs;
    let restarts = Restarts {
        delay: seconds(1),
        delay_limit: seconds(2),
        healthy_after: seconds(3),
        crash_limit: 4,
        crash_window: seconds(5),
        seed: 9,
    };
    assert_eq!(rules, Rules { drain_limit: seconds(1), max_helpers: 7, restarts, ..Rules::default() });
    assert_eq!(parse("").unwrap().rules(0), Rules::default());
}
