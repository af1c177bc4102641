//! A run while it goes on: followed to its end, with or without what is said in it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Value, json};
use verger_wire::Notification;
use verger_wire::requests::{JobRunReadParams, JobRunResponse, ThreadResumeParams, ThreadResumeResponse};
use verger_wire::types::{JobRun, JobRunState, ThreadItem, TurnStatus};

use super::server::{AskError, Server};
use super::{items, tables};
use crate::serve::Failure;

/// Waits for the end of a run.
///
/// # Errors
/// The server is lost.
pub(super) fn wait(server: &mut Server, begun: &JobRun) -> Result<JobRun, Failure> {
    let mut run = read(server, begun.id)?;
    while !run.state.is_end() {
        let message = server.next()?;
        if let Some(Notification::JobRunUpdated(told)) = notification(&message)
            && told.run.id == run.id
        {
            run = *told.run;
        }
    }
    Ok(run)
}

/// Prints what is said and done in the run that goes on, until it ends.
///
/// # Errors
/// None goes on.
pub(super) fn tail(server: &mut Server, name: &str, is_json: bool, out: impl Write) -> Result<(), Failure> {
    let mut waiting = None;
    let running = server.newest(name, |run| {
        if run.state == JobRunState::Scheduled {
            waiting.get_or_insert_with(|| run.clone());
        }
        run.state == JobRunState::Running
    })?;
    let run = running.or(waiting).ok_or_else(|| {
        format!("no run of job '{name}' goes on; `verger job logs {name}` shows the last one, `verger job run {name}` begins one")
    })?;
    // What was told before this answer is in it.
    let mut run = read(server, run.id)?;
    let mut printed = Printed { out, is_json, streamed: BTreeSet::new(), is_mid_line: false };
    let mut thread = None;
    while !run.state.is_end() {
        if thread.is_none() && run.state == JobRunState::Running && run.thread_id.is_some() {
            thread.clone_from(&run.thread_id);
            if let Some(id) = &thread {
                printed.catch_up(server, id)?;
            }
            // The answer's way was long enough for the run's end, which `ask` then passed over.
            run = read(server, run.id)?;
            continue;
        }
        let message = server.next()?;
        match notification(&message) {
            Some(Notification::JobRunUpdated(told)) if told.run.id == run.id => run = *told.run,
            Some(told) => printed.notification(&told, thread.as_deref(), &message)?,
            None => {}
        }
    }
    printed.end(&run)
}

fn read(server: &mut Server, run: u64) -> Result<JobRun, AskError> {
    server.ask("verger/job/run/read", &JobRunReadParams { run }).map(|JobRunResponse { run }| run)
}

/// Anything that this program does not know is nothing to it.
fn notification(message: &Value) -> Option<Notification> {
    serde_json::from_value(message.clone()).ok()
}

/// What is on the screen.
struct Printed<W: Write> {
    out: W,
    is_json: bool,
    /// Messages of which a part is printed already.
    streamed: BTreeSet<String>,
    is_mid_line: bool,
}

// === impl Printed ===

impl<W: Write> Printed<W> {
    /// Follows the thread from now on, and prints what its turn has come to.
    fn catch_up(&mut self, server: &mut Server, thread: &str) -> Result<(), Failure> {
        let params = ThreadResumeParams { thread_id: thread.to_owned(), observe: true, ..Default::default() };
        let resumed: ThreadResumeResponse = match server.ask("thread/resume", &params) {
            Ok(resumed) => resumed,
            // A tool that is called without a model has no turn, so there is nothing to follow but the run itself.
            Err(AskError::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for turn in resumed.started.thread.turns.iter().filter(|turn| turn.status == TurnStatus::InProgress) {
            for item in &turn.items {
                self.past(item)?;
            }
        }
        Ok(())
    }

    /// An item as far as it has come.
    fn past(&mut self, item: &ThreadItem) -> Result<(), Failure> {
        if self.is_json {
            return Ok(writeln!(self.out, "{}", json!({ "item": item }))?);
        }
        match item {
            // More of it may come.
            ThreadItem::AgentMessage(said) => self.delta(&said.id, &said.text),
            item => self.block(&items::item(item)),
        }
    }

    /// What the server tells, `message` on the wire, if it is of this thread.
    fn notification(
        &mut self,
        told: &Notification,
        thread: Option<&str>,
        message: &Value,
    ) -> Result<(), Failure> {
        if thread.is_none() || message["params"]["threadId"].as_str() != thread {
            return Ok(());
        }
        if self.is_json {
            return Ok(writeln!(self.out, "{message}")?);
        }
        match told {
            Notification::AgentMessageDelta(delta) => self.delta(&delta.item_id, &delta.delta),
            Notification::ItemStarted(started) => match &started.item {
                ThreadItem::McpToolCall(call) => self.block(&items::call_begins(call)),
                _ => Ok(()),
            },
            Notification::ItemCompleted(completed) => match &completed.item {
                ThreadItem::AgentMessage(said) if self.streamed.remove(&said.id) => self.block(""),
                ThreadItem::McpToolCall(call) => self.block(&items::call_ends(call)),
                item => self.block(&items::item(item)),
            },
            Notification::Error(error) => {
                let again = if error.will_retry { " (it is tried again)" } else { "" };
                self.block(&format!("! {}{again}\n", error.error.message))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, run: &JobRun) -> Result<(), Failure> {
        if self.is_json {
            return Ok(writeln!(self.out, "{}", json!({ "run": run }))?);
        }
        self.block(&format!("{}\n", tables::whole_end(run)))
    }

    /// A part of a message, which may go on.
    fn delta(&mut self, item: &str, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        if self.streamed.insert(item.to_owned()) && self.is_mid_line {
            writeln!(self.out)?;
        }
        write!(self.out, "{text}")?;
        self.is_mid_line = !text.ends_with('\n');
        Ok(self.out.flush()?)
    }

    /// Whole lines.
    fn block(&mut self, lines: &str) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_mid_line) {
            writeln!(self.out)?;
        }
        write!(self.out, "{lines}")?;
        Ok(self.out.flush()?)
    }
}
