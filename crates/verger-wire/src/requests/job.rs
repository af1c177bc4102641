//! Verger's own: jobs as people handle them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use super::PageParams;
use crate::error::RpcError;
use crate::types::{Job, JobDefinition, JobRun, JobSlot};

/// `verger/job/list`.
pub type JobListParams = PageParams;

/// Answer to `verger/job/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct JobListResponse {
    /// This page, by name.
    pub data: Vec<Job>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// What names a job and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobNameParams {
    /// The job.
    pub name: String,
}

/// `verger/job/read`.
pub type JobReadParams = JobNameParams;
/// `verger/job/pause`.
pub type JobPauseParams = JobNameParams;
/// `verger/job/resume`.
pub type JobResumeParams = JobNameParams;
/// `verger/job/remove`.
pub type JobRemoveParams = JobNameParams;
/// `verger/job/run`.
pub type JobRunNowParams = JobNameParams;

/// A job as it stands now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobResponse {
    /// The job.
    pub job: Job,
}

/// Answer to `verger/job/read`.
pub type JobReadResponse = JobResponse;
/// Answer to `verger/job/add`.
pub type JobAddResponse = JobResponse;
/// Answer to `verger/job/edit`.
pub type JobEditResponse = JobResponse;
/// Answer to `verger/job/pause`.
pub type JobPauseResponse = JobResponse;
/// Answer to `verger/job/resume`.
pub type JobResumeResponse = JobResponse;

/// `verger/job/add`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobAddParams {
    /// Its name: 1 to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// What it shall be.
    pub definition: JobDefinition,
}

/// `verger/job/edit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobEditParams {
    /// The job.
    pub name: String,
    /// Members of a `JobDefinition` that replace those it has, as a whole each; `null` takes one away.
    pub changes: Map<String, Value>,
}

/// `verger/job/next`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[ts(optional_fields = nullable)]
pub struct JobNextParams {
    /// The job.
    pub name: String,
    /// How many; ten when absent.
    #[serde(default)]
    pub count: Option<u32>,
}

/// Answer to `verger/job/next`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobNextResponse {
    /// In their order; fewer than were asked for where there are no more.
    pub data: Vec<JobSlot>,
}

/// `verger/job/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[ts(optional_fields = nullable)]
pub struct JobHistoryParams {
    /// The job.
    pub name: String,
    /// Where to go on.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Answer to `verger/job/history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub struct JobHistoryResponse {
    /// This page, the newest first.
    pub data: Vec<JobRun>,
    /// The next page; `null` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// What names a job's run and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobRunIdParams {
    /// The run's number.
    pub run: u64,
}

/// `verger/job/cancel`.
pub type JobCancelParams = JobRunIdParams;
/// `verger/job/run/read`.
pub type JobRunReadParams = JobRunIdParams;

/// A job's run as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct JobRunResponse {
    /// The run.
    pub run: JobRun,
}

/// Answer to `verger/job/run`.
pub type JobRunNowResponse = JobRunResponse;
/// Answer to `verger/job/cancel`.
pub type JobCancelResponse = JobRunResponse;
/// Answer to `verger/job/run/read`.
pub type JobRunReadResponse = JobRunResponse;

// === impl JobEditParams ===

impl JobEditParams {
    /// What `definition` is with the changes.
    ///
    /// # Errors
    ///
    /// [`RpcError::invalid_job`] for a member that no definition has, or of another type.
    pub fn apply(&self, definition: &JobDefinition) -> Result<JobDefinition, RpcError> {
        let mut members = match serde_json::to_value(definition) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => return Err(RpcError::internal("a job's definition could not be written down")),
        };
        for (name, value) in &self.changes {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        let changed: JobDefinition =
            serde_path_to_error::deserialize(Value::Object(members)).map_err(|cause| {
                let path = cause.path().to_string();
                let path = if path == "." { String::from("schedule") } else { path };
                RpcError::invalid_job(&path, cause.into_inner())
            })?;
        self.unknown()?;
        Ok(changed)
    }

    /// An unknown member elsewhere is from a newer client and harmless; here it is a change that would not come about.
    fn unknown(&self) -> Result<(), RpcError> {
        let schema = crate::schema::Shape::of::<JobDefinition>("JobDefinition").json();
        let unknown = self.changes.keys().find(|name| schema["properties"].get(name.as_str()).is_none());
        unknown.map_or(Ok(()), |name| Err(RpcError::invalid_job(name, "no job has such a field")))
    }
}
