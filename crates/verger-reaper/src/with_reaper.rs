//! For a program that has no runtime of its own: everything around its work with helpers, from first line to last.

use std::path::Path;

use tokio::task::JoinSet;

use crate::{Options, Reaper, ReaperError, Run, sweep};

/// Begins a run in `state_dir`, ends what a killed one had left, and does `work` with a reaper; then ends every helper in
/// order and the run. To be the first line of `main`, before any thread: a shim never returns from here.
///
/// It is [`verger_shim::main`], [`Run`], [`sweep`] and [`Reaper::start`] on a runtime of one thread. A program that has a
/// runtime, or whose [`Options::image`] is another, calls these itself.
///
/// # Errors
/// Those of the run, the sweep and the reaper; what `work` returns is passed on as it is.
pub fn with_reaper<T>(
    state_dir: impl AsRef<Path>,
    options: Options,
    work: impl AsyncFnOnce(&Reaper) -> T,
) -> Result<T, ReaperError> {
    if verger_shim::is_shim() {
        verger_shim::main();
    }
    let run = Run::begin(state_dir.as_ref())?;
    sweep(state_dir.as_ref(), &run)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(ReaperError::Runtime)?.block_on(async {
        let (reaper, task) = Reaper::start(&run, options)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        let done = work(&reaper).await;
        reaper.shutdown().await;
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| ReaperError::Runtime(e.into()))?;
        }
        Ok::<_, ReaperError>(done)
    })?;
    run.end()?;
    Ok(done)
}
