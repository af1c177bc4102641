//! Jobs that are right, and what is said of those that are not.

use super::{parse, parse_with};

#[test]
fn jobs_are_taken_up_one_by_one() {
    let text = r#"
max_parallel_jobs = 2
[mcp_servers.git]
command = "git-helper"
[jobs.look]
schedule = "0 9 * * MON-FRI"
timezone = "Europe/Berlin"
prompt = "Look."
inactivity_timeout = "90s"
missed = "run_once"
notify = { url = "https://bell.example/ring", on = "both" }
[jobs.status]
schedule = "every 10m"
call = { server = "git", tool = "status", arguments = { path = "/a", deep = { level = 3 } } }
overlap = "queue"
[jobs.typed]
schedule = "@daily"
prompt = "p"
keep = "many"
[jobs.named]
schedule = "@daily"
prompt = "p"
missed = "sometimes"
[jobs.empty]
[jobs.gone]
schedule = "at 2001-01-01T00:00Z"
prompt = "p"
[jobs.never]
schedule = "0 0 31 2 *"
prompt = "p"
[jobs.silent]
schedule = "@daily"
prompt = "p"
inactivity_timeout = "long"
[jobs.bare]
schedule = "@daily"
prompt = "p"
timeout = 5
[jobs.told]
schedule = "@daily"
prompt = "p"
notify.url = "bell"
[jobs."two words"]
schedule = "@daily"
prompt = "p"
[jobs.slip]
schedule = "@daily"
prompt = "p"
retrys = 3
"#;
    let config = parse(text).unwrap();
    let sound: Vec<_> = config.jobs.keys().map(String::as_str).collect();
    assert_eq!(sound, ["gone", "look", "slip", "status"]);
    assert_eq!(config.max_parallel_jobs, 2);
    let look = &config.jobs["look"];
    let expected = serde_json::json!({
        "schedule": "0 9 * * MON-FRI", "timezone": "Europe/Berlin", "prompt": "Look.", "inactivityTimeout": "90s",
        "missed": "runOnce", "notify": { "url": "https://bell.example/ring", "on": "both" },
    });
    assert_eq!(serde_json::to_value(look.as_ref()).unwrap(), expected);
    let call = config.jobs["status"].call.clone().unwrap();
    assert_eq!(call.arguments.unwrap()["deep"]["level"], 3);
    let said: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "config.toml:49: jobs.slip.retrys: unknown key, without effect; did you mean retries?",
        "config.toml:38: jobs.bare.timeout: invalid type: integer `5`, expected a duration with its unit, like \"500ms\", \"15m\" or \"1h 30m\" (job 'bare' does not run)",
        "config.toml:24: jobs.empty: there is no schedule; write one like schedule = \"every 10m\" (job 'empty' does not run)",
        "config.toml:26: jobs.gone.schedule: 'at 2001-01-01T00:00Z' is past; write a later moment",
        "config.toml:23: jobs.named.missed: unknown variant `sometimes`, expected `skip` or `run_once` (job 'named' does not run)",
        "config.toml:29: jobs.never.schedule: '0 0 31 2 *' never comes: no year has such a day (job 'never' does not run)",
        "config.toml:34: jobs.silent.inactivity_timeout: 'long' is not a duration; write one like \"30s\", \"15m\" or \"1h 30m\" (job 'silent' does not run)",
        "config.toml:42: jobs.told.notify.url: this is no address of http or https; write one like \"https://bell.example/ring\" (job 'told' does not run)",
        "config.toml:43: jobs.\"two words\": 'two words' is no name for a job; write 1 to 64 letters, digits, '-' and '_' (job 'two words' does not run)",
        "config.toml:19: jobs.typed.keep: invalid type: string \"many\", expected a whole number (job 'typed' does not run)",
    ];
    assert_eq!(said, expected);
    assert_eq!(config.broken_jobs.len(), 8);
    assert_eq!(
        config.broken_jobs["silent"],
        "inactivity_timeout: 'long' is not a duration; write one like \"30s\", \"15m\" or \"1h 30m\""
    );
    assert!(config.broken_jobs["empty"].starts_with("there is no schedule"), "{config:?}");
    assert_eq!(parse("").unwrap().max_parallel_jobs, 4);
    let error = parse("max_parallel_jobs = 0").unwrap_err();
    assert_eq!(
        error,
        "config.toml:1: max_parallel_jobs: 0 would let no job run; write at least 1, or pause the jobs"
    );
    let set = parse_with("", &["jobs.x.schedule=@daily", "jobs.x.prompt=p"]).unwrap();
    assert!(set.jobs.contains_key("x"), "{:?}", set.warnings);
}

#[test]
fn a_job_shows_no_credentials() {
    let text = r#"
        [jobs.told]
        schedule = "@daily"
        call = { server = "x", tool = "t", arguments = { key = "hush1" } }
        notify = { url = "https://u:hush2@bell.example/ring?key=hush3" }
        [jobs.wrong]
        schedule = 3
        notify = { url = ["https://u:hush4@bell.example/ring"] }
        [jobs.flat]
        schedule = "@daily"
        prompt = "p"
        notify = "https://bell.example/hush5"
        [jobs.words]
        schedule = "@daily"
        call = "x t hush6"
    "#;
    let config = parse(text).unwrap();
    let shown = format!("{:?} {:?} {:?}", config.shown(), config.warnings, config.broken_jobs);
    assert!(!shown.contains("hush"), "{shown}");
    let url = &config.shown().config["jobs"]["told"]["notify"]["url"];
    assert_eq!(url, "https://bell.example/ring");
    assert_eq!(config.broken_jobs["flat"], "notify: expected a table like { command = [\"PROGRAM\"] }");
}
