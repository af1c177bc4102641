//! `verger job` as people type it: every command, what it prints and how it exits, and what it says to what is mistyped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Output;

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{STUBBORN, Stage, verger};

/// Never by itself: runs of it are asked for.
const BY_HAND: &str = "at 2099-12-31T09:00";

/// A tool call that nothing but its end ends, as the model makes it.
const HANGS: &str = "CALL mcp__helper slow {\"seconds\":120}";

fn typed(home: &Home, words: &[&str]) -> Output {
    let words = [&["job"], words].concat();
    // What is shown in local time is the same wherever the test runs.
    Launch::new(verger(), home, &words).env("TZ", "UTC").output().expect("it can be executed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What a command prints that does what it was told.
#[track_caller]
fn says(home: &Home, words: &[&str]) -> String {
    let output = typed(home, words);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{words:?}: {}: {out}{err}", output.status);
    out
}

/// The same as JSON: one line, one value.
#[track_caller]
fn value(home: &Home, words: &[&str]) -> Value {
    let out = says(home, &[words, &["--json"]].concat());
    assert_eq!(out.lines().count(), 1, "{words:?}: {out}");
    serde_json::from_str(&out).expect("JSON")
}

/// What a command prints to stderr that comes to nothing.
#[track_caller]
fn fails(home: &Home, words: &[&str]) -> String {
    let output = typed(home, words);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success() && out.is_empty(), "{words:?}: {out}{err}");
    err
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// The words that add a job which runs when it is asked to.
fn add<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["add", name, "--schedule", BY_HAND], more].concat()
}

/// Adds a job that calls a tool of `helper`.
fn add_call(home: &Home, name: &str, tool: &str, arguments: &str) {
    says(home, &add(name, &["--call", "helper", tool, "--arguments", arguments]));
}

