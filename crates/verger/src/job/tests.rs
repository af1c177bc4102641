//! What is typed as it goes to the server, and what it answers as it is shown. Neither needs one.

use clap::{CommandFactory, Parser};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use verger_wire::types::{Job, JobDefinition, JobRun, JobSlot};

use super::args::JobCommand;
use super::{JobArgs, tables};
use crate::cli::{Cli, Command};

fn parse(words: &[&str]) -> Result<JobArgs, String> {
    let words = ["verger", "job"].iter().chain(words);
    match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
        Command::Job(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

fn added(words: &[&str]) -> Result<Value, String> {
    match parse(words)?.command {
        JobCommand::Add(add) => add.definition().map(Value::Object),
        other => panic!("{other:?}"),
    }
}

fn changed(words: &[&str]) -> Result<Value, String> {
    match parse(&[&["edit", "nightly"], words].concat())?.command {
        JobCommand::Edit(edit) => edit.changes().map(Value::Object),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_options_are_those_of_the_wire() {
    Cli::command().debug_assert();
    let definition = added(&[
        "add",
        "nightly",
        "--schedule",
        "@daily",
        "--timezone",
        "Europe/Berlin",
        "--prompt",
        "Look.",
        "--thread",
        "same",
        "--model",
        "m",
        "--model-provider",
        "p",
        "--effort",
        "low",
        "--cwd",
        "/srv",
        "--servers",
        "git,time",
        "--approval-policy",
        "on-request",
        "--sandbox",
        "read-only",
        "--timeout",
        "30m",
        "--inactivity-timeout",
        "0s",
        "--overlap",
        "queue",
        "--missed",
        "run-once",
        "--grace",
        "2m",
        "--jitter",
        "10s",
        "--until",
        "2030-01-31",
        "--max-runs",
        "3",
        "--retries",
        "2",
        "--retry-backoff",
        "1m",
        "--keep",
        "5",
        "--notify-on",
        "both",
        "--notify-command",
        "mail",
        "-s",
        "done",
    ])
    .unwrap();
    let expected = json!({
        "schedule": "@daily", "timezone": "Europe/Berlin", "prompt": "Look.", "thread": "same", "model": "m",
        "modelProvider": "p", "effort": "low", "cwd": "/srv", "servers": ["git", "time"], "approvalPolicy": "on-request",
        "sandbox": "read-only", "timeout": "30m", "inactivityTimeout": "0s", "overlap": "queue", "missed": "runOnce",
        "grace": "2m", "jitter": "10s", "until": "2030-01-31", "maxRuns": 3, "retries": 2, "retryBackoff": "1m", "keep": 5,
        "notify": { "command": ["mail", "-s", "done"], "on": "both" },
    });
    assert_eq!(definition, expected);
    // What the server makes of it: nothing is misspelled.
    let read: JobDefinition = serde_json::from_value(definition).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), expected);
}

#[test]
fn a_call_has_a_server_a_tool_and_maybe_arguments() {
    let add = |words: &[&str]| added(&[&["add", "x", "--schedule", "every 10m"], words].concat());
    let definition = add(&["--call", "git", "status", "--arguments", r#"{"path": "/a"}"#]).unwrap();
    assert_eq!(
        definition["call"],
        json!({ "server": "git", "tool": "status", "arguments": { "path": "/a" } })
    );
    let none = add(&["--call", "git", "status", "--servers", ""]).unwrap();
    assert_eq!(
        (&none["call"], &none["servers"]),
        (&json!({ "server": "git", "tool": "status" }), &json!([]))
    );
    let error = |words: &[&str]| add(words).unwrap_err();
    assert!(
        error(&["--call", "git"]).contains("2 values required for '--call"),
        "{}",
        error(&["--call", "git"])
    );
    let list = error(&["--call", "git", "status", "--arguments", "[1]"]);
    assert!(list.contains("no JSON object; write one like"), "{list}");
    let both = error(&["--call", "git", "status", "--prompt", "p"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let nobody = error(&["--prompt", "p", "--notify-on", "both"]);
    assert_eq!(nobody, "--notify-on: say who is told, too, by --notify-command or --notify-url");
    assert!(added(&["add", "x", "--prompt", "p"]).unwrap_err().contains("--schedule"));
}

#[test]
fn a_change_names_what_changes_and_what_goes() {
    assert_eq!(changed(&["--schedule", "@hourly"]).unwrap(), json!({ "schedule": "@hourly" }));
    assert_eq!(changed(&["--prompt", "p"]).unwrap(), json!({ "prompt": "p", "call": null }));
    let call = json!({ "call": { "server": "git", "tool": "status" }, "prompt": null });
    assert_eq!(changed(&["--call", "git", "status"]).unwrap(), call);
    let gone = json!({ "maxRuns": null, "jitter": null });
    assert_eq!(changed(&["--unset", "max-runs", "--unset", "jitter"]).unwrap(), gone);
    assert_eq!(
        changed(&["--jitter", "3s", "--unset", "jitter"]).unwrap_err(),
        "--jitter and --unset jitter contradict each other; leave one out"
    );
    assert_eq!(
        changed(&[]).unwrap_err(),
        "nothing to change in job 'nightly'; say what, as in --schedule \"every 10m\""
    );
    assert!(changed(&["--unset", "schedule"]).unwrap_err().contains("invalid value 'schedule'"));
}

#[test]
fn json_is_asked_for_anywhere() {
    for words in [["--json", "list"], ["list", "--json"]] {
        assert!(parse(&words).unwrap().json);
    }
    assert!(!parse(&["list"]).unwrap().json);
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn run(members: &Value) -> JobRun {
    let mut all = json!({
        "id": 212, "job": "evening", "cause": "schedule", "state": "succeeded", "slotAt": 1_795_201_200_i64, "slots": 1,
        "more": false, "attempt": 1, "dueAt": 1_795_201_200_i64, "startedAt": 1_795_201_203_i64,
        "endedAt": 1_795_201_268_i64, "durationMs": 65_400, "threadId": "t", "summary": "Only\nsrc/mill.rs.",
    });
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn job(members: &Value) -> Job {
    let slot = json!({
        "slotAt": 1_795_201_200_i64, "dueAt": 1_795_201_211_i64, "local": "2026-11-20T20:00:00+01:00",
        "inZone": "2026-11-20T19:00:00+00:00",
    });
    let mut all = json!({
        "name": "evening", "source": "added", "definition": { "schedule": "0 20 * * *", "prompt": "Look\nclosely." },
        "paused": false, "fired": 41, "next": slot, "running": 1, "waiting": 2, "lastRun": run(&json!({})),
    });
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

#[test]
fn a_list_of_jobs_is_a_table() {
    let jobs = [
        job(&json!({})),
        job(&json!({ "name": "idle", "paused": true, "lastRun": null, "running": 0, "waiting": 0 })),
        job(&json!({ "name": "over", "next": null, "waiting": 0 })),
        job(
            &json!({ "name": "wrong", "problem": "schedule: never comes", "next": null, "running": 0, "waiting": 0 }),
        ),
    ];
    let expected = "  \
  JOB      SCHEDULE    NEXT                 LAST       RUNNING  NOTE
  evening  0 20 * * *  2026-11-20 20:00:11  succeeded  1 (+2)
  idle     0 20 * * *  paused               -          0
  over     0 20 * * *  never                succeeded  1
  wrong    0 20 * * *  broken               succeeded  0        schedule: never comes
";
    assert_eq!(tables::jobs(&jobs, &zone()), expected);
    assert_eq!(tables::jobs(&[], &zone()), "  no jobs; `verger job add` makes one\n");
}

#[test]
fn a_job_is_shown_with_all_that_it_was_told() {
    let expected = "  \
  job                evening
  source             added
  prompt             Look closely.
  schedule           0 20 * * *
  next               2026-11-20 20:00:11
  slots run          41
  running            1
  waiting            2
  last run           run 212 of job 'evening' succeeded after 1m05s: Only src/mill.rs.
";
    assert_eq!(tables::job(&job(&json!({})), &zone()), expected);
}

#[test]
fn a_history_tells_what_was_skipped_and_who_was_not_told() {
    let runs = [
        run(&json!({ "notice": { "at": 1, "ok": false, "message": "mail: not found" } })),
        run(&json!({
            "id": 211, "cause": "missed", "state": "skipped", "reason": "missed", "slots": 3, "more": true,
            "lastSlotAt": 1_795_201_200_i64, "startedAt": null, "durationMs": null, "summary": null,
        })),
        run(&json!({
            "id": 210, "state": "timedOut", "reason": "nothing was heard for 10m", "cause": "retry", "attempt": 2,
            "durationMs": 3_720_000, "summary": null,
        })),
    ];
    let expected = "  \
  RUN  STATE      CAUSE     SLOT                 BEGAN                TOOK   TRY  NOTE
  212  succeeded  schedule  2026-11-20 20:00:00  2026-11-20 20:00:03  1m05s  1    Only src/mill.rs.; nobody could be told: mail: not found
  211  skipped    missed    2026-11-20 20:00:00  -                    -      1    more than 3 slots up to 2026-11-20 20:00:00; missed
  210  timedOut   retry     2026-11-20 20:00:00  2026-11-20 20:00:03  1h02m  2    nothing was heard for 10m
";
    assert_eq!(tables::runs(&runs, &zone()), expected);
    assert_eq!(
        tables::end(&runs[2]),
        "run 210 of job 'evening' timed out after 1h02m: nothing was heard for 10m"
    );
    assert_eq!(tables::whole_end(&runs[2]), tables::end(&runs[2]));
    let said = "The mill turns\nby itself.";
    let of = |thread: Value| run(&json!({ "summary": said, "threadId": thread }));
    let (call, prompt) = (of(Value::Null), of(json!("01a22399-54cd-77fb-b752-a5217134bfbb")));
    assert_eq!(tables::whole_end(&call), format!("{}\n{said}", tables::end(&call)));
    assert_eq!(tables::whole_end(&prompt), tables::end(&prompt), "it was printed where it was said");
}

#[test]
fn slots_are_shown_in_both_times() {
    let slot = |due_at| JobSlot {
        slot_at: 100,
        due_at,
        local: "2026-11-20T20:00:00+01:00".into(),
        in_zone: "2026-11-20T19:00:00+00:00".into(),
    };
    let expected = "  \
  SLOT                       JOB'S OWN TIME             JITTER
  2026-11-20T20:00:00+01:00  2026-11-20T19:00:00+00:00
  2026-11-20T20:00:00+01:00  2026-11-20T19:00:00+00:00  +11s
";
    assert_eq!(tables::slots(&[slot(100), slot(111)]), expected);
}
