//! What a job's definition comes to: its rules, its work and its limits, or the one field that is wrong and why.

mod refusals;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use verger_core::ids::ThreadId;
use verger_core::job::{JobRules, Missed, Overlap, Schedule, Standing};
use verger_core::server::ServerName;
use verger_wire::RpcError;
use verger_wire::types::{
    AskForApproval, JobDefinition, JobMissed, JobNotify, JobNotifyOn, JobOverlap, SandboxMode,
};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(60 * 60);
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const GRACE: Duration = Duration::from_secs(60);
const RETRY_BACKOFF: Duration = Duration::from_secs(30);
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(60 * 60);
const KEEP: u32 = 50;

/// All that a job needs to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobPlan {
    /// When, and what becomes of slots that cannot run.
    pub(crate) rules: Arc<JobRules>,
    /// What.
    pub(crate) work: Work,
    /// In which thread.
    pub(crate) thread: Place,
    /// The model; the configuration's if `None`.
    pub(crate) model: Option<String>,
    /// Who serves it; the configuration's if `None`.
    pub(crate) model_provider: Option<String>,
    /// How much it thinks.
    pub(crate) effort: Option<String>,
    /// Where it works, an absolute path.
    pub(crate) cwd: Option<PathBuf>,
    /// Only these servers; all that are enabled if `None`.
    pub(crate) servers: Option<Vec<ServerName>>,
    /// When a person would have to be asked, so that the run fails; never, in a thread of the job's own, if `None`.
    pub(crate) approval_policy: Option<AskForApproval>,
    /// What it may touch; as the configuration says if `None`.
    pub(crate) sandbox: Option<SandboxMode>,
    /// How long a run may take.
    pub(crate) timeout: Duration,
    /// How long it may be silent; for ever if `None`.
    pub(crate) inactivity_timeout: Option<Duration>,
    /// How often a run is tried again.
    pub(crate) retries: u32,
    /// How long after the first failure.
    pub(crate) retry_backoff: Duration,
    /// How many ended runs are kept.
    pub(crate) keep: u32,
    /// Who is told of the end of a run.
    pub(crate) notify: Option<Notify>,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// A turn of a model.
    Prompt(String),
    /// One call of a tool.
    Call {
        /// Whose.
        server: ServerName,
        /// Its name.
        tool: String,
        /// What it is called with.
        arguments: Map<String, Value>,
    },
}

/// The thread of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A new one for each run.
    New,
    /// That of the job's last run.
    Same,
    /// This one.
    Id(ThreadId),
}

/// Who is told of which ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notify {
    /// How.
    pub(crate) by: NotifyBy,
    /// Of which.
    pub(crate) on: JobNotifyOn,
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotifyBy {
    /// A program that is started.
    Command {
        /// A path, or a name to look up on PATH.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// An address of http or https that is posted to.
    Url(String),
}

/// Why a definition is no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(crate) struct Fault {
    /// As the wire spells it, dotted: `notify.url`; `name` for the job's name.
    pub(crate) field: &'static str,
    /// What is wrong, and what to write instead.
    pub(crate) reason: String,
}

impl From<Fault> for RpcError {
    fn from(fault: Fault) -> Self {
        Self::invalid_job(fault.field, fault.reason)
    }
}

/// What a job comes to that is to run from `now` on.
///
/// # Errors
/// As [`check`]; and a job without a slot after `now`.
pub(crate) fn plan(
    name: &str,
    definition: &JobDefinition,
    config: &Config,
    now: Timestamp,
) -> Result<JobPlan, Fault> {
    let plan = check(name, definition, config)?;
    plan.has_slot_after(now)?;
    Ok(plan)
}

/// What a job comes to, whether it has slots still to come or not.
///
/// # Errors
/// The first field that is wrong, on its own or beside the others or the configuration.
pub(crate) fn check(name: &str, definition: &JobDefinition, config: &Config) -> Result<JobPlan, Fault> {
    refusals::name(name)?;
    let servers = refusals::servers(definition, config)?;
    refusals::model(definition, config)?;
    let period = |field, text: &Option<String>, default| {
        text.as_deref().map_or(Ok(default), |text| refusals::period(field, text))
    };
    let timeout = period("timeout", &definition.timeout, TIMEOUT)?;
    if timeout.is_zero() {
        return Err(fault("timeout", "no run is that fast; write one like \"30m\""));
    }
    let inactivity = period("inactivityTimeout", &definition.inactivity_timeout, INACTIVITY_TIMEOUT)?;
    if definition.keep == Some(0) {
        return Err(fault("keep", "the last run is always kept; write at least 1"));
    }
    Ok(JobPlan {
        rules: Arc::new(rules(name, definition)?),
        work: refusals::work(definition, config)?,
        thread: place(definition)?,
        model: definition.model.clone(),
        model_provider: definition.model_provider.clone(),
        effort: definition.effort.clone(),
        cwd: refusals::folder(definition)?,
        servers,
        approval_policy: definition.approval_policy,
        sandbox: definition.sandbox,
        timeout,
        inactivity_timeout: Some(inactivity).filter(|limit| !limit.is_zero()),
        retries: definition.retries.unwrap_or_default(),
        retry_backoff: period("retryBackoff", &definition.retry_backoff, RETRY_BACKOFF)?,
        keep: definition.keep.unwrap_or(KEEP),
        notify: definition.notify.as_ref().map(notify).transpose()?,
    })
}

