//! What is warned of: keys without effect, and what Codex would do with them.

use super::*;

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
