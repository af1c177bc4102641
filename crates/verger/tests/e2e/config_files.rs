//! The configuration from outside: what has no effect is said to everybody, what is set over the file stays set, and what
//! Codex's tables say is done.

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{self, STUBBORN, Stage, touch, verger};

const LISTEN: [&str; 3] = ["app-server", "--listen", "ws://127.0.0.1:0"];

/// A server on `home` with flags before its subcommand and after it, and variables.
fn launch(home: &Home, before: &[&str], after: &[&str], variables: &[(&str, &str)]) -> Launch {
    let args = [before, &LISTEN, after].concat();
    let launch = Launch::new(verger(), home, &args);
    variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value))
}

fn serve(home: &Home, before: &[&str], after: &[&str], variables: &[(&str, &str)]) -> Daemon {
    let launch = launch(home, before, after, variables);
    launch.start().unwrap_or_else(|refused| panic!("{}: {}", refused.status, refused.stderr))
}

async fn config(client: &Client) -> Value {
    client.call("config/read", json!({})).await["config"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_key_is_told_to_each_client_and_the_server_serves() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let path = home.path().join("config.toml").display().to_string();
    home.write_config("model = \"m\"\n[threads]\norphan_grac = \"1s\"\n").unwrap();
    let daemon = serve(&home, &[], &[], &[("VERGER_MODLE", "x")]);
    let (in_file, in_environment) = (
        format!("{path}:3: threads.orphan_grac: unknown key, without effect; did you mean orphan_grace?"),
        "VERGER_MODLE: unknown key, without effect; did you mean model?".to_owned(),
    );
    for said in [&in_file, &in_environment] {
        let _log = daemon.stderr_with(said);
    }
    let mut clients = Vec::new();
    for name in ["first", "second"] {
        let client = Client::open(&daemon.url(), name).await;
        let told = client.note(0, "configWarning", |params| params["summary"] == in_file).await;
        assert_eq!(told["path"], path);
        assert_eq!(
            told["range"],
            json!({ "start": { "line": 3, "column": 1 }, "end": { "line": 3, "column": 12 } })
        );
        let told = client.note(0, "configWarning", |params| params["summary"] == in_environment).await;
        assert_eq!((&told["path"], &told["range"]), (&Value::Null, &Value::Null));
        let first = client.since(0).into_iter().next().unwrap();
        assert!(first.get("result").is_some(), "the answer to initialize comes first: {first}");
        clients.push(client);
    }

    home.write_config("modal = \"m\"\n").unwrap();
    let marks: Vec<_> = clients.iter().map(Client::mark).collect();
    clients[0].call("config/mcpServer/reload", json!({})).await;
    for (client, mark) in clients.iter().zip(marks) {
        let told = client.note(mark, "configWarning", |params| !params["path"].is_null()).await;
        assert_eq!(
            told["summary"],
            format!("{path}:1: modal: unknown key, without effect; did you mean model?")
        );
    }
    for client in clients {
        client.close().await;
    }
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn flags_win_over_variables_over_the_file_and_survive_a_reload() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config("model = \"file\"\nsandbox_mode = \"read-only\"\n[threads]\norphan_grace = \"1s\"\ndrain_limit = \"1s\"\n").unwrap();
    let daemon = serve(
        &home,
        &["--config", "model=before", "-c", "approval_policy=\"untrusted\""],
        &["--config", "model=after"],
        &[
            ("VERGER_MODEL", "variable"),
            ("VERGER_THREADS__ORPHAN_GRACE", "2s"),
            ("VERGER_APPROVAL_POLICY", ""),
        ],
    );
    let client = Client::open(&daemon.url(), "client").await;
    let expected = |read: &Value, sandbox: &str| {
        assert_eq!(read["model"], "after");
        assert_eq!(read["approval_policy"], "untrusted");
        assert_eq!(read["threads"]["orphan_grace"], "2s");
        assert_eq!(read["threads"]["drain_limit"], "1s");
        assert_eq!(read["sandbox_mode"], sandbox);
    };
    expected(&config(&client).await, "read-only");
    home.write_config(
        "model = \"new\"\nsandbox_mode = \"workspace-write\"\n[threads]\ndrain_limit = \"1s\"\n",
    )
    .unwrap();
    client.call("config/mcpServer/reload", json!({})).await;
    expected(&config(&client).await, "workspace-write");
    let started = client.call("thread/start", json!({ "cwd": home.work() })).await;
    assert_eq!((&started["model"], &started["approvalPolicy"]), (&json!("after"), &json!("untrusted")));
    assert_eq!(client.notes(0, "configWarning"), [Value::Null; 0]);
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_sets_the_same_over_the_file_as_the_daemon_is_relayed_to_it() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    let flags = ["-c", "model=\"same\"", "serve", "--listen", "127.0.0.1:0"];
    let daemon = Launch::new(verger(), &home, &flags).start().unwrap();
    let (mut relay, link) =
        Launch::new(verger(), &home, &["app-server"]).env("VERGER_MODEL", "same").start_piped();
    let client = Client::over(link, "relayed");
    client.initialize(json!({})).await;
    let ps = Launch::new(verger(), &home, &["ps", "--json"]).output().unwrap();
    assert_eq!(String::from_utf8(ps.stdout).unwrap().lines().count(), 1, "the relay is no server");
    assert_eq!(config(&client).await["model"], "same");
    client.close().await;
    assert!(relay.wait(STUBBORN).success());
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[test]
fn an_override_that_means_nothing_ends_the_start_and_is_named() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config("[mcp_servers.x]\ncommand = \"x\"\n").unwrap();
    for (flag, variable, said) in [
        (
            Some("threads.orphan_grace=soon"),
            None,
            "--config threads.orphan_grace: \"soon\" is not a duration",
        ),
        (Some("mcp_servers.x.args=3"), None, "--config mcp_servers.x.args: invalid type: integer `3`"),
        (Some("model"), None, "--config model: no '='; write --config KEY=VALUE"),
        (None, Some(("VERGER_MODEL", "3")), "VERGER_MODEL: invalid type: integer `3`, expected a string"),
        (
            None,
            Some(("VERGER_SERVER__AUTH", "maybe")),
            "VERGER_SERVER__AUTH: unknown variant `maybe`, expected one of `token`, `jwt`, `none`",
        ),
    ] {
        let flags: Vec<_> = flag.iter().flat_map(|flag| ["--config", flag]).collect();
        let variables: Vec<_> = variable.into_iter().collect();
        let refused = launch(&home, &[], &flags, &variables).start().expect_err("it is not served");
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains(said), "no {said:?} in {:?}", refused.stderr);
    }
    let ps = Launch::new(verger(), &home, &["--config", "model=x", "ps"]).output().unwrap();
    let said = String::from_utf8_lossy(&ps.stderr).into_owned();
    assert!(ps.status.code() == Some(2) && said.contains("--config is for serve and app-server"), "{said}");
    drop(home);
    guard.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_remote_server_is_left_out_by_name_and_the_others_run() {
    let stage = Stage::new(|home| {
        let remote = "[mcp_servers.far]\nurl = \"https://mcp.example/mcp\"\nbearer_token_env_var = \"T\"\n";
        home.config().server("helper", &home.bad_helper(&["polite"])).table(remote)
    });
    let client = stage.client("client").await;
    let told = client.note(0, "configWarning", |_| true).await;
    let summary = told["summary"].as_str().unwrap();
    assert!(
        summary.contains("mcp_servers.far.url: remote servers are not supported yet: 'far' is left out"),
        "{summary}"
    );
    assert_eq!(client.notes(0, "configWarning").len(), 1, "the keys beside it are not counted up");
    let thread = stage.thread(&client).await;
    touch(&client, &thread).await;
    client.close().await;
    stage.finish();
}

/// The names of the tools in the last request to the model.
fn offered(stage: &Stage) -> Vec<String> {
    let request = stage.home.model().requests().pop().expect("the model was asked");
    let tools = request.body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["name"].as_str().expect("a tool has a name").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tools_that_are_taken_away_are_neither_offered_nor_called() {
    let stage = Stage::new(|home| {
        let helper = home.bad_helper(&["polite"]).key("enabled_tools", "[\"pid\", \"echo\", \"env\"]");
        home.config().server("helper", &helper.key("disabled_tools", "[\"env\"]"))
    });
    let client = stage.client("client").await;
    let thread = stage.thread(&client).await;
    stage::turn(&client, &thread, "hi").await;
    let mut tools = offered(&stage);
    tools.sort();
    assert_eq!(tools, ["mcp__helper__echo", "mcp__helper__pid"]);
    touch(&client, &thread).await;
    for tool in ["env", "cwd"] {
        let (_, message) = client.refused("mcpServer/tool/call", stage::tool(&thread, tool, json!({}))).await;
        assert!(message.contains("enabled_tools or disabled_tools"), "{message}");
        let from = client.mark();
        stage::turn(&client, &thread, &format!("CALL mcp__helper {tool} {{}}")).await;
        let done =
            client.note(from, "item/completed", |params| params["item"]["type"] == "mcpToolCall").await;
        assert_eq!(done["item"]["status"], "failed");
    }
    let listed = client.call("mcpServerStatus/list", json!({ "threadId": thread })).await;
    let listed: Vec<_> = listed["data"][0]["tools"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(listed, ["echo", "pid"]);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_has_settings_of_its_own_and_no_others() {
    let stage = Stage::eager(&["polite"]);
    let client = stage.client("client").await;
    let start = |config: Value| json!({ "cwd": stage.home.work(), "config": config });
    let config = json!({
        "model": "mine", "approval_policy": "untrusted", "features.goals": false, "web_search": "disabled",
        "developer_instructions": "be brief", "mcp_servers": { "helper": { "enabled": false }, "gone": { "enabled": false } },
    });
    let started = client.call("thread/start", start(config)).await;
    assert_eq!((&started["model"], &started["approvalPolicy"]), (&json!("mine"), &json!("untrusted")));
    let thread = started["thread"]["id"].as_str().unwrap();
    stage::turn(&client, thread, "hi").await;
    assert_eq!(offered(&stage), [""; 0]);
    stage.assert_no_helper();
    let (code, message) = client.refused("mcpServer/tool/call", stage::tool(thread, "pid", json!({}))).await;
    assert_eq!((code, message.as_str()), (-32603, "unknown MCP server 'helper'"));

    let mut named = start(json!({ "model": "config" }));
    named["model"] = "request".into();
    assert_eq!(client.call("thread/start", named).await["model"], "request", "what the request says wins");
    for (config, said) in [
        (json!({ "model": 3 }), "config.model: invalid type"),
        (json!({ "modle": "x" }), "config.modle: unknown key; did you mean model?"),
        (json!({ "threads.orphan_grace": "1s" }), "config.threads.orphan_grace: holds for all threads"),
        (
            json!({ "mcp_servers": { "x": { "command": "c" } } }),
            "config.mcp_servers.x.command: holds for all threads",
        ),
        (json!({ "mcp_servers.far.enabled": true }), "config.mcp_servers.far.enabled: no such server"),
        (json!({ "model_provider": "nope" }), "modelProvider: no provider 'nope'"),
    ] {
        let (code, message) = client.refused("thread/start", start(config)).await;
        assert!(code == -32602 && message.contains(said), "no {said:?} in {message:?} ({code})");
    }

    // It is kept with the thread, until a resume says otherwise.
    client.call("thread/unsubscribe", json!({ "threadId": thread })).await;
    client.note(0, "thread/closed", |params| params["threadId"] == thread).await;
    stage::resume(&client, thread).await;
    stage::turn(&client, thread, "hi again").await;
    assert_eq!(offered(&stage), [""; 0]);
    let forked =
        client.call("thread/fork", json!({ "threadId": thread, "config": { "model": "forked" } })).await;
    assert_eq!(forked["model"], "forked");
    let (code, message) = client
        .refused("thread/resume", json!({ "threadId": thread, "config": { "server.auth": "none" } }))
        .await;
    assert!(code == -32602 && message.contains("config.server.auth: holds for all threads"), "{message}");
    client.close().await;
    stage.finish();
}
