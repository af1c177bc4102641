//! The server that is asked about jobs.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use verger_reaper::live_runs;
use verger_server::RunFile;
use verger_wire::requests::{JobHistoryParams, JobHistoryResponse, JobListParams, JobListResponse};
use verger_wire::types::{Job, JobRun};

use crate::lines::{Lines, LinesError};
use crate::serve::{Failure, home};

/// A page of a list.
const PAGE: u32 = 100;

/// One that serves this home.
pub(super) struct Server {
    pid: u32,
    lines: Lines,
}

/// Why it did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("server (pid {pid}): {reason}")]
    Refused {
        pid: u32,
        /// In its own words, but for methods.
        reason: String,
    },
    #[error("server (pid {pid}) does not answer: {cause}; `verger ps` shows whether it still runs")]
    Lost { pid: u32, cause: LinesError },
    #[error(
        "server (pid {pid}) answers what this program does not understand: {cause}; are they of one version?"
    )]
    Strange { pid: u32, cause: serde_json::Error },
}

// === impl Server ===

impl Server {
    /// The home's daemon, or else any other: they have one store, and so the same jobs.
    ///
    /// # Errors
    /// None runs, or it cannot be reached.
    pub(super) fn find() -> Result<Self, Failure> {
        let mut all = Self::places()?;
        let (pid, socket) = all.swap_remove(0);
        Ok(Self::connect(pid, &socket)?)
    }

    /// Asks one after the other until one does it.
    ///
    /// # Errors
    /// None runs, or what the first has said.
    pub(super) fn ask_each<R: DeserializeOwned>(method: &str, params: &impl Serialize) -> Result<R, Failure> {
        let mut first = None;
        for (pid, socket) in Self::places()? {
            match Self::connect(pid, &socket).and_then(|mut server| server.ask(method, params)) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.map_or_else(|| "no server runs".into(), Failure::from))
    }

    /// Of all that serve this home, at least one: pids and sockets, the daemon's first.
    fn places() -> Result<Vec<(u32, PathBuf)>, Failure> {
        let home = home()?;
        let place = home.state.display();
        let runs = live_runs(&home.state)?;
        let mut serving = runs.iter().filter_map(|run| RunFile::read(&run.dir)).collect::<Vec<_>>();
        serving.sort_by_key(|file| !file.is_daemon);
        let Some(pid) = serving.first().map(|file| file.pid) else {
            return Err(format!(
                "no server runs in {place}, and jobs are its; start one with `verger serve`"
            )
            .into());
        };
        let places: Vec<_> = serving.into_iter().filter_map(|file| Some((file.pid, file.socket?))).collect();
        if places.is_empty() {
            return Err(format!(
                "server (pid {pid}) has no Unix socket: the path of {place} is too long for one; set VERGER_HOME to a shorter one"
            )
            .into());
        }
        Ok(places)
    }

    /// That of process `pid`, which listens there.
    pub(super) fn connect(pid: u32, socket: &Path) -> Result<Self, AskError> {
        let lines = Lines::connect(socket).map_err(|cause| AskError::Lost { pid, cause: cause.into() })?;
        let mut server = Self { pid, lines };
        let info = json!({ "name": "verger", "title": "verger job", "version": env!("CARGO_PKG_VERSION") });
        let _: Value = server.ask("initialize", &json!({ "clientInfo": info }))?;
        Ok(server)
    }

    /// Asks, and passes over what it says besides.
    pub(super) fn ask<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<R, AskError> {
        let pid = self.pid;
        let strange = |cause| AskError::Strange { pid, cause };
        let params = serde_json::to_value(params).map_err(strange)?;
        let answer = self.lines.call(method, params).map_err(|error| match error {
            LinesError::Refused(reason) => AskError::Refused { pid, reason: as_typed(&reason) },
            cause => AskError::Lost { pid, cause },
        })?;
        serde_json::from_value(answer).map_err(strange)
    }

    /// What it says next.
    pub(super) fn next(&mut self) -> Result<Value, AskError> {
        self.lines.next().map_err(|cause| AskError::Lost { pid: self.pid, cause })
    }

    /// All jobs.
    pub(super) fn jobs(&mut self) -> Result<Vec<Job>, AskError> {
        let mut params = JobListParams { cursor: None, limit: Some(PAGE) };
        let mut jobs = Vec::new();
        loop {
            let page: JobListResponse = self.ask("verger/job/list", &params)?;
            jobs.extend(page.data);
            params.cursor = page.next_cursor;
            if params.cursor.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// The newest of a job's runs of which `is_meant` is true.
    pub(super) fn newest(
        &mut self,
        name: &str,
        mut is_meant: impl FnMut(&JobRun) -> bool,
    ) -> Result<Option<JobRun>, AskError> {
        let mut params = JobHistoryParams { name: name.to_owned(), cursor: None, limit: Some(PAGE) };
        loop {
            let page: JobHistoryResponse = self.ask("verger/job/history", &params)?;
            let found = page.data.into_iter().find(|run| is_meant(run));
            if found.is_some() || page.next_cursor.is_none() {
                return Ok(found);
            }
            params.cursor = page.next_cursor;
        }
    }

    /// A job's last runs, `count` at most, the newest first.
    pub(super) fn history(&mut self, name: &str, count: u32) -> Result<Vec<JobRun>, AskError> {
        let mut params = JobHistoryParams { name: name.to_owned(), cursor: None, limit: None };
        let mut runs = Vec::new();
        let mut left = count;
        loop {
            params.limit = Some(left.min(PAGE));
            let page: JobHistoryResponse = self.ask("verger/job/history", &params)?;
            left = left.saturating_sub(u32::try_from(page.data.len()).unwrap_or(u32::MAX));
            runs.extend(page.data);
            params.cursor = page.next_cursor;
            if left == 0 || params.cursor.is_none() {
                return Ok(runs);
            }
        }
    }
}

/// What a server says names methods; who types has commands.
fn as_typed(reason: &str) -> String {
    const METHODS: &str = "verger/job/";
    let mut words = reason.split(METHODS);
    let mut typed = words.next().unwrap_or_default().to_owned();
    for rest in words {
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (command, rest) = rest.split_at(end);
        typed += &format!("`verger job {command}`{rest}");
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::as_typed;

    #[test]
    fn a_method_in_a_refusal_is_told_as_a_command() {
        assert_eq!(
            as_typed("job not found: x; verger/job/list has those there are"),
            "job not found: x; `verger job list` has those there are"
        );
        assert_eq!(as_typed("cancel that with verger/job/cancel"), "cancel that with `verger job cancel`");
        assert_eq!(as_typed("verger is not asked"), "verger is not asked");
    }
}
