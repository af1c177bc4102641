//! What every part of the daemon may use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use verger_core::ids::{ConnectionId, ThreadId};
use verger_core::server::ServerName;
use verger_model::Models;
use verger_reaper::Reaper;
use verger_store::Store;
use verger_wire::types::{JobRun, ThreadStatus};
use verger_wire::{JobRunUpdatedNotification, Notification, WarningNotification};

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::{Config, keep_approval};
use crate::event::Event;
use crate::grants::Grants;
use crate::home::Home;
use crate::outbox::Outbox;
use crate::questions::Questions;

/// One per daemon.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) home: Home,
    pub(crate) run: String,
    /// How many processes of dead runs were killed before this one served.
    pub(crate) swept: usize,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) reaper: Reaper,
    pub(crate) models: Models,
    pub(crate) catalog: Catalog,
    pub(crate) statuses: Statuses,
    pub(crate) connections: Connections,
    last_connection: AtomicU64,
    pub(crate) questions: Questions,
    pub(crate) grants: Grants,
    /// Replaced by `config/mcpServer/reload`; each reader holds on to the one that it began with.
    config: RwLock<Arc<Config>>,
    /// Held while an approval is written to the configuration's file.
    keeping: Arc<Mutex<()>>,
}

/// What each loaded thread is doing. Written by its owner, read by listings.
#[derive(Debug, Default)]
pub(crate) struct Statuses(RwLock<HashMap<ThreadId, ThreadStatus>>);

/// The outbox of every connection, for what concerns all of them.
#[derive(Debug, Default)]
pub(crate) struct Connections(RwLock<HashMap<ConnectionId, Outbox>>);

impl Shared {
    pub(crate) fn new(
        home: Home,
        run: String,
        swept: usize,
        clock: Clock,
        store: Store,
        reaper: Reaper,
        config: Arc<Config>,
    ) -> Self {
        Self {
            home,
            run,
            swept,
            clock,
            store,
            reaper,
            models: Models::new(),
            catalog: Catalog::default(),
            statuses: Statuses::default(),
            connections: Connections::default(),
            last_connection: AtomicU64::new(0),
            questions: Questions::default(),
            grants: Grants::default(),
            config: RwLock::new(config),
            keeping: Arc::default(),
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_config(&self, config: Arc<Config>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Allows a tool for good, here and in the file that people write. Whether that worked is told to every client.
    pub(crate) async fn keep_approval(&self, server: &ServerName, tool: &str) {
        {
            let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
            *config = Arc::new(config.approving(server, tool));
        }
        let keeping = Arc::clone(&self.keeping);
        let (path, server, tool) = (self.config().path().to_owned(), server.to_string(), tool.to_owned());
        let kept = tokio::task::spawn_blocking(move || {
            // Two answers at once must not write over each other.
            let _one_at_a_time = keeping.lock().unwrap_or_else(PoisonError::into_inner);
            keep_approval(&path, &server, &tool).map_err(|error| error.to_string())
        });
        let Err(why) = kept.await.unwrap_or_else(|error| Err(error.to_string())) else { return };
        let message = format!("\"always allow\" holds until the server ends: {why}");
        tracing::warn!("{message}");
        self.announce(Notification::Warning(WarningNotification { thread_id: None, message }));
    }

    /// A number that no connection has had.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.last_connection.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Tells those who have asked about jobs: others may not know what a job is.
    pub(crate) fn announce_to_job_clients(&self, notification: Notification) {
        let event = Event::notice(notification, self.clock.unix_ms());
        self.connections.send_where(&event, Outbox::asks_of_jobs);
    }

    /// Tells them how a job run stands.
    pub(crate) fn announce_job_run(&self, run: JobRun) {
        let run = Box::new(run);
        self.announce_to_job_clients(Notification::JobRunUpdated(JobRunUpdatedNotification { run }));
    }

    /// Tells every connection.
    pub(crate) fn announce(&self, notification: Notification) {
        self.connections.send(&Event::notice(notification, self.clock.unix_ms()));
    }
}

impl Statuses {
    pub(crate) fn set(&self, thread: ThreadId, status: ThreadStatus) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(thread, status);
    }

    pub(crate) fn remove(&self, thread: ThreadId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&thread);
    }

    /// `notLoaded` where nobody says otherwise.
    pub(crate) fn get(&self, thread: ThreadId) -> ThreadStatus {
        let statuses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        statuses.get(&thread).cloned().unwrap_or(ThreadStatus::NotLoaded)
    }
}

impl Connections {
    pub(crate) fn insert(&self, connection: ConnectionId, outbox: Outbox) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(connection, outbox);
    }

    pub(crate) fn remove(&self, connection: ConnectionId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    }

    pub(crate) fn send(&self, event: &Event) {
        self.send_where(event, |_| true);
    }

    fn send_where(&self, event: &Event, is_meant: impl Fn(&Outbox) -> bool) {
        let outboxes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        outboxes.values().filter(|outbox| is_meant(outbox)).for_each(|outbox| outbox.notice(event));
    }
}
