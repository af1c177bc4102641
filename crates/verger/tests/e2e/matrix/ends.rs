//! The ends, each applied to a helper that is up as far as it goes; what must hold after each is required here.

use std::io::Write;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;
use verger_testkit::{Gone, NoResult, bad_helper};

use super::birth;
use super::cast::{Attack, Cell, End, Reach};
use super::scene::{Play, call, pid};
use super::verdict::{Failure, Note};
use crate::stage::{STUBBORN, begin_turn};

/// For the server to end in, whatever its helpers do.
const SERVER_END: Duration = Duration::from_secs(10);

/// Plays `cell` from an empty home to the zero at its end.
pub(crate) async fn play(cell: &Cell) -> Result<Note, Failure> {
    let play = Play::set(cell).await;
    match cell.end {
        End::Disconnect | End::CallerCancelled => leave(play).await,
        End::Unsubscribe | End::StartupTimeout | End::ToolTimeout | End::HelperCrash | End::Interrupt => {
            in_the_thread(&play).await?;
            settle(play).await
        }
        End::Archive | End::Delete => {
            by_request(&play).await?;
            settle(play).await
        }
        End::Removed | End::Changed | End::Replaced => {
            reload(&play).await?;
            settle(play).await
        }
        End::Term | End::SecondTerm | End::Int => stop(play).await,
        End::Kill => kill(play).await,
        End::KillAtBirth => kill_at_birth(play).await,
        End::Restart => restart(play).await,
    }
}

/// What is left to require where the server lives on.
async fn settle(play: Play) -> Result<Note, Failure> {
    play.undisturbed().await?;
    play.scene.finish()?;
    Ok(Note::new())
}

async fn leave(mut play: Play) -> Result<Note, Failure> {
    match play.cell.end {
        End::CallerCancelled => play.start_only().await,
        _ => play.bring_up().await,
    }
    let (seen, from) = (play.helpers(), play.observer.mark());
    // Cut, as by a crash: the server must notice by itself.
    play.client = play.scene.client("stranger").await;
    play.closes(from, &seen).await?;
    settle(play).await
}

async fn in_the_thread(play: &Play) -> Result<(), Failure> {
    let Play { scene, client, thread, .. } = play;
    let slow = json!({ "seconds": 60 });
    if play.cell.end == End::StartupTimeout {
        let (_, why) = client.refused("mcpServer/tool/call", call(thread, "helper", "pid", json!({}))).await;
        if play.cell.mode().reach != Reach::Unsure && !why.contains("startup_timeout_sec") {
            return Err(Failure::other(format!("the start was to time out, and: {why}")));
        }
        scene.soon_none_left("after the start had failed", &play.helpers())?;
        return play.unsubscribe(&play.helpers()).await;
    }
    play.bring_up().await;
    let seen = play.helpers();
    match play.cell.end {
        End::ToolTimeout => {
            let (_, why) = client.refused("mcpServer/tool/call", call(thread, "helper", "slow", slow)).await;
            if !why.contains("tool_timeout_sec") {
                return Err(Failure::other(format!("the call was to time out, and: {why}")));
            }
        }
        End::HelperCrash => crash_leader(play, &seen).await?,
        End::Interrupt => {
            let from = client.mark();
            let turn = begin_turn(client, thread, &format!("CALL mcp__helper slow {slow}")).await;
            client.note(from, "item/started", |params| params["item"]["type"] == "mcpToolCall").await;
            client.call("turn/interrupt", json!({ "threadId": thread, "turnId": turn })).await;
            client.note(from, "turn/completed", |params| params["turn"]["id"] == turn.as_str()).await;
        }
        _ => {}
    }
    play.unsubscribe(&seen).await
}

