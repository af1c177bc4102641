//! `[jobs.NAME]`: work that the server begins by itself. A job that is wrong is left out with a warning, and the others run.

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use verger_wire::types::{
    AskForApproval, JobCall, JobDefinition, JobMissed, JobNotify, JobNotifyOn, JobOverlap, SandboxMode,
};

use super::duration::Period;
use super::key::Key;

/// How many jobs run at once where nothing is said.
pub(super) const MAX_PARALLEL_JOBS: u32 = 4;

/// Work that the server begins by itself, at the times that a schedule names: a prompt for a model, or one call of a tool. The
/// name is 1 to 64 letters, digits, `-` and `_`. A job that is wrong does not run, a warning says why, and the others run.
/// Jobs can also be added while the server runs: `verger job add`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, JsonSchema)]
pub(super) struct JobTable {
    /// When it runs: five or six fields of cron (the six begin with seconds), `@hourly`, `@daily`, `@weekly`, `@monthly` or
    /// `@yearly`, `every` and a duration (counted from the beginning of 1970), or `at` and a moment. Where clocks are put
    /// forward, what falls into the hour that is skipped runs once, at its end; where they are put back, the hour that comes
    /// twice counts once.
    #[schemars(example = &"0 9 * * MON-FRI")]
    schedule: String,
    /// Whose clock on the wall the schedule means: a name of the IANA time zone database. Without it, the machine's.
    #[schemars(example = &"Europe/Berlin")]
    timezone: Option<String>,
    /// What the model is told. Every job has either this or `call`.
    #[schemars(example = &"Which files changed today?")]
    prompt: Option<String>,
    /// The tool that is called, without a model.
    call: Option<CallTable>,
    /// The thread that the prompt is said in: `new`, one for each run; `same`, one for all runs; or a thread's id. Without it,
    /// `new`.
    #[schemars(example = &"same")]
    thread: Option<String>,
    /// The model. Without it, that of the top level.
    #[schemars(example = &"gpt-oss:20b")]
    model: Option<String>,
    /// The provider of the model. Without it, that of the top level.
    #[schemars(example = &"offline")]
    model_provider: Option<String>,
    /// How hard the model is asked to think. Without it, as the top level says.
    #[schemars(example = &"low")]
    effort: Option<String>,
    /// Its working folder, an absolute path. Without it, the server's own.
    #[schemars(example = &"/srv/data")]
    cwd: Option<String>,
    /// Only these MCP servers. Without it, all.
    #[schemars(example = ["git"])]
    servers: Option<Vec<String>>,
    /// When a tool call needs somebody's consent: `untrusted`, `on-request` or `never`. Nobody is there to give it, so a run
    /// that would have to ask fails with that reason. Without it, `never`.
    #[schemars(with = "Option<String>", example = &"on-request")]
    approval_policy: Option<AskForApproval>,
    /// What it may touch: `read-only`, `workspace-write` or `danger-full-access`. Without it, as the top level says.
    #[schemars(with = "Option<String>", example = &"workspace-write")]
    sandbox: Option<SandboxMode>,
    /// How long a run may take. Then it is ended, and has timed out.
    #[serde(default, deserialize_with = "period")]
    #[schemars(with = "Option<Period>", example = &"5m", extend("default" = "1h"))]
    timeout: Option<String>,
    /// How long nothing may be heard from a run. Then it is ended, and has timed out. `"0s"` is for ever.
    #[serde(default, deserialize_with = "period")]
    #[schemars(with = "Option<Period>", example = &"2m", extend("default" = "10m"))]
    inactivity_timeout: Option<String>,
    /// What becomes of a slot while an earlier run has not ended: it is skipped, runs after that one, or beside it.
    #[schemars(example = Overlap::Queue, extend("default" = "skip"))]
    overlap: Option<Overlap>,
    /// What becomes of the slots for which no server was there: they are skipped, or one run is made up for all of them.
    #[schemars(example = Missed::RunOnce, extend("default" = "skip"))]
    missed: Option<Missed>,
    /// How late a slot may be run. Then it counts as missed.
    #[serde(default, deserialize_with = "period")]
    #[schemars(with = "Option<Period>", example = &"5m", extend("default" = "1m"))]
    grace: Option<String>,
    /// Each slot is put off by a part of this, which is the same whenever it is worked out: so that not all jobs of one minute
    /// begin at once.
    #[serde(default, deserialize_with = "period")]
    #[schemars(with = "Option<Period>", example = &"30s", extend("default" = "0s"))]
    jitter: Option<String>,
    /// The last moment at which it may have a slot, on the clock of `timezone`.
    #[schemars(example = &"2099-12-31T18:00")]
    until: Option<String>,
    /// So many of its slots are run at most; counted anew when this changes, or its schedule, zone or `until`.
    #[schemars(example = 100)]
    max_runs: Option<u64>,
    /// How often a run is tried again that failed or timed out.
    #[schemars(example = 2, extend("default" = 0))]
    retries: Option<u32>,
    /// How long after a failure it is tried again. It doubles with each further failure, up to an hour.
    #[serde(default, deserialize_with = "period")]
    #[schemars(with = "Option<Period>", example = &"1m", extend("default" = "30s"))]
    retry_backoff: Option<String>,
    /// So many of its ended runs are kept.
    #[schemars(example = 10, extend("default" = 50))]
    keep: Option<u32>,
    /// Who is told of the end of a run: by a program or by a webhook, which gets the run as JSON. That this failed does not
    /// change the run.
    notify: Option<NotifyTable>,
}

