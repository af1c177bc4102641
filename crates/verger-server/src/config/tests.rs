//! What may be written, what is refused, what is warned of.

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
fn errors_name_the_file_the_key_and_the_remedy() {
    for (text, expected) in [
        ("model = 3", "config.toml:1: model: invalid type"),
        ("\n\n[oops", "config.toml:3: "),
        (
            "\nmodel_provider = \"nope\"",
            "config.toml:2: model_provider: no provider 'nope' is configured; known are offline",
        ),
        ("[mcp_servers.x]\nargs = []", "config.toml:1: mcp_servers.x: no command"),
        (
            "[mcp_servers.x]\ncomand = \"c\"",
            "config.toml:1: mcp_servers.x: no command; write command = \"PROGRAM\" and args = [...] (comand: unknown key, without effect; did you mean command?)",
        ),
        (
            "[model_providers.x]\nbase_ur = \"u\"\n[mcp_servers.y]\ncommand = \"c\"\nargz = []",
            "config.toml:1: model_providers.x: no base_url; write base_url = \"https://HOST/v1\", or wire_api = \"offline\" (base_ur: unknown key, without effect; did you mean base_url?)",
        ),
        (
            "[helpers]\nmax_helpers = 0",
            "config.toml:2: helpers.max_helpers: 0 would let no helper start; write",
        ),
        ("[helpers]\n\ncrash_limit = 0", "config.toml:3: helpers.crash_limit: 0 would call a server crashed"),
        ("[helpers]\nmax_helpers = -1", "config.toml:2: helpers.max_helpers: invalid value: integer `-1`"),
        ("[helpers]\nrestart_delay = 5", "config.toml:2: helpers.restart_delay: invalid type"),
        ("[mcp_servers.x]\ncommand = 3", "config.toml:2: mcp_servers.x.command: invalid type"),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nargs = [\"a\", 2]",
            "config.toml:3: mcp_servers.x.args[1]: invalid type",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\n[mcp_servers.x.env]\nA = 1",
            "config.toml:4: mcp_servers.x.env.A: invalid type",
        ),
        (
            "[mcp_servers.\"a.b\"]\ncommand = \"c\"\nenv_vars = [3]",
            "config.toml:3: mcp_servers.a.b.env_vars[0]: expected the name of a variable",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nstart = \"soon\"",
            "config.toml:3: mcp_servers.x.start: unknown variant `soon`, expected `lazy` or `eager`",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\ncontainment = \"docker\"",
            "config.toml:3: mcp_servers.x.containment: unknown variant `docker`, expected one of `cgroup`, `shim`, `pidns`",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nurl = \"u\"",
            "config.toml:3: mcp_servers.x.url: command and url exclude each other",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nstartup_timeout_sec = -1",
            "config.toml:3: mcp_servers.x.startup_timeout_sec: not a positive number of seconds",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nterm_grace = 2",
            "config.toml:3: mcp_servers.x.term_grace: invalid type",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nmemory_max = \"a lot\"",
            "config.toml:3: mcp_servers.x.memory_max: \"a lot\" is not a size: write",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nmemory_max = -1",
            "config.toml:3: mcp_servers.x.memory_max: a size is not negative",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nmemory_max = true",
            "config.toml:3: mcp_servers.x.memory_max: invalid type: boolean `true`, expected a size like",
        ),
        (
            "[mcp_servers.x]\nmemory_max = \"0MB\"\ncommand = \"c\"",
            "config.toml:2: mcp_servers.x.memory_max: 0 is no limit",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nmax_processes = 0",
            "config.toml:3: mcp_servers.x.max_processes: 0 is no limit",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nmax_processes = -3",
            "config.toml:3: mcp_servers.x.max_processes: invalid value",
        ),
        (
            "[mcp_servers.x]\ncommand = \"c\"\nidle_timeout = \"0s\"",
            "config.toml:3: mcp_servers.x.idle_timeout: 0 is no limit",
        ),
        ("threads = 3", "config.toml:1: threads: invalid type"),
        (
            "[threads]\norphan_grace = 3",
            "config.toml:2: threads.orphan_grace: invalid type: integer `3`, expected a duration with its unit, like \"500ms\"",
        ),
        (
            "[threads]\norphan_grace = \"soon\"",
            "config.toml:2: threads.orphan_grace: \"soon\" is not a duration",
        ),
        ("[model_providers.x]\nname = \"x\"", "config.toml:1: model_providers.x: no base_url"),
        (
            "[model_providers.x]\nbase_url = \"u\"\nkey_file = \"keys/x\"",
            "config.toml:1: model_providers.x: key_file \"keys/x\" is not absolute; write the whole path",
        ),
        (
            "[model_providers.x]\nbase_url = \"u\"\nenv_key = \"K\"\nkey_file = \"/k\"",
            "config.toml:1: model_providers.x: the key is to come from env_key (K) and from key_file (/k); remove one",
        ),
        (
            "[model_providers.x]\nbase_url = \"u\"\nwire_api = \"grpc\"",
            "config.toml:3: model_providers.x.wire_api: unknown variant `grpc`",
        ),
        (
            "[model_providers.x.http_headers]\nA = true",
            "config.toml:2: model_providers.x.http_headers.A: invalid type",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{text:?} gave {error:?}");
    }
}

#[test]
fn overrides_win_over_the_file_and_their_errors_name_them() {
    let file = "model = \"a\"\n[mcp_servers.x]\ncommand = \"c\"\nargs = [\"1\"]";
    let config =
        parse_with(file, &["model=b", "mcp_servers.x.enabled=false", "mcp_servers.y={command=\"d\"}"])
            .unwrap();
    assert_eq!(config.model.as_deref(), Some("b"));
    assert_eq!(config.enabled_servers().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["y"]);
    assert_eq!(config.mcp_servers[&ServerName::from("x")].args, ["1"], "the rest of the table stays");
    for (flag, expected) in [
        ("model=3", "--config model: invalid type"),
        ("model.x=3", "--config model.x: 'model' is not a table"),
        ("threads.orphan_grace=soon", "--config threads.orphan_grace: \"soon\" is not a duration"),
        ("mcp_servers.z.args=[]", "--config mcp_servers.z.args: no command"),
        ("mcp_servers.x={}", "--config mcp_servers.x: no command"),
        ("mcp_servers.x.command=3", "--config mcp_servers.x.command: invalid type"),
        ("model_provider=x", "--config model_provider: no provider 'x'"),
    ] {
        let error = parse_with(file, &[flag]).unwrap_err();
        assert!(error.starts_with(expected), "{flag:?} gave {error:?}");
    }
    let error = parse_with("[mcp_servers.x]\nargs = []", &["mcp_servers.x.enabled=true"]).unwrap_err();
    assert!(error.starts_with("config.toml:1: mcp_servers.x: no command"), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let found = warnings(
        "modle = \"x\"\norphan_grace = \"1s\"\n[thread]\na = 1\n[threads]\norphn_grace = \"1s\"\n[tui]\ntheme = \"x\"\n\
         [mcp_servers.modle]\ncommand = \"c\"\ncomand = \"d\"\nenv = { modle = \"x\" }\n[model_providers.x]\nbaseurl = \"u\"\nbase_url = \"v\"",
        &["server.listn=x"],
    );
    assert_eq!(
        found,
        [
            "config.toml:11: mcp_servers.modle.comand: unknown key, without effect; did you mean command?",
            "config.toml:14: model_providers.x.baseurl: unknown key, without effect; did you mean base_url?",
            "config.toml:1: modle: unknown key, without effect; did you mean model?",
            "config.toml:2: orphan_grace: unknown key, without effect; did you mean threads.orphan_grace?",
            "--config server.listn: unknown key, without effect; did you mean listen?",
            "config.toml:3: thread: unknown key, without effect; did you mean threads?",
            "config.toml:6: threads.orphn_grace: unknown key, without effect; did you mean orphan_grace?",
            "config.toml:7: tui: unknown key, without effect; docs/config.md lists those that have one",
        ]
    );
}

#[test]
fn a_warning_has_its_place_in_characters() {
    let config = parse("model = \"x\"\n[\"tüi\"]\n[threads]\n  \"ü\".b = 1").unwrap();
    let range = |at: usize| config.warnings[at].place.as_ref().unwrap().1;
    let places: Vec<_> =
        (0..2).map(|at| (range(at).start.line, range(at).start.column, range(at).end.column)).collect();
    assert_eq!(places, [(4, 3, 6), (2, 2, 7)]);
}

#[test]
fn warnings_are_bounded() {
    let many: String = (0..100).map(|at| format!("strange_{at} = 1\n")).collect();
    let found = warnings(&many, &[]);
    assert_eq!(found.len(), 21);
    assert_eq!(found[20], "config.toml: 80 more keys without effect");
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
fn what_codex_would_do_and_verger_does_not_is_said() {
    let found = warnings(
        r#"
        [mcp_servers.remote]
        url = "https://mcp.example"
        [mcp_servers.x]
        command = "c"
        required = true
        http_headers = { A = "b" }
        env_vars = [{ name = "B", source = "remote" }]
        [model_providers.x]
        base_url = "http://127.0.0.1:9"
        requires_openai_auth = true
        auth = { command = "c" }
        "#,
        &[],
    );
    let keys: Vec<_> =
        found.iter().map(|warning| warning.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        keys,
        [
            "config.toml:7 mcp_servers.x.http_headers",
            "config.toml:6 mcp_servers.x.required",
            "config.toml:12 model_providers.x.auth",
            "config.toml:11 model_providers.x.requires_openai_auth",
            "config.toml:3 mcp_servers.remote.url",
            "config.toml:8 mcp_servers.x.env_vars",
        ]
    );
    assert!(found[4].contains("'remote' is left out"), "{}", found[4]);
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
