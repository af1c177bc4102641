//! Orphans: what comes to this process, a subreaper, when a shim dies before its tree.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::Signal;
use tokio::io::Interest;
use tokio::sync::oneshot;

use crate::process::{self, NOBODY, Stat};
use crate::ready::watched;
use crate::token::Token;

/// A shim that died without having said `Empty`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadShim {
    pub(crate) pid: u32,
    /// Its helper's pid, 0 if it had none yet.
    pub(crate) leader: u32,
    /// When it was started, in clock ticks after boot. Its orphans are younger.
    pub(crate) started: u64,
}

/// A keeper asks the reaper's task, the only one that knows for sure which children are shims, to kill the orphans that
/// have come so far. Asked again until nothing is found.
#[derive(Debug)]
pub(crate) struct AdoptRequest {
    pub(crate) dead: DeadShim,
    pub(crate) reply: oneshot::Sender<io::Result<Adopted>>,
}

/// What one pass found.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    /// Killed, parents before their children.
    killed: Vec<OwnedFd>,
    /// Children that are no shim and may or may not be the dead shim's. Not touched.
    unknown: Vec<(u32, OwnedFd)>,
}

/// One pass. `shims` are the living ones: pid and start time.
pub(crate) fn adopt(
    dead: DeadShim,
    shims: &HashMap<u32, u64>,
    token: &Token,
    adopt_all: bool,
) -> io::Result<Adopted> {
    let me = std::process::id();
    let mut adopted = Adopted::default();
    for pid in process::own_children()? {
        let Some(pidfd) = process::open(pid)? else { continue };
        // Looked at after the open: what was checked is what will be signalled.
        let Some(stat) = Stat::read(pid).filter(|stat| stat.parent == me) else { continue };
        let is_shim = shims.get(&pid).is_some_and(|&started| started == stat.started);
        if is_shim || stat.started < dead.started {
            continue;
        }
        let is_ours = adopt_all || pid == dead.leader || stat.session == dead.pid || token.is_carried_by(pid);
        if is_ours {
            process::signal(&pidfd, Signal::KILL)?;
            let below = process::descendants(pid, NOBODY);
            adopted.killed.push(pidfd);
            for descendant in below {
                if let Some(pidfd) = process::open(descendant)?
                    && process::descends_from(descendant, me, NOBODY)
                {
                    process::signal(&pidfd, Signal::KILL)?;
                    adopted.killed.push(pidfd);
                }
            }
        } else if !stat.zombie {
            adopted.unknown.push((pid, pidfd));
        }
    }
    Ok(adopted)
}

impl Adopted {
    /// Nothing was found: the proof.
    pub(crate) fn is_empty(&self) -> bool {
        self.killed.is_empty() && self.unknown.is_empty()
    }

    /// The children that stand in the way of a proof.
    pub(crate) fn unknown_pids(&self) -> Vec<u32> {
        self.unknown.iter().map(|(pid, _)| *pid).collect()
    }

    /// Waits until it is worth asking again: all that were killed have exited, or one of the unknown has.
    pub(crate) async fn settled(self) -> io::Result<()> {
        if self.killed.is_empty() {
            return any_exited(self.unknown).await;
        }
        // Parents first: a child of a parent that has exited is ours to reap.
        for pidfd in self.killed {
            let pidfd = watched(pidfd, Interest::READABLE)?;
            pidfd.readable().await?.retain_ready();
            process::reap(pidfd.get_ref())?;
        }
        Ok(())
    }
}

async fn any_exited(unknown: Vec<(u32, OwnedFd)>) -> io::Result<()> {
    let mut waits = tokio::task::JoinSet::new();
    for (_, pidfd) in unknown {
        let pidfd = watched(pidfd, Interest::READABLE)?;
        // Not reaped: it may be the host's own child.
        waits.spawn(async move { pidfd.readable().await.map(|mut guard| guard.retain_ready()) });
    }
    match waits.join_next().await {
        Some(Ok(exited)) => exited,
        Some(Err(e)) => Err(io::Error::other(e)),
        None => Ok(()),
    }
}
