//! `verger job`: scheduled work as people handle it.
//!
//! - `args`: what can be typed, and what it means on the wire
//! - `server`: the server that is asked
//! - `tables`: jobs, runs and slots as text
//! - `items`: what was said and done in a run as text
//! - `follow`: a run while it goes on

mod args;
mod follow;
mod items;
mod server;
mod tables;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use verger_wire::requests::*;
use verger_wire::types::{JobRun, JobRunState, Turn, TurnItemsView};

pub(crate) use self::args::JobArgs;

use self::args::{JobCommand, LogsArgs};
use self::server::{AskError, Server};
use crate::serve::Failure;

pub(crate) fn job(args: &JobArgs) -> Result<(), Failure> {
    let is_json = args.json;
    let changes = match &args.command {
        // What is wrong with the words themselves needs no server.
        JobCommand::Edit(edit) => Some(edit.changes()?),
        _ => None,
    };
    let mut server = Server::find()?;
    let zone = TimeZone::system();
    match &args.command {
        JobCommand::List => {
            let jobs = server.jobs()?;
            show(is_json, &jobs, || tables::jobs(&jobs, &zone))
        }
        JobCommand::Show(named) => {
            let JobResponse { job } = server.ask("verger/job/read", &named.params())?;
            show(is_json, &job, || tables::job(&job, &zone))
        }
        JobCommand::History(history) => {
            let runs = server.history(&history.name, history.count)?;
            show(is_json, &runs, || tables::runs(&runs, &zone))
        }
        JobCommand::Next(next) => {
            let params = JobNextParams { name: next.name.clone(), count: Some(next.count) };
            let JobNextResponse { data } = server.ask("verger/job/next", &params)?;
            show(is_json, &data, || tables::slots(&data))
        }
        JobCommand::Logs(logs) => print_logs(&mut server, logs, is_json, &zone),
        JobCommand::Tail(named) => follow::tail(&mut server, &named.name, is_json, std::io::stdout().lock()),
        JobCommand::Add(add) => {
            let params = json!({ "name": add.name, "definition": add.definition()? });
            let JobResponse { job } = server.ask("verger/job/add", &params)?;
            show(is_json, &job, || format!("added\n{}", tables::job(&job, &zone)))
        }
        JobCommand::Edit(edit) => {
            let params = JobEditParams { name: edit.name.clone(), changes: changes.unwrap_or_default() };
            let JobResponse { job } = server.ask("verger/job/edit", &params)?;
            show(is_json, &job, || format!("changed\n{}", tables::job(&job, &zone)))
        }
        JobCommand::Pause(named) => {
            let JobResponse { job } = server.ask("verger/job/pause", &named.params())?;
            let goes_on = if job.running > 0 { "; what runs goes on" } else { "" };
            show(is_json, &job, || format!("job '{}' is paused{goes_on}\n", job.name))
        }
        JobCommand::Resume(named) => {
            let JobResponse { job } = server.ask("verger/job/resume", &named.params())?;
            show(is_json, &job, || tables::resumed(&job, &zone))
        }
        JobCommand::Run(run) => {
            let params = JobRunNowParams { name: run.name.clone() };
            let JobRunResponse { run: begun } = server.ask("verger/job/run", &params)?;
            if run.wait {
                let run = follow::wait(&mut server, &begun)?;
                show(is_json, &run, || format!("{}\n", tables::whole_end(&run)))?;
                if run.state == JobRunState::Succeeded {
                    return Ok(());
                }
                let JobRun { id, job, .. } = &run;
                return Err(format!(
                    "run {id} of job '{job}' did not succeed; `verger job logs {job}` tells more"
                )
                .into());
            }
            show(is_json, &begun, || {
                let JobRun { id, job, .. } = &begun;
                format!("run {id} of job '{job}' is put down; `verger job tail {job}` follows it\n")
            })
        }
        JobCommand::Cancel(cancel) => {
            // Whichever server runs it.
            let JobRunResponse { run } =
                Server::ask_each("verger/job/cancel", &JobCancelParams { run: cancel.run })?;
            show(is_json, &run, || format!("{}\n", tables::end(&run)))
        }
        JobCommand::Rm(named) => {
            let done: Empty = server.ask("verger/job/remove", &named.params())?;
            show(is_json, &done, || format!("job '{}' is removed\n", named.name))
        }
    }
}

/// As JSON on one line, or as people read it.
fn show(is_json: bool, what: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if is_json {
        println!("{}", serde_json::to_string(what)?);
    } else {
        print!("{}", text());
    }
    Ok(())
}

/// What was said and done in a run.
fn print_logs(server: &mut Server, logs: &LogsArgs, is_json: bool, zone: &TimeZone) -> Result<(), Failure> {
    let name = &logs.name;
    let run = match logs.run {
        Some(id) => {
            let JobRunResponse { run } = server.ask("verger/job/run/read", &JobRunReadParams { run: id })?;
            if run.job != *name {
                return Err(format!("run {id} is of job '{}', not of '{name}'", run.job).into());
            }
            run
        }
        // Slots that were skipped have nothing to tell.
        None => server.newest(name, |run| run.started_at.is_some())?.ok_or_else(|| {
            format!("job '{name}' has not run yet; `verger job next {name}` says when it will, `verger job run {name}` runs it now")
        })?,
    };
    let turns = match &run.thread_id {
        Some(thread) => turns(server, thread, &run)?,
        None => Vec::new(),
    };
    show(is_json, &json!({ "run": run, "turns": turns }), || {
        let turns = turns.iter().map(items::turn).collect::<String>();
        format!("{}{turns}{}\n", tables::beginning(&run, zone), tables::whole_end(&run))
    })
}

/// The turns of a run: of a thread that several have had, no others.
fn turns(server: &mut Server, thread: &str, run: &JobRun) -> Result<Vec<Turn>, Failure> {
    let mut params = ThreadTurnsListParams {
        thread_id: thread.to_owned(),
        sort_direction: Some(SortDirection::Asc),
        items_view: Some(TurnItemsView::Full),
        ..Default::default()
    };
    let mut turns = Vec::new();
    loop {
        let page: ThreadTurnsListResponse = match server.ask("thread/turns/list", &params) {
            Ok(page) => page,
            // A tool that was called without a model leaves no turn, and a thread may have been deleted: the run tells what is left.
            Err(AskError::Refused { .. }) => return Ok(turns),
            Err(error) => return Err(error.into()),
        };
        let is_of_run = |turn: &Turn| {
            let is_after = |from: Option<i64>| turn.started_at.zip(from).is_none_or(|(at, from)| at >= from);
            let is_before = |to: Option<i64>| turn.started_at.zip(to).is_none_or(|(at, to)| at <= to);
            is_after(run.started_at) && is_before(run.ended_at)
        };
        turns.extend(page.data.into_iter().filter(is_of_run));
        params.cursor = page.next_cursor;
        if params.cursor.is_none() {
            return Ok(turns);
        }
    }
}

/// The name of an enum's variant on the wire.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(_) | Err(_) => String::from("?"),
    }
}
