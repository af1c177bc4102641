//! SIGKILL between spawn and registration: the server is frozen as soon as it has a new shim, looked at, and killed.
//!
//! A helper's process waits, before its execution, for a word that the server sends after it has registered it. If it
//! still waits while the server is frozen, that word was never sent; whether the server was just about to send it cannot
//! be seen from outside, and makes no difference to what is left.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use verger_testkit::clock::monotonic;
use verger_testkit::{Daemon, Gone, Home};

/// For a shim to appear, and for what appeared to come to rest: far more than either takes.
const LIMIT: Duration = Duration::from_secs(10);

/// How far the start had come when the server was killed.
pub(crate) struct Moment {
    /// For people.
    pub(crate) name: &'static str,
    /// Between the start of the shim and the word that lets its helper go.
    pub(crate) in_time: bool,
    /// The shim and all below it.
    pub(crate) unborn: Gone,
}

/// Lets `ask` make the server start a helper, and kills the server as soon as there is a shim.
///
/// No event tells that a process got a child: so this looks, without rest, for the millisecond that it takes. What counts
/// is not when the server froze but what is found then.
pub(crate) async fn kill_at_birth(daemon: &Daemon, home: &Home, ask: impl Future<Output = ()>) -> Moment {
    let known = daemon.children();
    ask.await;
    let deadline = monotonic() + LIMIT;
    let mut looks = 0_u64;
    let shim = loop {
        if let Some(shim) = daemon.children().into_iter().find(|child| !known.contains(child)) {
            break shim;
        }
        looks += 1;
        if looks.is_multiple_of(500) && !home.helper_events("start").is_empty() {
            daemon.signal(Signal::KILL);
            let name = "too late: the helper had come and gone";
            return Moment { name, in_time: false, unborn: Gone::watch([]) };
        }
        assert!(monotonic() < deadline, "the server started no shim in {LIMIT:?}");
    };
    daemon.signal(Signal::STOP);
    let moment = rest(daemon.pid(), shim, deadline);
    daemon.signal(Signal::KILL);
    moment
}

/// Waits until the frozen server, the shim and its child all rest, and says where.
fn rest(server: i32, shim: i32, deadline: Duration) -> Moment {
    loop {
        let children = Vec::from_iter(child_of(shim));
        let all = [&[server, shim], &children[..]].concat();
        // A look that finds all asleep twice, with the same child, was not between two steps.
        if all.iter().all(|&pid| is_at_rest(pid)) && Vec::from_iter(child_of(shim)) == children {
            let (name, in_time) = match children.first() {
                None => ("killed before the shim had forked its helper", true),
                Some(&child) if is_unexecuted(child) => ("killed before the helper was let go", true),
                Some(_) => ("too late: the helper had been let go", false),
            };
            return Moment { name, in_time, unborn: Gone::watch(all[1..].iter().copied()) };
        }
        assert!(monotonic() < deadline, "{all:?} do not come to rest");
    }
}

/// The shim's one child. Shims have one thread.
fn child_of(shim: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap_or_default();
    children.split_whitespace().next()?.parse().ok()
}

/// Asleep or stopped, or gone.
fn is_at_rest(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('R' | 'D'))
}

/// Still the shim's own image.
fn is_unexecuted(child: i32) -> bool {
    let command = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
    command.starts_with(b"verger-shim")
}
