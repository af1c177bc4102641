//! `verger demo`: the promises, kept before your eyes by a real server with real helpers.
//!
//! ```text
//! demo -> shim -> keeper -> verger serve -> shim -> helper
//! ```
//!
//! Everything that the demo starts, it starts through verger-reaper, so that nothing of it outlives the demo, however
//! that ends. The keeper stands between so that the demo's own shim does not clean up after the server that is killed on
//! purpose: what that server's own shims leave undone is to be seen.

mod choice;
mod helper;
mod keeper;
mod kernel;
mod server;
mod story;
mod table;
mod visitor;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use verger_reaper::{Level, Options, Reaper, Run};

use crate::cli::DemoArgs;
use crate::serve::Failure;

pub(crate) use helper::demo_helper;
pub(crate) use keeper::demo_keeper;

/// Runs the demo; its last line is the verdict.
pub(crate) fn demo(args: &DemoArgs) -> ExitCode {
    let told = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(guarded(args)),
        Err(error) => Err(error.into()),
    };
    match told {
        Ok(verdict) => {
            println!("{verdict}");
            if verdict.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("verdict: FAIL: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the demo has shown.
#[derive(Debug)]
struct Verdict {
    shown: String,
    problems: Vec<String>,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.problems.as_slice() {
            [] => write!(f, "verdict: PASS: {}", self.shown),
            [only] => write!(f, "verdict: FAIL: {only}"),
            [first, others @ ..] => write!(f, "verdict: FAIL: {first} (and {} more, above)", others.len()),
        }
    }
}

/// Tells the story, and sees to it that nothing is left when it is told, fails or is interrupted.
async fn guarded(args: &DemoArgs) -> Result<Verdict, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let folder = tempfile::Builder::new().prefix("verger-demo-").tempdir()?;
    let run = Run::begin(&folder.path().join("own"))?;
    // A cgroup would be one more thing to be left behind by SIGKILL; for one keeper a shim is proof enough.
    let options = Options { level: Some(Level::Shim), ..Options::default() };
    let (reaper, reaping) = Reaper::start(&run, options)?;
    let mut reaper_task = JoinSet::new();
    reaper_task.spawn(reaping);
    let told = tokio::select! {
        told = story::tell(args, folder.path(), &reaper) => told,
        _ = interrupt.recv() => Err("interrupted; everything that was started has been ended".into()),
        _ = terminate.recv() => Err("terminated; everything that was started has been ended".into()),
    };
    reaper.kill_all();
    reaper.shutdown().await;
    let left = reaper.list().len();
    while let Some(ended) = reaper_task.join_next().await {
        ended?;
    }
    if left > 0 {
        return Err(format!("{left} process tree(s) of the demo could not be proven gone").into());
    }
    run.end()?;
    folder.close()?;
    told
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn a_verdict_is_one_line() {
        let verdict = |problems: &[&str]| {
            let problems = problems.iter().map(|&problem| problem.to_owned()).collect();
            Verdict { shown: "all is well".to_owned(), problems }.to_string()
        };
        assert_eq!(verdict(&[]), "verdict: PASS: all is well");
        assert_eq!(verdict(&["a leak"]), "verdict: FAIL: a leak");
        assert_eq!(verdict(&["a leak", "b", "c"]), "verdict: FAIL: a leak (and 2 more, above)");
    }
}