/// The tool that is called, without a model.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, JsonSchema)]
struct CallTable {
    /// The MCP server's name.
    server: String,
    /// The tool's name.
    tool: String,
    /// What it is called with.
    #[schemars(schema_with = "any_table")]
    arguments: Option<Map<String, Value>>,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, JsonSchema)]
struct NotifyTable {
    /// A program and its arguments. The run is its standard input.
    command: Option<Vec<String>>,
    /// An address of http or https that the run is posted to. Either this or `command`.
    #[schemars(extend("x-address" = true))]
    url: Option<String>,
    /// Of which ends.
    #[schemars(extend("default" = "failure"))]
    on: Option<On>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Overlap {
    Skip,
    Queue,
    Parallel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Missed {
    Skip,
    RunOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum On {
    Failure,
    Success,
    Both,
}

/// A table as it was written, understood or not.
#[derive(Clone, Debug)]
pub(super) enum Written {
    /// It has what a job can have.
    Job(Box<JobTable>),
    /// It has not.
    Wrong {
        /// What was written.
        value: Value,
        /// The key below the job's own that is wrong; empty for the whole.
        key: Key,
        /// What is wrong with it.
        reason: String,
    },
}

// === impl Written ===

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match serde_path_to_error::deserialize::<_, JobTable>(&value) {
            Ok(job) => Self::Job(Box::new(job)),
            Err(error) => {
                let names = error.path().iter().map_while(|segment| match segment {
                    serde_path_to_error::Segment::Map { key } => Some(key.clone()),
                    _ => None,
                });
                let key = Key(names.collect());
                let reason = reason_of(&key, &error.into_inner().to_string());
                Self::Wrong { key, reason, value }
            }
        })
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Job(job) => job.serialize(serializer),
            Self::Wrong { value, .. } => value.serialize(serializer),
        }
    }
}

// === impl JobTable ===

impl JobTable {
    /// As clients know it.
    pub(super) fn definition(&self) -> JobDefinition {
        let table = self.clone();
        JobDefinition {
            schedule: table.schedule,
            timezone: table.timezone,
            prompt: table.prompt,
            call: table.call.map(|CallTable { server, tool, arguments }| JobCall { server, tool, arguments }),
            thread: table.thread,
            model: table.model,
            model_provider: table.model_provider,
            effort: table.effort,
            cwd: table.cwd,
            servers: table.servers,
            approval_policy: table.approval_policy,
            sandbox: table.sandbox,
            timeout: table.timeout,
            inactivity_timeout: table.inactivity_timeout,
            overlap: table.overlap.map(|overlap| match overlap {
                Overlap::Skip => JobOverlap::Skip,
                Overlap::Queue => JobOverlap::Queue,
                Overlap::Parallel => JobOverlap::Parallel,
            }),
            missed: table.missed.map(|missed| match missed {
                Missed::Skip => JobMissed::Skip,
                Missed::RunOnce => JobMissed::RunOnce,
            }),
            grace: table.grace,
            jitter: table.jitter,
            until: table.until,
            max_runs: table.max_runs,
            retries: table.retries,
            retry_backoff: table.retry_backoff,
            keep: table.keep,
            notify: table.notify.map(|NotifyTable { command, url, on }| JobNotify {
                command,
                url,
                on: on.map(|on| match on {
                    On::Failure => JobNotifyOn::Failure,
                    On::Success => JobNotifyOn::Success,
                    On::Both => JobNotifyOn::Both,
                }),
            }),
        }
    }
}

/// The key of a field that the wire spells `inactivityTimeout`, below the job's own. Its name is that one.
pub(super) fn key_of(field: &str) -> Key {
    if field == "name" {
        return Key::default();
    }
    let mut key = String::new();
    for letter in field.chars() {
        if letter.is_ascii_uppercase() {
            key.push('_');
        }
        key.push(letter.to_ascii_lowercase());
    }
    Key(key.split('.').map(str::to_owned).collect())
}

/// What is wrong, in words for people. Of `notify` and `call` no value is told: it may be an address with a key in it.
fn reason_of(key: &Key, error: &str) -> String {
    if error == "missing field `schedule`" {
        return "there is no schedule; write one like schedule = \"every 10m\"".to_owned();
    }
    let may_hold_secrets = key.0.first().is_some_and(|name| name == "notify" || name == "call");
    let told = match error.split_once(", expected ") {
        Some((_, expected)) if may_hold_secrets => format!("expected {expected}"),
        _ => error.to_owned(),
    };
    [
        ("struct NotifyTable", "a table like { command = [\"PROGRAM\"] }"),
        ("struct CallTable", "a table like { server = \"NAME\", tool = \"NAME\" }"),
        ("struct JobTable", "a table"),
        ("u32", "a whole number"),
        ("u64", "a whole number"),
    ]
    .iter()
    .fold(told, |told, (name, words)| told.replace(&format!("expected {name}"), &format!("expected {words}")))
}

/// A duration as it was written; of what type it is said here, whether it is one when the job is looked at as a whole.
fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => {
            Period::deserialize(other).map(|period| Some(period.to_string())).map_err(D::Error::custom)
        }
        None => Ok(None),
    }
}

/// Its keys are the tool's own.
fn any_table(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["object", "null"] })
}
