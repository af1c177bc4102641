//! Clients of several servers on one home, judged together: what any of them saw, the home must keep, once.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Client;
use super::ledger::Ledger;
use crate::client::NoResult;

/// The clients of each server, and the accounts of those that have left.
#[derive(Debug, Default)]
pub struct Load {
    servers: Vec<Side>,
}

#[derive(Debug, Default)]
struct Side {
    clients: Vec<Client>,
    left: Vec<Ledger>,
}

// === impl Load ===

impl Load {
    /// One entry for each server, with its clients; whatever carries them.
    #[must_use]
    pub fn new(servers: Vec<Vec<Client>>) -> Self {
        let side = |clients| Side { clients, left: Vec::new() };
        Self { servers: servers.into_iter().map(side).collect() }
    }

    /// The clients of this server.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    #[must_use]
    pub fn clients(&self, server: usize) -> &[Client] {
        &self.servers[server].clients
    }

    /// Every client, with its server's number.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Client)> {
        let servers = self.servers.iter().enumerate();
        servers.flat_map(|(server, side)| side.clients.iter().map(move |client| (server, client)))
    }

    /// One more.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn join(&mut self, server: usize, client: Client) {
        self.servers[server].clients.push(client);
    }

    /// Cuts a client's connection without a goodbye. What it saw still counts.
    ///
    /// # Panics
    ///
    /// When there is no such server or client.
    pub fn cut(&mut self, server: usize, client: usize) {
        let side = &mut self.servers[server];
        side.left.push(side.clients.remove(client).cut());
    }

    /// What cannot be: faults that a client noticed by itself, and whatever differs from what `reader` says is kept. Call it
    /// when no turn runs.
    ///
    /// # Errors
    ///
    /// When `reader` cannot read a thread that someone had a turn of.
    pub async fn faults(&self, reader: &Client) -> Result<Vec<String>, NoResult> {
        let mut faults = Vec::new();
        for thread in self.threads() {
            let kept = reader.kept_turns(&thread).await?;
            let mut owners: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
            self.each(|server, ledger| {
                let Some(account) = ledger.account(&thread) else { return };
                let against = account.against(&kept).into_iter();
                faults.extend(against.map(|fault| format!("server {server}, {thread}: {fault}")));
                for turn in account.seen() {
                    owners.entry(turn.to_owned()).or_default().insert(server);
                }
            });
            // A thread may move between servers; a turn may not.
            for (turn, servers) in owners.iter().filter(|(_, servers)| servers.len() > 1) {
                faults.push(format!("{thread}: turn {turn} was run by servers {servers:?}"));
            }
        }
        self.each(|server, ledger| {
            faults.extend(ledger.faults().iter().map(|fault| format!("server {server}, {fault}")));
        });
        Ok(faults)
    }

    /// Every thread that someone had a turn of.
    fn threads(&self) -> BTreeSet<String> {
        let mut threads = BTreeSet::new();
        self.each(|_, ledger| {
            let used = ledger.accounts().filter(|(_, account)| account.has_turns());
            threads.extend(used.map(|(thread, _)| thread.to_owned()));
        });
        threads
    }

    fn each(&self, mut look: impl FnMut(usize, &Ledger)) {
        for (server, side) in self.servers.iter().enumerate() {
            side.left.iter().for_each(|ledger| look(server, ledger));
            side.clients.iter().for_each(|client| client.ledger(|ledger| look(server, ledger)));
        }
    }
}