impl JobPlan {
    /// Whether it sets what a thread that is somebody's has settings for.
    pub(crate) fn has_settings(&self) -> bool {
        let words = self.model.is_some() || self.model_provider.is_some() || self.cwd.is_some();
        words || self.servers.is_some() || self.sandbox.is_some() || self.approval_policy.is_some()
    }

    /// Whether anything is left to do.
    ///
    /// # Errors
    /// The field because of which there is not.
    pub(crate) fn has_slot_after(&self, now: Timestamp) -> Result<(), Fault> {
        let standing = Standing { revision: 0, cursor: now, fired: 0, paused: false };
        let rules = &self.rules;
        if rules.next(&standing).is_some() {
            return Ok(());
        }
        let schedule = &rules.schedule;
        match (schedule.next(now, &rules.zone), rules.until) {
            (Some(next), Some(until)) => {
                let shown = |moment: Timestamp| moment.to_zoned(rules.zone.clone()).datetime();
                let (next, until) = (shown(next), shown(until));
                let reason = format!(
                    "nothing is due up to {until}, the next slot would be {next}; write a later one, or leave it out"
                );
                Err(fault("until", reason))
            }
            _ if schedule.is_once() => {
                Err(fault("schedule", format!("'{schedule}' is past; write a later moment")))
            }
            _ => Err(fault("schedule", format!("'{schedule}' never comes again"))),
        }
    }
}

fn fault(field: &'static str, reason: impl Into<String>) -> Fault {
    Fault { field, reason: reason.into() }
}

fn rules(name: &str, definition: &JobDefinition) -> Result<JobRules, Fault> {
    let schedule =
        Schedule::parse(&definition.schedule).map_err(|error| fault("schedule", error.to_string()))?;
    let zone = refusals::zone(definition.timezone.as_deref())?;
    let until = definition.until.as_deref().map(|until| moment(until, &zone)).transpose()?;
    if definition.max_runs == Some(0) {
        return Err(fault("maxRuns", "0 would let it never run; write at least 1, or pause the job"));
    }
    let period = |field, text: &Option<String>, default| {
        text.as_deref().map_or(Ok(default), |text| refusals::period(field, text))
    };
    Ok(JobRules {
        schedule,
        zone,
        jitter: period("jitter", &definition.jitter, Duration::ZERO)?,
        seed: seed(name),
        until,
        max_runs: definition.max_runs,
        overlap: match definition.overlap.unwrap_or_default() {
            JobOverlap::Skip => Overlap::Skip,
            JobOverlap::Queue => Overlap::Queue,
            JobOverlap::Parallel => Overlap::Parallel,
        },
        missed: match definition.missed.unwrap_or_default() {
            JobMissed::Skip => Missed::Skip,
            JobMissed::RunOnce => Missed::RunOnce,
        },
        grace: period("grace", &definition.grace, GRACE)?,
    })
}

/// What `at` would mean by the same text.
fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, Fault> {
    let moment = Schedule::parse(&format!("at {text}")).ok();
    moment.and_then(|moment| moment.next(Timestamp::MIN, zone)).ok_or_else(|| {
        fault(
            "until",
            format!("'{text}' is no moment; write one like \"2030-01-31T09:00\", or with an offset"),
        )
    })
}

fn place(definition: &JobDefinition) -> Result<Place, Fault> {
    let place = match definition.thread.as_deref() {
        None | Some("new") => return Ok(Place::New),
        Some("same") => Place::Same,
        Some(id) => {
            let id = ThreadId::from_str(id).map_err(|_| {
                fault("thread", format!("'{id}' is none; write \"new\", \"same\", or a thread's id"))
            })?;
            Place::Id(id)
        }
    };
    if definition.overlap == Some(JobOverlap::Parallel) {
        let reason = "a thread has one turn at a time, so runs in one thread cannot be parallel; write \"queue\", or take \
                      a new thread for each run";
        return Err(fault("overlap", reason));
    }
    Ok(place)
}

fn notify(notify: &JobNotify) -> Result<Notify, Fault> {
    let by = match (&notify.command, &notify.url) {
        (Some(command), None) => match command.split_first() {
            Some((program, args)) if !program.is_empty() => {
                NotifyBy::Command { program: program.clone(), args: args.to_vec() }
            }
            _ => return Err(fault("notify.command", "no program; write [\"PROGRAM\", \"ARGUMENT\"]")),
        },
        (None, Some(url)) => NotifyBy::Url(refusals::address(url)?),
        (None, None) => return Err(fault("notify", "nobody is named; write a command or a url")),
        (Some(_), Some(_)) => {
            return Err(fault("notify", "command and url exclude each other; remove one of them"));
        }
    };
    Ok(Notify { by, on: notify.on.unwrap_or_default() })
}

/// The same number for a name in every build and on every machine (FNV-1a).
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
