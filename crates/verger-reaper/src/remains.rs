//! What is left to be proven gone when a shim has ended, and how that is proven.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::adopt::{AdoptRequest, DeadShim};
use crate::cgroup::Leaf;
use crate::pidns::Init;
use crate::shim::Shim;

/// A helper's shim, its cgroup or its namespace's init, and whatever came to this process.
pub(crate) struct Remains {
    pub(crate) shim: Shim,
    pub(crate) leaf: Option<Leaf>,
    /// Known before its helper runs.
    pub(crate) init: Option<Init>,
    /// The leader's pid; 0 if it was never known.
    pub(crate) leader: u32,
    /// To the reaper's task, which closes it by ending, after all keepers.
    pub(crate) adoptions: mpsc::Sender<AdoptRequest>,
    waits_for: Mutex<String>,
}

impl Remains {
    pub(crate) fn new(shim: Shim, leaf: Option<Leaf>, adoptions: mpsc::Sender<AdoptRequest>) -> Self {
        let waits_for = Mutex::new(format!("its supervisor (pid {}) has not reported it empty", shim.pid));
        Self { shim, leaf, init: None, leader: 0, adoptions, waits_for }
    }

    /// Resolves when nothing is left. `empty` says that the shim has said so. Cancel-safe: may be started over.
    pub(crate) async fn proven(&self, empty: bool) -> io::Result<()> {
        self.shim.exited().await?;
        if let Some(init) = &self.init {
            self.now_waits_for(format!("the init of its PID namespace (pid {}) has not exited", init.pid));
            init.kill()?;
            // Nobody else's orphans can be its, so that there is nothing to look for.
            return init.exited().await;
        }
        if let Some(leaf) = &self.leaf {
            self.now_waits_for("its cgroup is still populated".to_owned());
            leaf.end().await?;
        }
        if empty {
            return Ok(());
        }
        loop {
            let (reply, adopted) = oneshot::channel();
            let dead = DeadShim { pid: self.shim.pid, leader: self.leader, started: self.shim.started };
            self.adoptions.send(AdoptRequest { dead, reply }).await.map_err(io::Error::other)?;
            let adopted = adopted.await.map_err(io::Error::other)??;
            if adopted.is_empty() {
                return Ok(());
            }
            self.now_waits_for(match adopted.unknown_pids() {
                unknown if unknown.is_empty() => "killed processes have not exited".to_owned(),
                unknown => {
                    format!("its supervisor was killed, and processes {unknown:?} may be what it left")
                }
            });
            adopted.settled().await?;
        }
    }

    /// What stands in the way of a proof, for people.
    pub(crate) fn waits_for(&self) -> String {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn now_waits_for(&self, what: String) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
}
