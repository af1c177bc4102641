//! What a helper may take, and the watch over it.

use std::fmt;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use verger_reaper::Tree;

use crate::config::{McpServer, Size};

/// From one look at a helper's processes to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// After a look that took long, the pause is at least this many times as long: no more than 2 % of one CPU goes into it.
const PAUSE_PER_LOOK: u32 = 50;

/// What a helper may take.
#[derive(Clone, Copy, Debug)]
struct Budget {
    memory: Option<Size>,
    processes: Option<u32>,
}

/// What a helper takes, being more than it may. As a text it goes after the helper's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Memory { used: u64, max: Size },
    Processes { count: u32, max: u32 },
}

/// The watch over one helper. Its looks block on `/proc`, so they are taken beside the async threads, one at a time.
pub(super) struct Watch {
    budget: Budget,
    /// Nothing to look at once the helper is gone.
    tree: Option<Tree>,
    /// One look at most.
    looks: JoinSet<Option<Excess>>,
    /// When the last look began, and when the next one does.
    began: Instant,
    next: Instant,
}

impl Watch {
    /// Over a helper that has just started.
    pub(super) fn new(server: &McpServer, tree: Option<Tree>) -> Self {
        let budget = Budget { memory: server.memory_max, processes: server.max_processes };
        let began = Instant::now();
        Self { budget, tree, looks: JoinSet::new(), began, next: began + PAUSE }
    }

    /// Resolves when the helper takes more than it may; never where nothing is limited. Cancel-safe.
    pub(super) async fn excess(&mut self) -> Excess {
        let (Some(tree), true) = (self.tree, self.budget.is_any()) else {
            return std::future::pending().await;
        };
        loop {
            if self.looks.is_empty() {
                sleep_until(self.next).await;
                self.began = Instant::now();
                let budget = self.budget;
                self.looks.spawn_blocking(move || budget.excess(tree));
            }
            let looked = self.looks.join_next().await;
            let now = Instant::now();
            self.next = now + PAUSE.max((now - self.began) * PAUSE_PER_LOOK);
            match looked {
                Some(Ok(Some(excess))) => return excess,
                Some(Err(error)) => tracing::error!(%error, "a look at a helper's processes failed"),
                Some(Ok(None)) | None => {}
            }
        }
    }

    /// Waits for the look that is under way.
    pub(super) async fn end(mut self) {
        while let Some(looked) = self.looks.join_next().await {
            if let Err(error) = looked {
                tracing::error!(%error, "a look at a helper's processes failed");
            }
        }
    }
}

impl Budget {
    fn is_any(self) -> bool {
        self.memory.is_some() || self.processes.is_some()
    }

    fn excess(self, tree: Tree) -> Option<Excess> {
        let Some(memory) = self.memory else { return self.too_many(tree.processes()) };
        let usage = tree.usage();
        if let Some(excess) = self.too_many(usage.processes) {
            return Some(excess);
        }
        // The dear figure is the smaller one.
        let used = if usage.memory_bytes > memory.0 { tree.shared_once() } else { 0 };
        (used > memory.0).then_some(Excess::Memory { used, max: memory })
    }

    fn too_many(self, count: u32) -> Option<Excess> {
        let max = self.processes.filter(|&max| count > max)?;
        Some(Excess::Processes { count, max })
    }
}

impl Excess {
    /// What it takes and what it may, in bytes or processes.
    pub(super) fn figures(self) -> (u64, u64) {
        match self {
            Self::Memory { used, max } => (used, max.0),
            Self::Processes { count, max } => (count.into(), max.into()),
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { used, max } => {
                write!(f, "it used {} of memory, over memory_max = {max}", max.measure(*used))
            }
            Self::Processes { count, max } => {
                write!(f, "it had {count} processes, over max_processes = {max}")
            }
        }
    }
}
