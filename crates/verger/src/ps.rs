//! `verger ps`: what runs in this home.

use std::fmt::Write as _;

use serde_json::json;
use verger_reaper::{LiveRun, live_runs};
use verger_server::RunFile;
use verger_wire::requests::{PsHelper, PsResponse};

use crate::cli::PsArgs;
use crate::columns::columns;
use crate::lines::Lines;
use crate::serve::{Failure, home};

pub(crate) fn ps(args: &PsArgs) -> Result<(), Failure> {
    let home = home()?;
    let runs = live_runs(&home.state)?;
    if runs.is_empty() {
        println!("no server runs in {}; start one with `verger serve`", home.state.display());
        return Ok(());
    }
    for run in runs {
        let Some(serving) = RunFile::read(&run.dir) else {
            println!("server {} (pid {}) does not serve yet", run.id, run.pid);
            continue;
        };
        match picture(&serving) {
            Ok(picture) if args.json => println!("{}", serde_json::to_string(&picture)?),
            Ok(picture) => print!("{}", table(&picture, &serving)),
            // Each server stands for itself: one that does not answer must not hide the others.
            Err(error) => println!("server {} (pid {}) does not answer: {error}", short(&run), run.pid),
        }
    }
    Ok(())
}

fn short(run: &LiveRun) -> &str {
    run.id.get(..8).unwrap_or(&run.id)
}

fn picture(serving: &RunFile) -> Result<PsResponse, Failure> {
    let socket = serving.socket.as_ref().ok_or("its folder's path is too long for a Unix socket")?;
    let mut server = Lines::connect(socket)?;
    let info = json!({ "name": "verger", "title": "verger ps", "version": env!("CARGO_PKG_VERSION") });
    server.call("initialize", json!({ "clientInfo": info }))?;
    Ok(serde_json::from_value(server.call("verger/ps", json!({}))?)?)
}

/// Where its clients come from.
fn place(serving: &RunFile) -> String {
    let is_daemon = if serving.is_daemon { " (the home's daemon)" } else { "" };
    match serving.address {
        Some(address) => format!("on ws://{address}{is_daemon}"),
        None => "for one client".to_owned(),
    }
}

/// The picture as a person reads it.
pub(crate) fn table(ps: &PsResponse, serving: &RunFile) -> String {
    let server = &ps.server;
    let mut out = String::new();
    // Writing to a String cannot fail.
    writeln!(
        out,
        "verger {} (pid {}) {}, up {}, containment {}, {} connection(s)",
        server.version,
        server.pid,
        place(serving),
        duration(server.uptime_sec),
        serde_name(&server.level),
        ps.connections,
    )
    .ok();
    if let Some(reason) = &server.level_reason {
        writeln!(out, "  not cgroup: {reason}").ok();
    }
    if server.swept > 0 {
        writeln!(out, "  swept: {} process(es) that a dead run had left", server.swept).ok();
    }
    let threads = ps.threads.iter().map(|thread| {
        let status = serde_json::to_value(&thread.status).unwrap_or_default();
        let status = status["type"].as_str().unwrap_or("?").to_owned();
        [thread.id.clone(), status, thread.subscribers.to_string(), thread.preview.chars().take(40).collect()]
    });
    columns(&mut out, ["THREAD", "STATUS", "SUBSCRIBERS", "PREVIEW"], threads.collect());
    let helpers = ps.helpers.iter().map(|helper| {
        [
            format!("{}#{}", helper.server, helper.id),
            serde_name(&helper.state),
            helper.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            helper.processes.to_string(),
            format!("{:.1} MB", bytes_as_mb(helper.rss_bytes)),
            duration(helper.uptime_sec),
            // Without a process there is nothing to contain.
            helper.pid.map_or_else(|| "-".to_owned(), |_| serde_name(&helper.level)),
            if helper.strays > 0 { format!("leaky ({})", helper.strays) } else { String::new() },
            helper.scope.clone(),
            note(helper),
        ]
    });
    let heads = ["HELPER", "STATE", "PID", "PROCS", "RSS", "AGE", "LEVEL", "LEAKY", "THREAD", "NOTE"];
    columns(&mut out, heads, helpers.collect());
    out
}

/// Why it failed last, and when it is tried again.
fn note(helper: &PsHelper) -> String {
    let reason = helper
        .reason
        .iter()
        .map(|reason| format!("failed: {}", reason.chars().take(120).collect::<String>()));
    let retry = helper.retry_in_ms.map(|left| format!("again in {}", duration(left.div_ceil(1000))));
    retry.into_iter().chain(reason).collect::<Vec<_>>().join("; ")
}

#[expect(clippy::cast_precision_loss, reason = "megabytes with one decimal, for people")]
fn bytes_as_mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn serde_name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
