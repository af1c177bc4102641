//! A job that looks through the day's work each evening, and one of its runs.

use serde_json::json;
use verger_wire::requests::*;
use verger_wire::types::*;
use verger_wire::{
    ClientRequest, JobChangedNotification, JobRemovedNotification, JobRunUpdatedNotification, Notification,
};

use super::{BEGAN, Exchange, THREAD, ask};

/// Unix seconds of a slot: 2026-11-20T20:00:00+01:00.
const SLOT: i64 = 1_795_201_200;

pub(super) fn exchanges() -> Vec<Exchange> {
    let name = || JobNameParams { name: "evening".into() };
    let run = JobRunIdParams { run: 212 };
    let told = || JobResponse { job: job() };
    let paused = JobResponse { job: Job { paused: true, next: None, ..job() } };
    let changes = json!({ "schedule": "0 21 * * MON-FRI", "jitter": null });
    let changes = changes.as_object().cloned().unwrap_or_default();
    let schedule = "0 21 * * MON-FRI".to_owned();
    let edited = JobDefinition { schedule, jitter: None, ..definition() };
    let an_hour_later = JobSlot {
        slot_at: SLOT + 3_600,
        due_at: SLOT + 3_600,
        local: "2026-11-20T20:00:00+00:00".into(),
        in_zone: "2026-11-20T21:00:00+01:00".into(),
    };
    let edited =
        JobResponse { job: Job { definition: edited, fired: 0, next: Some(an_hour_later), ..job() } };
    vec![
        ask(
            50,
            ClientRequest::JobList(PageParams { cursor: None, limit: Some(50) }),
            &JobListResponse { data: vec![job(), checked()], next_cursor: Some("evening".into()) },
        ),
        ask(51, ClientRequest::JobRead(name()), &told()),
        ask(
            52,
            ClientRequest::JobAdd(Box::new(JobAddParams {
                name: "evening".into(),
                definition: definition(),
            })),
            &JobResponse { job: Job { fired: 0, last_run: None, ..job() } },
        ),
        ask(53, ClientRequest::JobEdit(JobEditParams { name: "evening".into(), changes }), &edited),
        ask(54, ClientRequest::JobPause(name()), &paused),
        ask(55, ClientRequest::JobResume(name()), &told()),
        ask(56, ClientRequest::JobRemove(name()), &Empty {}),
        ask(57, ClientRequest::JobRunNow(name()), &JobRunResponse { run: manual() }),
        ask(58, ClientRequest::JobCancel(run), &JobRunResponse { run: cancelled() }),
        ask(
            59,
            ClientRequest::JobNext(JobNextParams { name: "evening".into(), count: Some(1) }),
            &JobNextResponse { data: vec![slot()] },
        ),
        ask(
            60,
            ClientRequest::JobHistory(JobHistoryParams {
                name: "evening".into(),
                cursor: None,
                limit: Some(2),
            }),
            &JobHistoryResponse { data: vec![succeeded(), skipped()], next_cursor: Some("211".into()) },
        ),
        ask(61, ClientRequest::JobRunRead(run), &JobRunResponse { run: succeeded() }),
    ]
}

pub(super) fn notifications() -> Vec<Notification> {
    vec![
        Notification::JobChanged(JobChangedNotification { job: Box::new(job()) }),
        Notification::JobRemoved(JobRemovedNotification { name: "evening".into() }),
        Notification::JobRunUpdated(JobRunUpdatedNotification { run: Box::new(succeeded()) }),
    ]
}

fn definition() -> JobDefinition {
    JobDefinition {
        schedule: "0 20 * * MON-FRI".into(),
        timezone: Some("Europe/Berlin".into()),
        prompt: Some("Which files changed today? Say it in one sentence.".into()),
        thread: Some("same".into()),
        servers: Some(vec!["git".into()]),
        timeout: Some("10m".into()),
        missed: Some(JobMissed::RunOnce),
        jitter: Some("30s".into()),
        retries: Some(1),
        notify: Some(JobNotify {
            command: Some(vec!["notify-send".into(), "evening failed".into()]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn slot() -> JobSlot {
    JobSlot {
        slot_at: SLOT,
        due_at: SLOT + 11,
        local: "2026-11-20T19:00:00+00:00".into(),
        in_zone: "2026-11-20T20:00:00+01:00".into(),
    }
}

fn job() -> Job {
    Job {
        name: "evening".into(),
        source: JobSource::Added,
        definition: definition(),
        paused: false,
        fired: 41,
        next: Some(slot()),
        running: 0,
        waiting: 0,
        last_run: Some(succeeded()),
        problem: None,
    }
}

/// A job from the configuration that calls a tool, and names a server that is not there.
fn checked() -> Job {
    let arguments = json!({ "repo_path": "/home/ada/engine" }).as_object().cloned();
    let call = JobCall { server: "gti".into(), tool: "git_status".into(), arguments };
    Job {
        name: "status".into(),
        source: JobSource::Config,
        definition: JobDefinition {
            schedule: "every 10m".into(),
            call: Some(call),
            overlap: Some(JobOverlap::Queue),
            approval_policy: Some(AskForApproval::Never),
            sandbox: Some(SandboxMode::ReadOnly),
            keep: Some(10),
            max_runs: Some(1000),
            notify: Some(JobNotify {
                url: Some("https://bell.example/ring".into()),
                on: Some(JobNotifyOn::Both),
                ..Default::default()
            }),
            ..Default::default()
        },
        next: None,
        last_run: None,
        fired: 0,
        problem: Some("call.server: no MCP server 'gti' is configured; there is: git".into()),
        ..job()
    }
}

fn succeeded() -> JobRun {
    JobRun {
        id: 212,
        job: "evening".into(),
        cause: JobCause::Schedule,
        state: JobRunState::Succeeded,
        reason: None,
        slot_at: Some(BEGAN),
        last_slot_at: Some(BEGAN),
        slots: 1,
        more: false,
        attempt: 1,
        due_at: Some(BEGAN),
        started_at: Some(BEGAN),
        ended_at: Some(BEGAN + 6),
        duration_ms: Some(5840),
        thread_id: Some(THREAD.into()),
        summary: Some("Only src/mill.rs.".into()),
        notice: Some(JobNotice { at: BEGAN + 7, ok: true, message: "exited with 0".into() }),
    }
}

fn manual() -> JobRun {
    JobRun {
        id: 213,
        cause: JobCause::Manual,
        state: JobRunState::Scheduled,
        slot_at: None,
        last_slot_at: None,
        slots: 0,
        started_at: None,
        ended_at: None,
        duration_ms: None,
        thread_id: None,
        summary: None,
        notice: None,
        ..succeeded()
    }
}

fn cancelled() -> JobRun {
    let reason = Some("it was cancelled".to_owned());
    JobRun { state: JobRunState::Cancelled, reason, summary: None, notice: None, ..succeeded() }
}

fn skipped() -> JobRun {
    let first = BEGAN - 3 * 86_400;
    JobRun {
        id: 211,
        cause: JobCause::Missed,
        state: JobRunState::Skipped,
        reason: Some("missed".into()),
        slot_at: Some(first),
        last_slot_at: Some(BEGAN - 86_400),
        slots: 3,
        due_at: None,
        ended_at: Some(BEGAN - 86_300),
        ..manual()
    }
}
