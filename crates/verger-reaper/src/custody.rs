//! The caller's side of a running helper: its pipes, and the right to end it.

use std::sync::Arc;

use tokio::net::unix::pipe;
use tokio::sync::watch;
use verger_shim::protocol::{Exit, Stop};

use crate::{HelperState, Level, Unproven};

/// A running helper.
#[derive(Debug)]
pub struct Helper {
    /// To be closed before an orderly stop.
    pub stdin: pipe::Sender,
    /// What it says.
    pub stdout: pipe::Receiver,
    /// What it complains about. Read it: a full pipe blocks the helper.
    pub stderr: pipe::Receiver,
    /// The right to end it.
    pub custody: Custody,
}

/// The right to end a helper. When the last clone is dropped without a [`stop`](Self::stop), its tree is killed.
#[derive(Clone, Debug)]
pub struct Custody {
    right: Arc<Right>,
    facts: watch::Receiver<Facts>,
}

#[derive(Debug)]
struct Right {
    id: u64,
    name: String,
    pid: u32,
    level: Level,
    /// What was asked for so far. Closing it without having asked means kill.
    stop: watch::Sender<Option<Stop>>,
}

/// The proof that nothing of a helper is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// What kind of proof it is.
    pub level: Level,
    /// How the leader ended, unless the shim was killed before it could say.
    pub exit: Option<Exit>,
    /// How many processes were found alive after the leader had exited.
    pub strays: u32,
}

/// What is known of a helper. Its keeper writes, custodies and `ps` read.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) state: HelperState,
    pub(crate) pid: Option<u32>,
    /// Of its namespace.
    pub(crate) init_pid: Option<u32>,
    pub(crate) level: Level,
    pub(crate) leader_exited: bool,
    pub(crate) strays: u32,
    pub(crate) outcome: Option<Result<Gone, Unproven>>,
}

impl Custody {
    pub(crate) fn new(
        id: u64,
        name: String,
        pid: u32,
        stop: watch::Sender<Option<Stop>>,
        facts: watch::Receiver<Facts>,
    ) -> Self {
        let level = facts.borrow().level;
        Self { right: Arc::new(Right { id, name, pid, level, stop }), facts }
    }

    /// Unique within the run.
    pub fn id(&self) -> u64 {
        self.right.id
    }

    /// The leader's pid: for people. It may mean another process once [`leader_exited`](Self::leader_exited) resolves.
    pub fn pid(&self) -> u32 {
        self.right.pid
    }

    /// How this helper is contained.
    pub fn level(&self) -> Level {
        self.right.level
    }

    /// Asks for the end and returns at once. Idempotent; a kill cuts an orderly stop short, never the other way round.
    ///
    /// Close the helper's stdin before asking for an orderly stop: that is what well-behaved helpers wait for.
    pub fn stop(&self, how: Stop) {
        self.right.stop.send_if_modified(|asked| {
            let more = *asked < Some(how);
            if more {
                *asked = Some(how);
            }
            more
        });
    }

    /// Resolves within milliseconds of the leader's exit or of the shim's death. Its descendants may still live.
    pub async fn leader_exited(&self) {
        // An error means that the reaper has ended, and every leader before it.
        self.facts.clone().wait_for(|facts| facts.leader_exited || facts.outcome.is_some()).await.ok();
    }

    /// Waits until the tree is proven empty.
    ///
    /// # Errors
    /// [`Unproven`] when the limit has passed, counted from when a KILL could first have been sent. Asked again, it
    /// answers as things stand then; [`proven`](Self::proven) waits on.
    pub async fn gone(&self) -> Result<Gone, Unproven> {
        let mut facts = self.facts.clone();
        let outcome =
            facts.wait_for(|facts| facts.outcome.is_some()).await.map(|facts| facts.outcome.clone());
        outcome.ok().flatten().unwrap_or_else(|| Err(self.reaper_ended()))
    }

    /// Waits until the tree is proven empty, however long that takes.
    ///
    /// # Errors
    /// [`Unproven`] when the reaper ends first.
    pub async fn proven(&self) -> Result<Gone, Unproven> {
        let mut facts = self.facts.clone();
        let proven = facts.wait_for(|facts| matches!(facts.outcome, Some(Ok(_)))).await;
        proven.ok().and_then(|facts| facts.outcome.clone()).unwrap_or_else(|| Err(self.reaper_ended()))
    }

    fn reaper_ended(&self) -> Unproven {
        // The last outcome outlives its writer.
        match &self.facts.borrow().outcome {
            Some(Err(unproven)) => unproven.clone(),
            _ => Unproven { name: self.right.name.clone(), reason: "its reaper has ended".to_owned() },
        }
    }
}
