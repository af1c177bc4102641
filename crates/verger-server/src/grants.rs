//! Tools that a person has allowed for the rest of a conversation: kept as long as the daemon runs, so that a client that
//! leaves and comes back is not asked again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use verger_core::ids::ThreadId;
use verger_core::server::ServerName;

/// One per daemon. It grows with what people click, and shrinks with what they delete.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<HashMap<ThreadId, HashSet<(ServerName, String)>>>);

impl Grants {
    fn map(&self) -> MutexGuard<'_, HashMap<ThreadId, HashSet<(ServerName, String)>>> {
        // Held for one operation of the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, thread: ThreadId, server: &ServerName, tool: &str) {
        self.map().entry(thread).or_default().insert((server.clone(), tool.to_owned()));
    }

    pub(crate) fn has(&self, thread: ThreadId, server: &ServerName, tool: &str) -> bool {
        let key = (server.clone(), tool.to_owned());
        self.map().get(&thread).is_some_and(|granted| granted.contains(&key))
    }

    /// The thread is gone for good.
    pub(crate) fn forget(&self, thread: ThreadId) {
        self.map().remove(&thread);
    }
}
