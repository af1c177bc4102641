//! Children that came to this process and are none of its shims': collected when they have exited.
//!
//! Init of a container gets them from everyone who is started beside it, a shell that looks in for example. Other
//! subreapers get them from shims that died, and those are killed and collected elsewhere. Whoever lives is left alone.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::process::{self, Stat};

/// How long after a child's exit strangers are looked for. Keepers have collected their shims by then: the end of a
/// thousand helpers is one look, and that of one helper usually none.
const REST: Duration = Duration::from_millis(100);

/// The watch for strangers that exit.
pub(crate) struct Strangers {
    /// `None` where every other child is the host's own to collect.
    exits: Option<Signal>,
    /// When to look.
    look_at: Option<Instant>,
}

impl Strangers {
    /// With `all`, this process has no children of its own beside shims. Watches nothing otherwise.
    pub(crate) fn watch(all: bool) -> Self {
        let exits = all.then(|| signal(SignalKind::child())).transpose().unwrap_or_else(|e| {
            tracing::error!(
                "cannot hear of SIGCHLD, so that exited processes of others stay as zombies: {e}"
            );
            None
        });
        // Some may have exited before anyone listened.
        let look_at = exits.is_some().then(Instant::now);
        Self { exits, look_at }
    }

    /// Resolves when it is time to [`reap`](Self::reap). Cancel-safe.
    pub(crate) async fn may_have_exited(&mut self) {
        let Some(exits) = &mut self.exits else { return std::future::pending().await };
        if self.look_at.is_none() {
            // `None` would mean that the runtime is going down, and this task with it.
            exits.recv().await;
            self.look_at = Some(Instant::now() + REST);
        }
        if let Some(at) = self.look_at {
            sleep_until(at).await;
        }
    }

    /// Collects every child that has exited and is not in `shims`: pid and start time.
    pub(crate) fn reap(&mut self, shims: &HashMap<u32, u64>) {
        self.look_at = None;
        match reap(shims) {
            Ok(0) => {}
            Ok(reaped) => tracing::debug!(reaped, "collected exited processes that are none of ours"),
            Err(e) => tracing::warn!("cannot look for exited processes among the children: {e}"),
        }
    }
}

/// One by one and never whoever comes first, which could be a shim whose status its keeper waits for.
fn reap(shims: &HashMap<u32, u64>) -> io::Result<usize> {
    let mut reaped = 0;
    if !any_has_exited()? {
        return Ok(reaped);
    }
    let me = std::process::id();
    for pid in process::own_children()? {
        let Some(pidfd) = process::open(pid)? else { continue };
        let Some(stat) = Stat::read(pid).filter(|stat| stat.parent == me && stat.zombie) else { continue };
        if shims.get(&pid) != Some(&stat.started) {
            process::reap(&pidfd)?;
            reaped += 1;
        }
    }
    Ok(reaped)
}

/// Asks without collecting anyone.
fn any_has_exited() -> io::Result<bool> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::io::retry_on_intr(|| waitid(WaitId::All, look)) {
        Ok(exited) => Ok(exited.is_some()),
        Err(Errno::CHILD) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
