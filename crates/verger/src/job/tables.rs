//! Jobs, runs and slots as people read them.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use verger_wire::types::{Job, JobRun, JobRunState, JobSlot};

use super::word;
use crate::columns::columns;

/// A line for each job.
pub(super) fn jobs(jobs: &[Job], zone: &TimeZone) -> String {
    if jobs.is_empty() {
        return "  no jobs; `verger job add` makes one\n".to_owned();
    }
    let rows = jobs.iter().map(|job| {
        let next = match &job.next {
            _ if job.problem.is_some() => "broken".to_owned(),
            _ if job.paused => "paused".to_owned(),
            Some(next) => moment(next.due_at, zone),
            None => "never".to_owned(),
        };
        let last = job.last_run.as_ref().map_or_else(|| "-".to_owned(), |run| word(&run.state));
        let waiting = if job.waiting > 0 { format!(" (+{})", job.waiting) } else { String::new() };
        let running = format!("{}{waiting}", job.running);
        let note = job.problem.clone().unwrap_or_default();
        [job.name.clone(), job.definition.schedule.clone(), next, last, running, note]
    });
    let mut out = String::new();
    columns(&mut out, ["JOB", "SCHEDULE", "NEXT", "LAST", "RUNNING", "NOTE"], rows.collect());
    out
}

/// Everything about one job.
pub(super) fn job(job: &Job, zone: &TimeZone) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| writeln!(out, "  {name:18} {value}").ok();
    line("job", job.name.clone());
    line("source", if word(&job.source) == "config" { "config.toml".into() } else { "added".into() });
    if let Some(problem) = &job.problem {
        line("problem", problem.clone());
    }
    if let Ok(Value::Object(members)) = serde_json::to_value(&job.definition) {
        for (name, value) in members {
            // Of what could not be read there is nothing to show.
            if value != "" {
                line(&spaced(&name), member(&name, &value));
            }
        }
    }
    let next = job.next.as_ref().map_or_else(|| "never".into(), |next| moment(next.due_at, zone));
    line("next", if job.paused { "paused".into() } else { next });
    line("slots run", job.fired.to_string());
    line("running", job.running.to_string());
    line("waiting", job.waiting.to_string());
    if let Some(run) = &job.last_run {
        line("last run", end(run));
    }
    out
}

/// `maxRuns` as people read it.
fn spaced(name: &str) -> String {
    name.chars().fold(String::new(), |mut words, letter| {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
        words
    })
}

/// A member of a definition on one line.
fn member(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', " "),
        Value::Array(names) if names.is_empty() => "none".to_owned(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Object(call) if name == "call" => {
            let word = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or("?");
            let arguments =
                call.get("arguments").map(|arguments| format!(" {arguments}")).unwrap_or_default();
            format!("{}/{}{arguments}", word("server"), word("tool"))
        }
        other => other.to_string(),
    }
}

/// What `resume` says.
pub(super) fn resumed(job: &Job, zone: &TimeZone) -> String {
    let name = &job.name;
    match &job.next {
        Some(next) => format!("job '{name}' is due next at {}\n", moment(next.due_at, zone)),
        None => format!("job '{name}' is not paused any more, and has no slot to come\n"),
    }
}

/// A line for each run.
pub(super) fn runs(runs: &[JobRun], zone: &TimeZone) -> String {
    let at = |moment_at: Option<i64>| moment_at.map_or_else(|| "-".to_owned(), |at| moment(at, zone));
    let rows = runs.iter().map(|run| {
        [
            run.id.to_string(),
            word(&run.state),
            word(&run.cause),
            at(run.slot_at),
            at(run.started_at),
            took(run).unwrap_or_else(|| "-".to_owned()),
            run.attempt.to_string(),
            note(run, zone),
        ]
    });
    let mut out = String::new();
    columns(&mut out, ["RUN", "STATE", "CAUSE", "SLOT", "BEGAN", "TOOK", "TRY", "NOTE"], rows.collect());
    out
}

/// A line for each slot.
pub(super) fn slots(slots: &[JobSlot]) -> String {
    let rows = slots.iter().map(|slot| {
        let late = slot.due_at - slot.slot_at;
        let jitter = if late == 0 { String::new() } else { format!("+{late}s") };
        [slot.local.clone(), slot.in_zone.clone(), jitter]
    });
    let mut out = String::new();
    columns(&mut out, ["SLOT", "JOB'S OWN TIME", "JITTER"], rows.collect());
    out
}

/// How a run began.
pub(super) fn beginning(run: &JobRun, zone: &TimeZone) -> String {
    let began =
        run.started_at.map_or_else(|| "has not begun".to_owned(), |at| format!("began {}", moment(at, zone)));
    let thread = run.thread_id.as_ref().map(|thread| format!(", in thread {thread}")).unwrap_or_default();
    format!("run {} of job '{}' {began}{thread}\n", run.id, run.job)
}

/// How far a run is, or how it ended, in one line.
pub(super) fn end(run: &JobRun) -> String {
    let took = took(run).map(|took| format!(" after {took}")).unwrap_or_default();
    let why = run.reason.iter().chain(&run.summary).map(|text| one_line(text)).collect::<Vec<_>>().join("; ");
    let colon = if why.is_empty() { "" } else { ": " };
    format!("run {} of job '{}' {}{took}{colon}{why}", run.id, run.job, told(run.state))
}

/// The same, followed by what that line has no room for. The last message of a thread is left out: whoever reads this has read it.
pub(super) fn whole_end(run: &JobRun) -> String {
    let summary = run.summary.iter().filter(|_| run.thread_id.is_none());
    let long = run.reason.iter().chain(summary).filter(|text| one_line(text) != text.trim());
    long.fold(end(run), |all, text| format!("{all}\n{}", text.trim()))
}

/// As the end of a sentence.
fn told(state: JobRunState) -> &'static str {
    match state {
        JobRunState::Scheduled => "waits for its turn",
        JobRunState::Running => "goes on",
        JobRunState::Succeeded => "succeeded",
        JobRunState::Failed => "failed",
        JobRunState::TimedOut => "timed out",
        JobRunState::Cancelled => "was cancelled",
        JobRunState::Skipped => "was skipped",
        JobRunState::Interrupted => "was interrupted",
    }
}

fn note(run: &JobRun, zone: &TimeZone) -> String {
    let mut notes = Vec::new();
    if let Some(last) = run.last_slot_at.filter(|_| run.more || run.slots > 1) {
        let more = if run.more { "more than " } else { "" };
        notes.push(format!("{more}{} slots up to {}", run.slots, moment(last, zone)));
    }
    notes.extend(run.reason.as_deref().map(one_line));
    notes.extend(run.summary.as_deref().map(one_line));
    if let Some(notice) = run.notice.as_ref().filter(|notice| !notice.ok) {
        notes.push(format!("nobody could be told: {}", one_line(&notice.message)));
    }
    notes.join("; ")
}

/// As much of a text as fits beside others.
fn one_line(text: &str) -> String {
    const ENOUGH: usize = 100;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(ENOUGH) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}

fn took(run: &JobRun) -> Option<String> {
    let ms = run.duration_ms?;
    Some(match ms {
        ..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    })
}

/// Unix seconds on this machine's clock.
fn moment(unix: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(unix) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => unix.to_string(),
    }
}
