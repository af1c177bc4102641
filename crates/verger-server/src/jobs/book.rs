//! What is known of each job beside its ledger: what it is told to be, and what that comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use verger_core::ids::JobId;
use verger_core::job::Standing;
use verger_store::{JobError, JobRow, MAX_PAGE, Store};
use verger_wire::types::{JobDefinition, JobSource};

use super::plan::{JobPlan, check};
use crate::config::Config;

/// Rows of the ledger that are read at once.
const PAGE: usize = MAX_PAGE;

/// Rows that are made at once: they share the ledger's commits.
const AT_ONCE: usize = 128;

/// One job.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: JobId,
    pub(super) source: JobSource,
    pub(super) definition: Arc<JobDefinition>,
    /// The definition as the ledger has it, where that is where it is.
    pub(super) kept: Option<Arc<str>>,
    /// Why it cannot run, where it cannot.
    pub(super) plan: Result<Arc<JobPlan>, String>,
    /// As the ledger last said.
    pub(super) standing: Standing,
}

impl Entry {
    /// A job of the ledger; nothing where it was of a configuration that has it no more.
    pub(super) fn new(row: &JobRow, config: &Config) -> Option<Self> {
        let broken = |problem: String| (Arc::new(JobDefinition::default()), Err(problem));
        let (source, (definition, plan)) = match (&row.definition, config.jobs.get(&row.name)) {
            (Some(json), _) => {
                let definition: Result<JobDefinition, _> = serde_json::from_str(json);
                let known = match definition {
                    Ok(definition) => {
                        let plan = Self::plan(&row.name, &definition, config);
                        (Arc::new(definition), plan)
                    }
                    Err(error) => broken(format!("what it is told to be cannot be read: {error}; remove it")),
                };
                (JobSource::Added, known)
            }
            (None, Some(definition)) => {
                let plan = Self::plan(&row.name, definition, config);
                (JobSource::Config, (Arc::clone(definition), plan))
            }
            (None, None) => {
                let problem = config.broken_jobs.get(&row.name)?;
                (JobSource::Config, broken(problem.clone()))
            }
        };
        let kept = row.definition.as_deref().map(Arc::from);
        Some(Self { id: row.id, source, definition, kept, plan, standing: row.standing })
    }

    /// What a definition comes to. Its moments may be past by now.
    fn plan(name: &str, definition: &JobDefinition, config: &Config) -> Result<Arc<JobPlan>, String> {
        check(name, definition, config).map(Arc::new).map_err(|fault| fault.to_string())
    }

    /// Whether both are shown alike, however far each has come.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        let told = |entry: &Self| (entry.source, entry.standing.paused, entry.plan.as_ref().err().cloned());
        told(self) == told(other) && self.definition == other.definition
    }

    /// Whether this is what was known before that was, or as much.
    pub(super) fn is_newer(&self, other: &Self) -> bool {
        (self.id, self.standing.revision) > (other.id, other.standing.revision)
    }
}

/// Reads all jobs: those of the configuration, which get rows where they have none, and those that were added.
///
/// # Errors
/// The store failed.
pub(super) async fn read(
    store: &Store,
    config: &Config,
    now: Timestamp,
) -> Result<BTreeMap<String, Entry>, JobError> {
    let sound = config.jobs.iter().map(|(name, definition)| (name.clone(), schedule_of(definition)));
    // One that is wrong is not due, and begins anew when it is right.
    let broken = config.broken_jobs.keys().map(|name| (name.clone(), String::new()));
    let all: Vec<_> = sound.chain(broken).collect();
    let made = all.into_iter().map(|(name, schedule)| async move {
        match store.ensure_job(&name, &schedule, now).await {
            Err(JobError::Exists { .. }) => {
                tracing::warn!(
                    job = name,
                    "[jobs.{name}] of config.toml has no effect: a job of this name was added at run time; remove that with \
                     `verger job rm {name}` and start again, or choose another name"
                );
                Ok(())
            }
            made => made.map(drop),
        }
    });
    stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let mut book = BTreeMap::new();
    let mut after = None;
    loop {
        let rows = store.jobs(after.as_deref(), PAGE).await?;
        let Some(last) = rows.last() else { return Ok(book) };
        after = Some(last.name.clone());
        book.extend(rows.iter().filter_map(|row| Some((row.name.clone(), Entry::new(row, config)?))));
        // So many take a moment, and others have work as well.
        tokio::task::yield_now().await;
    }
}

/// What its slots follow from: where that changes, those of before are none of it, and are not counted.
pub(super) fn schedule_of(definition: &JobDefinition) -> String {
    let zone = definition.timezone.as_deref().unwrap_or("local");
    let until = definition.until.as_deref().unwrap_or("for ever");
    let most = definition.max_runs.map_or_else(String::new, |most| format!(", {most} times"));
    format!("{} ({zone}) until {until}{most}", definition.schedule)
}
