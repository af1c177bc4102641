//! Jobs and their runs in the wire's words.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use verger_core::job::{Due, Standing};
use verger_store::{Cause, End, JobRunRow, RunState};
use verger_wire::types::{Job, JobCause, JobDefinition, JobNotice, JobNotify, JobRun, JobRunState, JobSlot};

use super::book::Entry;
use crate::config::without_credentials;

/// A row of a job's history.
pub(super) fn run(job: &str, row: &JobRunRow) -> JobRun {
    let seconds = |at: Option<Timestamp>| at.map(Timestamp::as_second);
    let duration =
        row.started_at.zip(row.ended_at).map(|(from, to)| to.as_millisecond() - from.as_millisecond());
    JobRun {
        id: row.id.0,
        job: job.to_owned(),
        cause: match row.cause {
            Cause::Schedule => JobCause::Schedule,
            Cause::Missed => JobCause::Missed,
            Cause::Manual => JobCause::Manual,
            Cause::Retry => JobCause::Retry,
        },
        state: match row.state {
            RunState::Scheduled => JobRunState::Scheduled,
            RunState::Running => JobRunState::Running,
            RunState::Skipped => JobRunState::Skipped,
            RunState::Ended(End::Succeeded) => JobRunState::Succeeded,
            RunState::Ended(End::Failed) => JobRunState::Failed,
            RunState::Ended(End::TimedOut) => JobRunState::TimedOut,
            RunState::Ended(End::Cancelled) => JobRunState::Cancelled,
            RunState::Ended(End::Interrupted) => JobRunState::Interrupted,
        },
        reason: row.reason.clone(),
        slot_at: seconds(row.slot),
        last_slot_at: seconds(row.last_slot),
        slots: row.slots,
        more: row.more,
        attempt: row.attempt,
        due_at: (row.state != RunState::Skipped).then(|| row.due_at.as_second()),
        started_at: seconds(row.started_at),
        ended_at: seconds(row.ended_at),
        duration_ms: duration,
        thread_id: row.thread.map(|thread| thread.to_string()),
        summary: row.summary.clone(),
        notice: row.notice.as_ref().map(|notice| JobNotice {
            at: notice.at.as_second(),
            ok: notice.ok,
            message: notice.message.clone(),
        }),
    }
}

/// A job as it stands. `counts` is how many of its runs run, and how many wait.
pub(super) fn job(name: &str, entry: &Entry, counts: (u32, u32), last: Option<&JobRunRow>) -> Job {
    let standing = &entry.standing;
    let plan = entry.plan.as_ref().ok();
    let next = plan.and_then(|plan| Some(slot(plan.rules.next(standing)?, &plan.rules.zone)));
    Job {
        name: name.to_owned(),
        source: entry.source,
        definition: without_secrets(&entry.definition),
        paused: standing.paused,
        fired: standing.fired,
        next,
        running: counts.0,
        waiting: counts.1,
        last_run: last.map(|row| run(name, row)),
        problem: entry.plan.as_ref().err().cloned(),
    }
}

/// As `config/read` shows it: an address may have a key in it.
fn without_secrets(definition: &JobDefinition) -> JobDefinition {
    let mut shown = definition.clone();
    if let Some(JobNotify { url: Some(url), .. }) = &mut shown.notify {
        *url = without_credentials(url);
    }
    shown
}

/// The next slots of a job that stands so.
pub(super) fn next(entry: &Entry, count: usize) -> Vec<JobSlot> {
    let Ok(plan) = &entry.plan else { return Vec::new() };
    let first = plan.rules.next(&entry.standing);
    let after = |due: &Due| {
        let standing = Standing { cursor: due.slot, fired: 0, ..entry.standing };
        plan.rules.next(&standing)
    };
    let most = plan.rules.max_runs.map_or(u64::MAX, |most| most.saturating_sub(entry.standing.fired));
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(count);
    std::iter::successors(first, after).take(most).map(|due| slot(due, &plan.rules.zone)).collect()
}

fn slot(due: Due, zone: &TimeZone) -> JobSlot {
    let text = |zone: TimeZone| Zoned::new(due.slot, zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    JobSlot {
        slot_at: due.slot.as_second(),
        due_at: due.at.as_second(),
        local: text(TimeZone::system()),
        in_zone: text(zone.clone()),
    }
}

/// What the thread of a run is called: the job, and the slot by its own clock.
pub(super) fn title(job: &str, row: &JobRunRow, zone: &TimeZone) -> String {
    let at = Zoned::new(row.slot.unwrap_or(row.due_at), zone.clone());
    format!("{job} {}", at.strftime("%Y-%m-%d %H:%M"))
}