/// KILL to the helper's leader, if it lives, and nothing may be left soon. Where the helper works against its shim and has
/// not come so far that the server knows its leader, the story is that of an unsubscribe.
async fn crash_leader(play: &Play, seen: &Gone) -> Result<(), Failure> {
    match (leader(play).await, play.cell.mode().reach) {
        (Some(leader), _) => {
            let pidfd = pidfd_open(leader, PidfdFlags::empty());
            // Looked at once the number is pinned.
            let tagged = play.scene.home.tag().live();
            let is_ours = tagged.iter().any(|live| live.pid == leader.as_raw_nonzero().get());
            if let Ok(pidfd) = pidfd
                && is_ours
            {
                // It may have ended by itself since.
                pidfd_send_signal(&pidfd, Signal::KILL).ok();
            }
        }
        // It has ended by itself.
        (None, Reach::DiesInCall) => {}
        (None, Reach::Unsure) => return Ok(()),
        (None, _) => return Err(Failure::other("`verger/ps` names no leader to kill".to_owned())),
    }
    play.scene.soon_none_left("after the leader had been killed", seen)
}

/// As the server knows it: in a namespace of its own, a helper knows itself by another number. A helper may run a moment
/// before the server knows; each look is a round trip in which the server's tasks run.
async fn leader(play: &Play) -> Option<Pid> {
    for _ in 0..200 {
        let ps = play.observer.call("verger/ps", json!({})).await;
        let mut helpers = ps["helpers"].as_array().expect("a list").iter();
        let helper =
            helpers.find(|helper| helper["server"] == "helper" && helper["scope"] == play.thread.as_str());
        if let Some(pid) = helper.and_then(|helper| helper["pid"].as_i64()) {
            return Pid::from_raw(i32::try_from(pid).expect("a pid"));
        }
    }
    None
}

async fn by_request(play: &Play) -> Result<(), Failure> {
    play.bring_up().await;
    let seen = play.helpers();
    let method = if play.cell.end == End::Archive { "thread/archive" } else { "thread/delete" };
    play.client.call(method, json!({ "threadId": play.thread })).await;
    play.scene.none_left("when the request was answered", &seen)
}

async fn reload(play: &Play) -> Result<(), Failure> {
    let Play { scene, client, thread, cell, .. } = play;
    play.bring_up().await;
    let seen = play.helpers();
    // The same program by another name, so that another command it is.
    let command = scene.home.work().join("another-command");
    std::os::unix::fs::symlink(bad_helper::path(), &command).expect("the folder is writable");
    let replacement = match cell.end {
        End::Changed => Some(scene.polite(&command)),
        End::Replaced => Some(scene.polite(&command).arg("--log").arg("/dev/null")),
        _ => None,
    };
    scene.configure(replacement.as_ref());
    if cell.end != End::Replaced {
        client.call("config/mcpServer/reload", json!({})).await;
        scene.none_left("when the reload was answered", &seen)?;
        if cell.end == End::Changed {
            pid(client, thread, "helper").await;
        }
        return Ok(());
    }
    let from = client.mark();
    let reload = client.begin("config/mcpServer/reload", json!({})).await.expect("it serves");
    let early = client.begin("mcpServer/tool/call", call(thread, "helper", "pid", json!({}))).await;
    let early = early.expect("it serves");
    client.answer(from, reload, "reload").await.map_err(|no| Failure::other(format!("reload: {no}")))?;
    scene.none_left("when the reload was answered", &seen)?;
    // It came to the old or to the new one; what counts is that it ended, and who answers next.
    client.answer(from, early, "call").await.ok();
    pid(client, thread, "helper").await;
    scene.none_left("when the new helper answered", &seen)
}

async fn stop(mut play: Play) -> Result<Note, Failure> {
    play.bring_up().await;
    let seen = play.helpers();
    let signal = if play.cell.end == End::Int { Signal::INT } else { Signal::TERM };
    play.scene.daemon.signal(signal);
    if play.cell.end == End::SecondTerm {
        until_it_drains(&play).await;
        play.scene.daemon.signal(signal);
    }
    let status = play.scene.daemon.wait(SERVER_END);
    play.scene.none_left("when the server had exited", &seen)?;
    if !status.success() {
        return Err(Failure::other(format!(
            "{signal:?}: {status}; it said:\n{}",
            play.scene.daemon.stderr()
        )));
    }
    play.scene.end()?;
    Ok(Note::new())
}