#[test]
fn a_prompt_is_added_run_and_read_in_full() {
    let stage = Stage::lazy(&["polite"]);
    let home = &stage.home;
    assert_eq!(says(home, &["list"]), "  no jobs; `verger job add` makes one\n");
    let prompt = "CALL mcp__helper echo {\"text\":\"here\"}";
    let added = says(home, &add("evening", &["--prompt", prompt, "--timezone", "Europe/Berlin"]));
    holds(&added, &["added\n", "evening", BY_HAND, "Europe/Berlin", prompt, "2099-12-31 08:00:00"]);
    holds(&fails(home, &["logs", "evening"]), &["has not run yet", "verger job run evening"]);
    holds(&fails(home, &["tail", "evening"]), &["no run of job 'evening' goes on", "verger job run evening"]);

    let ran = says(home, &["run", "evening", "--wait"]);
    holds(&ran, &["run 1 of job 'evening' succeeded after ", ": done\n"]);
    stage.assert_no_helper();
    let list = says(home, &["list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    holds(lines[0], &["JOB", "SCHEDULE", "NEXT", "LAST", "RUNNING"]);
    holds(lines[1], &["evening", BY_HAND, "2099-12-31 08:00:00", "succeeded"]);
    let shown = says(home, &["show", "evening"]);
    holds(&shown, &["Europe/Berlin", "last run", "run 1 of job 'evening' succeeded after "]);
    let history = says(home, &["history", "evening"]);
    holds(&history, &["RUN", "STATE", "CAUSE", "succeeded", "manual", "done"]);
    let logs = says(home, &["logs", "evening"]);
    let order = [
        "run 1 of job 'evening' began ",
        ", in thread ",
        "> CALL mcp__helper echo",
        "* helper/echo {\"text\":\"here\"}",
        "  = here",
        "\ndone\n",
        "run 1 of job 'evening' succeeded after ",
    ];
    let mut rest = logs.as_str();
    for part in order {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?} left in {rest:?} of:\n{logs}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(says(home, &["logs", "evening", "--run", "1"]), logs);

    let jobs = value(home, &["list"]);
    assert_eq!((&jobs[0]["name"], &jobs[0]["source"]), (&json!("evening"), &json!("added")), "{jobs}");
    assert_eq!(value(home, &["show", "evening"]), jobs[0]);
    let runs = value(home, &["history", "evening"]);
    assert_eq!((&runs[0]["state"], &runs[0]), (&json!("succeeded"), &jobs[0]["lastRun"]), "{runs}");
    let logs = value(home, &["logs", "evening"]);
    assert_eq!((&logs["run"], &logs["turns"][0]["status"]), (&runs[0], &json!("completed")), "{logs}");

    assert_eq!(says(home, &["rm", "evening"]), "job 'evening' is removed\n");
    assert_eq!(value(home, &["list"]), json!([]));
    stage.finish();
}

#[test]
fn a_call_has_a_summary_and_a_failure_an_exit_code() {
    let stage = Stage::lazy(&["polite"]);
    let home = &stage.home;
    add_call(home, "call", "echo", "{\"text\":\"all is well\"}");
    let ran = value(home, &["run", "call", "--wait"]);
    assert_eq!((&ran["state"], &ran["summary"]), (&json!("succeeded"), &json!("all is well")), "{ran}");
    holds(&says(home, &["logs", "call"]), &["run 1 of job 'call' began ", "succeeded after ", "all is well"]);

    holds(&says(home, &["show", "call"]), &["helper/echo {\"text\":\"all is well\"}"]);

    add_call(home, "breaks", "exit", "{\"code\":3}");
    let output = typed(home, &["run", "breaks", "--wait"]);
    assert_eq!(output.status.code(), Some(1));
    holds(&text(&output.stdout), &["run 2 of job 'breaks' failed after ", "helper"]);
    let logs_by = "`verger job logs breaks` tells more";
    holds(&text(&output.stderr), &["run 2 of job 'breaks' did not succeed", logs_by]);
    stage.assert_no_helper();
    let output = typed(home, &["run", "breaks", "--wait", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let ran: Value = serde_json::from_slice(&output.stdout).expect("JSON, also of what failed");
    assert_eq!(ran["state"], "failed");

    // Without --wait it says where to look.
    let begun = says(home, &["run", "call"]);
    holds(&begun, &["run 4 of job 'call' is put down", "verger job tail call"]);
    let newest = value(home, &["history", "call", "-n", "1"]);
    assert_eq!((newest.as_array().map(Vec::len), &newest[0]["id"]), (Some(1), &json!(4)), "{newest}");
    stage.finish();
}

#[test]
fn a_job_is_changed_paused_resumed_and_what_waits_and_runs_is_cancelled() {
    let stage = Stage::lazy(&["stubborn"]);
    let home = &stage.home;
    let more = ["--prompt", HANGS, "--overlap", "queue", "--max-runs", "3", "--servers", "helper"];
    holds(&says(home, &add("job", &more)), &["max runs", "  servers            helper\n"]);
    let edited = says(home, &["edit", "job", "--timezone", "Asia/Tokyo", "--unset", "max-runs"]);
    holds(&edited, &["changed\n", "Asia/Tokyo", "2099-12-31 00:00:00", "queue"]);
    assert!(!edited.contains("max runs"), "{edited}");
    let edited = value(home, &["edit", "job", "--keep", "7"]);
    assert_eq!((&edited["definition"]["keep"], &edited["definition"]["prompt"]), (&json!(7), &json!(HANGS)));

    assert_eq!(says(home, &["pause", "job"]), "job 'job' is paused\n");
    holds(&says(home, &["list"]), &["paused"]);
    assert_eq!(value(home, &["pause", "job"])["paused"], true);
    assert_eq!(says(home, &["resume", "job"]), "job 'job' is due next at 2099-12-31 00:00:00\n");
    assert_eq!(value(home, &["resume", "job"])["paused"], false);

    let ids = [(); 2].map(|()| value(home, &["run", "job"])["id"].to_string());
    home.wait_for_helper_event("call", 1);
    holds(&says(home, &["list"]), &["1 (+1)"]);
    let kept = fails(home, &["rm", "job"]);
    holds(&kept, &["job 'job' still runs", "run ", "`verger job cancel`"]);
    holds(&says(home, &["cancel", &ids[1]]), &["was cancelled", "before it began"]);
    let cancelled = value(home, &["cancel", &ids[0]]);
    // When it is answered, and not a while later.
    stage.assert_no_helper();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    holds(&fails(home, &["cancel", &ids[0]]), &["has ended", "nothing to cancel"]);
    assert_eq!(value(home, &["rm", "job"]), json!({}));
    stage.finish();
}

#[test]
fn a_run_is_followed_until_its_end() {
    let stage = Stage::lazy(&["setsid"]);
    let home = &stage.home;
    says(home, &add("job", &["--prompt", HANGS]));
    let run = value(home, &["run", "job"])["id"].to_string();
    home.wait_for_helper_event("call", 1);
    let (path, _) = home.pipe("tail").expect("a pipe");
    let tail = "exec \"$0\" job tail job > \"$1\"";
    let words = ["-c", tail, verger().to_str().unwrap(), path.to_str().unwrap()];
    let tail = Launch::new("sh".as_ref(), home, &words);
    let tail = std::thread::spawn(move || tail.output().expect("it can be executed"));
    // Waits for the other end, and ends with it.
    let mut lines = BufReader::new(File::open(&path).expect("a pipe"));
    assert_eq!(line(&mut lines), format!("> {HANGS}\n"));
    assert_eq!(line(&mut lines), "* helper/slow {\"seconds\":120}\n");
    // It follows, and so hears of what comes now.
    holds(&says(home, &["cancel", &run]), &["was cancelled after "]);
    let mut last = line(&mut lines);
    while !last.starts_with("run ") {
        last = line(&mut lines);
    }
    holds(&last, &["of job 'job' was cancelled after ", "it was cancelled"]);
    let output = tail.join().expect("no panic");
    assert!(output.status.success(), "{output:?}");
    stage.assert_no_helper();
    stage.finish();
}

fn line(lines: &mut BufReader<File>) -> String {
    let mut line = String::new();
    let bytes = lines.read_line(&mut line).expect("a pipe");
    assert!(bytes > 0, "it has ended");
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_program_follows_a_run_by_its_lines() {
    let stage = Stage::lazy(&["polite"]);
    let home = &stage.home;
    add_call(home, "job", "slow", "{\"seconds\":120}");
    let run = value(home, &["run", "job"])["id"].to_string();
    home.wait_for_helper_event("call", 1);
    says(home, &add("said", &["--prompt", HANGS]));
    let said = value(home, &["run", "said"])["id"].to_string();
    home.wait_for_helper_event("call", 2);
    let (mut tail, link) = Launch::new(verger(), home, &["job", "tail", "said", "--json"]).start_piped();
    let lines = Client::over(link, "tail");
    let item = |kind: &'static str| move |line: &Value| line["item"]["type"] == kind;
    assert!(lines.find(0, "what was said", item("userMessage")).await.is_some());
    says(home, &["cancel", &said]);
    let end = lines.find(0, "the end", |line| !line["run"].is_null()).await.expect("the last line");
    assert_eq!(end["run"]["state"], "cancelled", "{end}");
    assert!(tail.wait(STUBBORN).success());
    says(home, &["cancel", &run]);
    drop(lines);
    stage.finish();
}

#[test]
fn what_comes_is_told_in_local_time_and_in_the_jobs_own() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let launch = Launch::new(verger(), &home, &["serve", "--listen", "127.0.0.1:0"]);
    let daemon = launch.env("TZ", "America/New_York").start();
    let daemon: Daemon = daemon.unwrap_or_else(|refused| panic!("{}", refused.stderr));
    // In July, so that summer time holds in both.
    let words =
        ["add", "yearly", "--schedule", "30 9 4 7 *", "--timezone", "Europe/Berlin", "--prompt", "hi"];
    says(&home, &words);
    let next = says(&home, &["next", "yearly", "-n", "3"]);
    let lines: Vec<&str> = next.lines().collect();
    assert_eq!(lines.len(), 4, "{next}");
    holds(lines[0], &["SLOT", "JOB'S OWN TIME"]);
    for line in &lines[1..] {
        holds(line, &["-07-04T03:30:00-04:00", "-07-04T09:30:00+02:00"]);
    }
    let slots = value(&home, &["next", "yearly", "-n", "2"]);
    assert_eq!(slots.as_array().map(Vec::len), Some(2), "{slots}");
    let year = |slot: &Value| slot["inZone"].as_str().and_then(|at| at[..4].parse::<i32>().ok());
    assert_eq!(year(&slots[1]), year(&slots[0]).map(|year| year + 1), "{slots}");
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let guard = LeakGuard::new();
    let home = Home::new().unwrap();
    home.write_config(&home.config().text()).unwrap();
    let place = home.path().display().to_string();
    for words in [&["list"][..], &["run", "x"], &["tail", "x"], &add("x", &["--prompt", "hi"])] {
        holds(&fails(&home, words), &["no server runs in ", &place, "`verger serve`"]);
    }
    drop(home);
    guard.finish();
}

#[test]
fn a_job_of_the_configuration_runs_and_is_changed_there_only() {
    let stage = Stage::new(|home| {
        let jobs = "[jobs.report]\nschedule = \"0 9 * * MON-FRI\"\nprompt = \"hi\"\n\
                    [jobs.broken]\nschedule = \"0 0 31 2 *\"\nprompt = \"hi\"\n";
        home.config().table(jobs)
    });
    let home = &stage.home;
    let list = says(home, &["list"]);
    let broken = list.lines().find(|line| line.contains("broken")).expect("it is listed");
    holds(broken, &["'0 0 31 2 *' never comes"]);
    let shown = says(home, &["show", "broken"]);
    assert!(!shown.contains("  schedule "), "nothing is shown of what could not be read: {shown}");
    holds(&says(home, &["show", "report"]), &["source", "config.toml", "0 9 * * MON-FRI"]);
    holds(&says(home, &["run", "report", "--wait"]), &["run 1 of job 'report' succeeded"]);
    for words in [&["edit", "report", "--keep", "3"][..], &["rm", "report"]] {
        holds(&fails(home, words), &["job 'report' comes from config.toml", "edit [jobs.report]"]);
    }
    holds(&fails(home, &["run", "broken"]), &["never comes"]);
    holds(&says(home, &["pause", "report"]), &["is paused"]);
    stage.finish();
}

#[test]
fn what_is_mistyped_is_named_with_its_cause_and_what_to_do() {
    let stage = Stage::bare();
    let home = &stage.home;
    says(home, &add("nightly", &["--prompt", "hi"]));
    let unknown = ["job not found: nighlty", "`verger job list`"];
    for command in ["show", "history", "next", "logs", "tail", "pause", "resume", "run", "rm"] {
        holds(&fails(home, &[command, "nighlty"]), &unknown);
    }
    holds(&fails(home, &["edit", "nighlty", "--keep", "3"]), &unknown);
    holds(&fails(home, &["cancel", "77"]), &["run of a job not found: 77", "`verger job history`"]);
    holds(&fails(home, &["logs", "nightly", "--run", "77"]), &["run of a job not found: 77"]);
    holds(
        &fails(home, &add("nightly", &["--prompt", "hi"])),
        &["named 'nightly' already", "`verger job edit`"],
    );

    let bad = |schedule: &str, more: &[&str]| {
        fails(home, &[&["add", "x", "--schedule", schedule, "--prompt", "hi"], more].concat())
    };
    holds(&bad("0 0 31 2 *", &[]), &["schedule: ", "'0 0 31 2 *' never comes"]);
    holds(&bad("0 25 * * *", &[]), &["schedule: ", "25"]);
    holds(&bad("every", &[]), &["schedule: ", "every"]);
    holds(&bad("at 2020-01-01T09:00", &[]), &["schedule: ", "is past", "write a later moment"]);
    holds(
        &bad("@daily", &["--timezone", "Europe/Berln"]),
        &["timezone: ", "no time zone 'Europe/Berln'", "did you mean Europe/Berlin?"],
    );
    holds(&bad("@daily", &["--timeout", "soon"]), &["timeout: ", "'soon' is not a duration", "\"30s\""]);
    holds(&bad("@daily", &["--servers", "gti"]), &["servers: ", "no MCP server 'gti' is configured"]);
    let no_work = fails(home, &["add", "x", "--schedule", "@daily"]);
    holds(&no_work, &["there is nothing to do", "prompt"]);
    holds(
        &fails(home, &["add", "a b", "--schedule", "@daily", "--prompt", "hi"]),
        &["name: ", "letters, digits"],
    );
    holds(&fails(home, &["edit", "nightly", "--schedule", "at 2020-01-01"]), &["is past"]);
    holds(&fails(home, &["edit", "nightly"]), &["nothing to change in job 'nightly'", "--schedule"]);
    assert_eq!(value(home, &["list"]).as_array().map(Vec::len), Some(1), "nothing was added");
    stage.finish();
}
