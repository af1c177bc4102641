//! A job: work that the server begins by itself, what it comes to, and what it was told to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use super::{AskForApproval, SandboxMode};

/// What a job is told to be. All but the schedule, and one of `prompt` and `call`, may be left out, and is then left out of what is
/// shown, too. Durations are text: `"90s"`, `"30m"`, `"1h"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct JobDefinition {
    /// When it runs: five or six fields of cron, a name as `@hourly`, `every 10m`, or `at 2030-01-31T09:00`.
    pub schedule: String,
    /// Whose clock on the wall the schedule means, as `Europe/Berlin`; the server's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What is said to the model. Either this or `call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The tool that is called, without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<JobCall>,
    /// Where the prompt is said: `new` (a thread for each run, and what is meant when absent), `same` (one thread for all runs), or a
    /// thread's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The model; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who serves the model; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    /// How much the model thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Where it works; the server's own folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Only these MCP servers; all that are configured when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
    /// When a person would be asked, and as nobody is there, the run fails; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<AskForApproval>,
    /// What it may touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxMode>,
    /// A run that takes longer is ended: it has timed out. One hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// So is one from which nothing is heard for so long. Ten minutes when absent; `0s` is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactivity_timeout: Option<String>,
    /// What becomes of a slot while an earlier run has not ended; it is skipped when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<JobOverlap>,
    /// What becomes of slots while no server was there; they are skipped when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<JobMissed>,
    /// A slot counts as missed when it is so much past. One minute when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// Each slot is put off by a part of this, so that not all jobs begin at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// The last moment at which it has a slot, as after `at`: `2030-01-31T09:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// So many of its slots are run at most; counted anew when this changes, or its schedule, zone or `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
    /// How often a run that failed or timed out is tried again; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long after a failure; twice as long after each further one, at most an hour. 30 seconds when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_backoff: Option<String>,
    /// How many ended runs are kept, with their threads. 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Who is told of a run's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<JobNotify>,
}

/// A tool to call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[ts(optional_fields = nullable)]
pub struct JobCall {
    /// The MCP server's name in the configuration.
    pub server: String,
    /// The tool's name, as the server has it.
    pub tool: String,
    /// What it is called with; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Map<String, Value>>,
}

/// Who is told of a run's end: a command or a webhook, which gets the run as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[ts(optional_fields = nullable)]
pub struct JobNotify {
    /// A program and its arguments; the run is its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// An address that the run is posted to. Either this or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of which ends; of failures when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<JobNotifyOn>,
}

/// Of which ends of runs somebody is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum JobNotifyOn {
    /// Of those that did not succeed.
    #[default]
    Failure,
    /// Of those that did.
    Success,
    /// Of every one.
    Both,
}

/// What becomes of a slot while an earlier run of the job has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum JobOverlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It runs after the earlier one.
    Queue,
    /// It runs beside the earlier one.
    Parallel,
}

/// What becomes of slots while no server was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum JobMissed {
    /// They are skipped.
    #[default]
    Skip,
    /// One run is made up for all of them.
    RunOnce,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name: no other job has it.
    pub name: String,
    /// Where it comes from.
    pub source: JobSource,
    /// What it was told to be.
    pub definition: JobDefinition,
    /// It has no slots until it is resumed.
    pub paused: bool,
    /// How many of its slots were run, or will be.
    pub fired: u64,
    /// Its next slot; `null` where it has none.
    #[serde(default)]
    pub next: Option<JobSlot>,
    /// How many of its runs go on.
    pub running: u32,
    /// How many of its runs wait for their turn.
    pub waiting: u32,
    /// The run that was put down last; `null` before the first.
    #[serde(default)]
    pub last_run: Option<JobRun>,
    /// Why it cannot run as it is defined; `null` where it can.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Where a job comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum JobSource {
    /// It is in config.toml, and is changed there.
    Config,
    /// It was added while the server ran.
    Added,
}

/// A moment at which a job is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct JobSlot {
    /// The moment that its schedule names, in Unix seconds.
    pub slot_at: i64,
    /// When it is run, in Unix seconds: the slot and its jitter.
    pub due_at: i64,
    /// The slot on the server's clock, as `2030-01-31T09:00:00+01:00`.
    pub local: String,
    /// The slot on the job's clock.
    pub in_zone: String,
}

/// One execution of a job, or the slots for which there was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct JobRun {
    /// Its number: later ones are larger.
    pub id: u64,
    /// The job's name.
    pub job: String,
    /// Why it is there.
    pub cause: JobCause,
    /// How far it is.
    pub state: JobRunState,
    /// Why it is in this state, in words; `null` where that is plain.
    #[serde(default)]
    pub reason: Option<String>,
    /// The moment that the schedule names, in Unix seconds; `null` where a person asked for the run.
    #[serde(default)]
    pub slot_at: Option<i64>,
    /// The last of the slots that it stands for, in Unix seconds: another than `slotAt` where several were skipped together.
    #[serde(default)]
    pub last_slot_at: Option<i64>,
    /// How many slots it stands for; 0 where a person asked for the run.
    pub slots: u32,
    /// There are more than `slots`, which nobody has counted.
    pub more: bool,
    /// Which try this is, from 1 on.
    pub attempt: u32,
    /// When it was or is to begin, in Unix seconds; `null` where it was skipped.
    #[serde(default)]
    pub due_at: Option<i64>,
    /// When it began, in Unix seconds.
    #[serde(default)]
    pub started_at: Option<i64>,
    /// When it ended, in Unix seconds: its helpers were proven gone then. Of slots that were skipped, when that was put down.
    #[serde(default)]
    pub ended_at: Option<i64>,
    /// Milliseconds.
    #[serde(default)]
    pub duration_ms: Option<i64>,
    /// Its thread, which opens like any other.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// What came of it, in short: the beginning of the model's last message, or of the tool's answer.
    #[serde(default)]
    pub summary: Option<String>,
    /// What came of telling somebody; `null` while nobody was told.
    #[serde(default)]
    pub notice: Option<JobNotice>,
}

/// Why a run is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum JobCause {
    /// Its slot came.
    Schedule,
    /// It makes up for slots while no server was there.
    Missed,
    /// A person asked for it.
    Manual,
    /// An earlier try did not succeed.
    Retry,
}

/// How far a run is. All but the first two are ends, and an end never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum JobRunState {
    /// It is to begin.
    Scheduled,
    /// It goes on.
    Running,
    /// It did what it should.
    Succeeded,
    /// It did not; `reason` says why.
    Failed,
    /// It took too long, or was silent for too long.
    TimedOut,
    /// A person stopped it, or its server was, or its job is no more; `reason` says which.
    Cancelled,
    /// It was not begun; `reason` says why.
    Skipped,
    /// Its server died while it ran.
    Interrupted,
}

/// What came of telling somebody of a run's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobNotice {
    /// When, in Unix seconds.
    pub at: i64,
    /// Whether they were told.
    pub ok: bool,
    /// Why not, or what they answered, in short.
    pub message: String,
}

// === impl JobRunState ===

impl JobRunState {
    /// Whether this is an end.
    #[must_use]
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Running)
    }
}
