//! What a definition comes to when it says little, and what each refusal says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use verger_core::ids::ThreadId;
use verger_core::job::{Missed, Overlap};
use verger_core::server::ServerName;
use verger_wire::types::{JobDefinition, JobNotifyOn};

use super::{JobPlan, Notify, NotifyBy, Place, Work, plan, seed};
use crate::config::{Config, Overrides};

const CONFIG: &str = r#"
    [model_providers.local]
    base_url = "http://127.0.0.1:9/v1"
    models = ["small", "large"]
    [mcp_servers.git]
    command = "git-helper"
    disabled_tools = ["push"]
    [mcp_servers.time]
    command = "time-helper"
    [mcp_servers.off]
    command = "off-helper"
    enabled = false
"#;

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("config.toml"), &Arc::new(Overrides::default())).unwrap()
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A prompt each hour in UTC, with `members` set; `null` takes away.
fn planned(name: &str, members: &Value) -> Result<JobPlan, String> {
    let mut all = json!({ "schedule": "@hourly", "timezone": "UTC", "prompt": "Look." });
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    let definition: JobDefinition = serde_json::from_value(all).unwrap();
    plan(name, &definition, &config(CONFIG), now()).map_err(|fault| fault.to_string())
}

#[track_caller]
fn refused(members: &Value, expected: &str) {
    assert_eq!(planned("nightly", members).unwrap_err(), expected, "{members}");
}

#[test]
fn what_is_left_out_has_a_default() {
    let plan = planned("nightly", &json!({})).unwrap();
    assert_eq!(plan.work, Work::Prompt("Look.".into()));
    assert_eq!((plan.thread, plan.approval_policy), (Place::New, None));
    assert_eq!(plan.timeout, Duration::from_secs(3600));
    assert_eq!(plan.inactivity_timeout, Some(Duration::from_secs(600)));
    assert_eq!((plan.retries, plan.keep, plan.notify), (0, 50, None));
    assert_eq!((plan.rules.overlap, plan.rules.missed), (Overlap::Skip, Missed::Skip));
    assert_eq!((plan.rules.jitter, plan.rules.grace), (Duration::ZERO, Duration::from_secs(60)));
    assert_eq!((plan.rules.until, plan.rules.max_runs, plan.servers), (None, None, None));
}

#[test]
fn what_is_said_is_what_is_done() {
    let thread = "0199f3a1-6c2e-7d10-9b57-4f0c8f2f6a11";
    let members = json!({
        "prompt": null, "call": { "server": "git", "tool": "status", "arguments": { "path": "/a" } },
        "thread": thread, "servers": ["git"], "timeout": "5m", "inactivityTimeout": "0s", "overlap": "queue",
        "missed": "runOnce", "grace": "2m", "jitter": "10s", "until": "2027-01-01T00:00", "maxRuns": 3, "retries": 2,
        "retryBackoff": "20m", "keep": 1, "timezone": "europe/berlin", "model": "large", "modelProvider": "local",
        "notify": { "command": ["mail", "-s", "job"], "on": "both" }, "cwd": "/home/ada",
    });
    let plan = planned("nightly", &members).unwrap();
    let arguments = json!({ "path": "/a" }).as_object().cloned().unwrap();
    let git = ServerName::from("git");
    assert_eq!(plan.work, Work::Call { server: git.clone(), tool: "status".into(), arguments });
    assert_eq!(plan.thread, Place::Id(thread.parse::<ThreadId>().unwrap()));
    assert_eq!((plan.servers, plan.inactivity_timeout), (Some(vec![git]), None));
    assert_eq!((plan.rules.overlap, plan.rules.missed), (Overlap::Queue, Missed::RunOnce));
    assert_eq!(plan.rules.until, Some("2026-12-31T23:00:00Z".parse().unwrap()));
    let by = NotifyBy::Command { program: "mail".into(), args: vec!["-s".into(), "job".into()] };
    assert_eq!(plan.notify, Some(Notify { by, on: JobNotifyOn::Both }));
}