/// Returns when the server has taken notice of the first signal, or is gone.
async fn until_it_drains(play: &Play) {
    loop {
        // Changes nothing: the thread is not archived.
        let asked = play.observer.ask("thread/unarchive", json!({ "threadId": play.thread })).await;
        match asked {
            Err(NoResult::Refused { data, .. }) if data["reason"] == "serverShuttingDown" => return,
            Err(NoResult::Closed) => return,
            _ => {}
        }
    }
}

/// SIGKILL. Where the helper works against its shim, it is up first, and does so while the server is frozen: so nobody but
/// the next server is left to see to what has lost its shim.
async fn kill(mut play: Play) -> Result<Note, Failure> {
    if play.cell.mode().attack != Attack::None {
        return kill_with_shim(play).await;
    }
    play.bring_up().await;
    let seen = play.helpers();
    play.scene.daemon.signal(Signal::KILL);
    play.scene.daemon.wait(STUBBORN);
    play.scene.soon_none_left("after the server had been killed", &seen)?;
    play.scene.end()?;
    Ok(Note::new())
}

async fn kill_with_shim(mut play: Play) -> Result<Note, Failure> {
    let Play { scene, client, thread, cell, .. } = &mut play;
    let (pipe, mut word) = scene.home.pipe("attack").expect("the home is writable");
    let pipe = pipe.to_str().expect("temporary folders are UTF-8");
    scene.configure(Some(&scene.entry(cell).arg("--attack-on").arg(pipe)));
    client.call("config/mcpServer/reload", json!({})).await;
    pid(client, thread, "helper").await;
    scene.daemon.signal(Signal::STOP);
    word.write_all(b"!").expect("a pipe has room");
    scene.home.wait_for_helper_event("attacked", 1);
    let seen = play.helpers();
    play.scene.daemon.signal(Signal::KILL);
    play.scene.daemon.wait(STUBBORN);
    let note = match seen.alive().len() {
        0 => "nothing lived when the server was dead",
        _ => "something of it lived on without the server",
    };
    next_run(&mut play, &seen).await?;
    play.scene.finish()?;
    Ok(note.to_owned())
}

/// Starts the next server; before its first reply nothing of the last one's is left.
async fn next_run(play: &mut Play, seen: &Gone) -> Result<(), Failure> {
    play.scene.start_again();
    let client = play.scene.client("after").await;
    play.scene.none_left("at the first reply of the next server", seen)?;
    play.client = client;
    Ok(())
}

async fn kill_at_birth(mut play: Play) -> Result<Note, Failure> {
    let call = call(&play.thread, "helper", "pid", json!({}));
    let moment = birth::kill_at_birth(&play.scene.daemon, &play.scene.home, async {
        play.client.begin("mcpServer/tool/call", call).await.expect("the server serves");
    })
    .await;
    play.scene.daemon.wait(STUBBORN);
    let seen = play.helpers();
    if moment.unborn.wait(STUBBORN).is_err() && play.cell.mode().attack == Attack::None {
        let alive = moment.unborn.alive();
        return Err(Failure::survivors(alive.len(), format!("{}: {alive:?} live", moment.name)));
    }
    if play.cell.mode().attack == Attack::None {
        play.scene.soon_none_left("after the server had been killed", &seen)?;
    }
    next_run(&mut play, &seen).await?;
    play.scene.finish()?;
    Ok(moment.name.to_owned())
}

async fn restart(mut play: Play) -> Result<Note, Failure> {
    play.bring_up().await;
    let seen = play.helpers();
    play.scene.daemon.signal(Signal::KILL);
    play.scene.daemon.wait(STUBBORN);
    next_run(&mut play, &seen).await?;
    let Play { client, thread, .. } = &play;
    client.call("thread/resume", json!({ "threadId": thread })).await;
    if play.cell.mode().reach == Reach::Answers {
        play.bring_up().await;
    }
    let (again, from) = (play.helpers(), play.client.mark());
    play.client.call("thread/unsubscribe", json!({ "threadId": play.thread })).await;
    crate::stage::closed(&play.client, from, &play.thread).await;
    play.scene.none_left("when the thread was said to be closed", &again)?;
    play.scene.finish()?;
    Ok(Note::new())
}
