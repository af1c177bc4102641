//! Telling somebody how a job run has ended: a command that reads it, or an address that it is posted to.

use std::ffi::OsString;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use verger_core::ids::JobRunId;
use verger_mcp::StderrRing;
use verger_reaper::{Exit, Gone, Helper, Spec, Stop};
use verger_wire::types::{JobNotice, JobNotifyOn, JobRun, JobRunState};

use super::execute::Ending;
use super::plan::{JobPlan, Notify, NotifyBy};
use crate::house::inherited;
use crate::shared::Shared;

/// How long either may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Bytes of what a command says on its stderr that are kept.
const STDERR: usize = 4 << 10;

/// Tells whoever the plan names of a run that is over, if it is an end of which they want to hear. What came of that is kept beside
/// the run, whose row is over.
pub(super) async fn of_end(shared: &Shared, plan: &JobPlan, run: &JobRun, ending: &Ending) {
    let Some(notify) = plan.notify.as_ref().filter(|notify| is_wanted(notify, run.state)) else { return };
    let told = tokio::select! {
        biased;
        () = ending.shutdown.cancelled() => Err("the server was stopped".to_owned()),
        told = tell(shared, notify, run) => told,
    };
    if let Err(why) = &told {
        tracing::warn!(job = run.job, run = run.id, why, "nobody was told of a job run's end");
    }
    let (ok, message) = (told.is_ok(), told.unwrap_or_else(|why| why));
    let now = shared.clock.timestamp();
    if let Err(error) = shared.store.put_notice(JobRunId(run.id), now, ok, message.clone()).await {
        tracing::error!(job = run.job, run = run.id, %error, "what came of telling somebody is not kept");
    }
    let notice = Some(JobNotice { at: now.as_second(), ok, message });
    shared.announce_job_run(JobRun { notice, ..run.clone() });
}

async fn tell(shared: &Shared, notify: &Notify, run: &JobRun) -> Result<String, String> {
    let mut json = serde_json::to_string(run).map_err(|error| error.to_string())?;
    // A line, for what reads lines.
    json.push('\n');
    match &notify.by {
        NotifyBy::Url(url) => shared.models.post(url, json, LIMIT).await,
        NotifyBy::Command { program, args } => execute(shared, run, (program, args), json).await,
    }
}

/// Whether somebody wants to hear of such an end.
fn is_wanted(notify: &Notify, state: JobRunState) -> bool {
    let has_succeeded = state == JobRunState::Succeeded;
    match notify.on {
        JobNotifyOn::Both => true,
        JobNotifyOn::Success => has_succeeded,
        JobNotifyOn::Failure => !has_succeeded,
    }
}

/// Runs a command in custody like every other process, with `input` as its stdin, and proves it gone.
async fn execute(
    shared: &Shared,
    run: &JobRun,
    (program, args): (&str, &[String]),
    input: String,
) -> Result<String, String> {
    let mut spec = Spec::new(format!("notify@{}", run.job), program);
    spec.args = args.iter().map(OsString::from).collect();
    spec.env = inherited(std::iter::empty()).collect();
    let helper = shared.reaper.spawn(spec).await.map_err(|error| error.to_string())?;
    let Helper { mut stdin, stdout, stderr, custody } = helper;
    let (said, ignored) = (StderrRing::new(STDERR), StderrRing::new(0));
    let mut pipes = JoinSet::new();
    pipes.spawn(async move {
        // A command that does not care for its input may have closed it.
        stdin.write_all(input.as_bytes()).await.map(|()| drop(stdin))
    });
    for (ring, pipe) in [(said.clone(), stderr), (ignored, stdout)] {
        pipes.spawn(async move { ring.follow(pipe).await });
    }
    let in_time = timeout(LIMIT, custody.leader_exited()).await.is_ok();
    custody.stop(if in_time { Stop::Orderly } else { Stop::Kill });
    let gone = custody.gone().await.map_err(|error| error.to_string())?;
    // With the last of its tree, the last that held them are gone.
    while let Some(ended) = pipes.join_next().await {
        if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "a pipe of a command broke");
        }
    }
    let words = said.last_lines(3).join(" | ");
    let words = if words.is_empty() { words } else { format!(": {words}") };
    match gone {
        _ if !in_time => Err(format!("it took longer than {LIMIT:?} and was killed{words}")),
        Gone { exit: Some(Exit::Code(0)), .. } => Ok("exited with 0".to_owned()),
        Gone { exit: Some(Exit::Code(code)), .. } => Err(format!("exited with {code}{words}")),
        Gone { exit: Some(Exit::Signal(signal)), .. } => Err(format!("was killed by signal {signal}{words}")),
        Gone { exit: None, .. } => Err(format!("nobody knows how it ended{words}")),
    }
}
