//! `verger helper`: helpers as people handle them.

use serde_json::json;
use verger_reaper::live_runs;
use verger_server::RunFile;
use verger_wire::requests::{HelperRestartParams, HelperRestartResponse};

use crate::cli::{HelperCommand, RestartArgs};
use crate::lines::Lines;
use crate::serve::{Failure, home};

pub(crate) fn helper(command: &HelperCommand) -> Result<(), Failure> {
    match command {
        HelperCommand::Restart(args) => restart(args),
    }
}

/// Asks every server of this home. It is well when one of them could do it: a thread is loaded in one server only.
fn restart(args: &RestartArgs) -> Result<(), Failure> {
    let home = home()?;
    let runs = live_runs(&home.state)?;
    let serving = runs.iter().filter_map(|run| Some((run.pid, RunFile::read(&run.dir)?)));
    let asked = serving.map(|(pid, serving)| (pid, ask(&serving, args))).collect::<Vec<_>>();
    if asked.is_empty() {
        let place = home.state.display();
        return Err(
            format!("no server runs in {place}, so no helper either; start one with `verger serve`").into()
        );
    }
    let is_done = asked.iter().any(|(_, answer)| answer.is_ok());
    for (pid, answer) in asked {
        match answer {
            Ok(answer) => println!("{}", told(pid, args, &answer)),
            Err(error) if is_done => eprintln!("server (pid {pid}): {error}"),
            Err(error) => {
                return Err(
                    format!("server (pid {pid}): {error}; `verger ps` shows helpers and threads").into()
                );
            }
        }
    }
    Ok(())
}

fn ask(serving: &RunFile, args: &RestartArgs) -> Result<HelperRestartResponse, Failure> {
    let socket = serving.socket.as_ref().ok_or("its folder's path is too long for a Unix socket")?;
    let mut server = Lines::connect(socket)?;
    let info = json!({ "name": "verger", "title": "verger helper", "version": env!("CARGO_PKG_VERSION") });
    server.call("initialize", json!({ "clientInfo": info }))?;
    let params = HelperRestartParams { server: args.server.clone(), thread_id: args.thread.clone() };
    Ok(serde_json::from_value(server.call("verger/helper/restart", serde_json::to_value(params)?)?)?)
}

fn told(pid: u32, args: &RestartArgs, answer: &HelperRestartResponse) -> String {
    let HelperRestartResponse { ended, forgiven } = answer;
    let server = &args.server;
    match (ended, forgiven) {
        (0, 0) => format!("server (pid {pid}): no helper of '{server}' ran, and none had failed"),
        _ => format!(
            "server (pid {pid}): {ended} helper(s) of '{server}' ended and proven gone; failures forgotten in \
             {forgiven} place(s)"
        ),
    }
}