#[test]
fn a_name_has_the_same_seed_for_ever() {
    assert_eq!(seed(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(seed("nightly"), seed("nightly"));
    assert_eq!(seed("a"), 0xaf63_dc4c_8601_ec8c);
}

#[test]
fn names_are_plain() {
    let long = "x".repeat(65);
    for name in ["", "a b", "a.b", "ä", "a/b", long.as_str()] {
        let error = planned(name, &json!({})).unwrap_err();
        assert_eq!(
            error,
            format!("name: '{name}' is no name for a job; write 1 to 64 letters, digits, '-' and '_'")
        );
    }
    for name in ["a", "A-b_9", &long[1..]] {
        planned(name, &json!({})).unwrap();
    }
}

#[test]
fn what_never_comes_is_refused() {
    refused(
        &json!({ "schedule": "0 0 31 2 *" }),
        "schedule: '0 0 31 2 *' never comes: no year has such a day",
    );
    refused(
        &json!({ "schedule": "at 2026-11-20T11:59" }),
        "schedule: 'at 2026-11-20T11:59' is past; write a later moment",
    );
    refused(
        &json!({ "until": "2026-11-20T12:30" }),
        "until: nothing is due up to 2026-11-20T12:30:00, the next slot would be 2026-11-20T13:00:00; write a later one, or \
         leave it out",
    );
    refused(
        &json!({ "until": "soon" }),
        "until: 'soon' is no moment; write one like \"2030-01-31T09:00\", or with an offset",
    );
    refused(
        &json!({ "maxRuns": 0 }),
        "maxRuns: 0 would let it never run; write at least 1, or pause the job",
    );
    let schedule = planned("nightly", &json!({ "schedule": "often" })).unwrap_err();
    assert!(schedule.starts_with("schedule: 'often' is no schedule: write five or six fields"), "{schedule}");
    planned("nightly", &json!({ "schedule": "at 2026-11-20T12:01" })).unwrap();
    planned("nightly", &json!({ "until": "2026-11-20T13:00" })).unwrap();
}

#[test]
fn an_unknown_zone_is_refused_with_the_one_that_was_meant() {
    for (zone, meant) in [
        ("Europe/Berlni", "did you mean Europe/Berlin?"),
        ("tokyo", "did you mean Asia/Tokyo?"),
        ("Mars/Olympus Mons and beyond", "write one like \"Europe/Berlin\""),
    ] {
        let expected = format!("timezone: there is no time zone '{zone}'; {meant}");
        refused(&json!({ "timezone": zone }), &expected);
    }
}

#[test]
fn a_job_does_exactly_one_thing() {
    let call = json!({ "server": "git", "tool": "status" });
    refused(&json!({ "prompt": null }), "prompt: there is nothing to do; write a prompt or a call");
    refused(&json!({ "prompt": " \n" }), "prompt: it says nothing; write what the model is to do");
    refused(&json!({ "call": call }), "call: prompt and call exclude each other; remove one of them");
}

#[test]
fn servers_tools_providers_and_models_must_be_there() {
    let call =
        |server: &str, tool: &str| json!({ "prompt": null, "call": { "server": server, "tool": tool } });
    refused(
        &json!({ "servers": ["git", "gti"] }),
        "servers: no MCP server 'gti' is configured; there is: git, time",
    );
    refused(
        &json!({ "servers": ["off"] }),
        "servers: MCP server 'off' is disabled; set enabled = true for it",
    );
    refused(&call("gti", "status"), "call.server: no MCP server 'gti' is configured; there is: git, time");
    refused(&call("git", ""), "call.tool: no tool; write the name of one");
    refused(
        &call("git", "push"),
        "call.tool: tool 'push' of 'git' is not enabled; see enabled_tools and disabled_tools of that server",
    );
    let mut other = call("git", "status");
    other["servers"] = json!(["time"]);
    refused(&other, "call.server: 'git' is not among the job's servers; add it there, or leave servers out");
    refused(
        &json!({ "modelProvider": "lokal" }),
        "modelProvider: no provider 'lokal' is configured; known are local, offline",
    );
    refused(
        &json!({ "modelProvider": "local", "model": "huge" }),
        "model: provider 'local' has no model 'huge'; it has: small, large",
    );
    planned("nightly", &json!({ "model": "any, where none is named" })).unwrap();
    planned("nightly", &json!({ "servers": [] })).unwrap();
    let definition = JobDefinition {
        schedule: "@hourly".into(),
        prompt: Some("Look.".into()),
        servers: Some(vec!["git".into()]),
        ..Default::default()
    };
    let error = plan("nightly", &definition, &config(""), now()).unwrap_err().to_string();
    assert_eq!(error, "servers: no MCP server 'git' is configured; there is: none");
}

#[test]
fn durations_and_counts_mean_something() {
    for field in ["timeout", "inactivityTimeout", "grace", "jitter", "retryBackoff"] {
        for text in ["10", "soon", "-5m"] {
            let expected =
                format!("{field}: '{text}' is not a duration; write one like \"30s\", \"15m\" or \"1h 30m\"");
            refused(&json!({ field: text }), &expected);
        }
    }
    refused(&json!({ "timeout": "0s" }), "timeout: no run is that fast; write one like \"30m\"");
    refused(&json!({ "keep": 0 }), "keep: the last run is always kept; write at least 1");
    refused(&json!({ "cwd": "src" }), "cwd: 'src' is not absolute; write the whole path");
}

#[test]
fn one_thread_has_one_run_at_a_time() {
    let reason = "overlap: a thread has one turn at a time, so runs in one thread cannot be parallel; write \"queue\", or \
                  take a new thread for each run";
    for thread in ["same", "0199f3a1-6c2e-7d10-9b57-4f0c8f2f6a11"] {
        refused(&json!({ "thread": thread, "overlap": "parallel" }), reason);
    }
    refused(
        &json!({ "thread": "mine" }),
        "thread: 'mine' is none; write \"new\", \"same\", or a thread's id",
    );
    planned("nightly", &json!({ "thread": "new", "overlap": "parallel" })).unwrap();
}

#[test]
fn somebody_is_told_in_one_way() {
    let told = |notify: Value| json!({ "notify": notify });
    refused(&told(json!({})), "notify: nobody is named; write a command or a url");
    refused(
        &told(json!({ "command": ["mail"], "url": "http://a/" })),
        "notify: command and url exclude each other; remove one of them",
    );
    for command in [json!([]), json!([""])] {
        refused(
            &told(json!({ "command": command })),
            "notify.command: no program; write [\"PROGRAM\", \"ARGUMENT\"]",
        );
    }
    for url in ["ftp://a/b", "bell.example/ring", "/ring", "http:///ring", "http://a b/"] {
        refused(
            &told(json!({ "url": url })),
            "notify.url: this is no address of http or https; write one like \"https://bell.example/ring\"",
        );
    }
    let plan = planned("nightly", &told(json!({ "url": "https://bell.example/ring?key=1" }))).unwrap();
    let by = NotifyBy::Url("https://bell.example/ring?key=1".into());
    assert_eq!(plan.notify, Some(Notify { by, on: JobNotifyOn::Failure }));
}
