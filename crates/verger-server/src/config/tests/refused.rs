//! What is refused: by the file, the line, the key and the remedy.

use super::*;

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
