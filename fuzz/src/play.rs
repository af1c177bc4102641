//! Plays a script and judges the daemon: each request gets one answer, nothing else gets any, and when all clients have
//! gone nothing of theirs stays.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::client::{Client, PATIENCE};
use crate::names::Names;
use crate::script::{Act, CLIENTS, Step, parse};
use crate::stage;

/// Tasks that a daemon without clients may have more than at its start: a task may end a little after it is said to.
const TASKS: u64 = 16;

/// Everything that lives from one script to the next.
#[derive(Debug)]
pub struct Player {
    runtime: Runtime,
    socket: PathBuf,
    /// Tasks of the daemon before the first script.
    tasks: u64,
}

impl Player {
    /// Starts the daemon.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let socket = stage::open();
        let tasks = runtime.block_on(async {
            let mut newcomer = newcomer(&socket).await;
            let tasks = number(&ps(&mut newcomer).await["tasks"]);
            newcomer.leave(&mut Names::default()).await;
            tasks
        });
        Self { runtime, socket, tasks }
    }

    /// Plays a script.
    ///
    /// # Panics
    /// When the daemon does what it should not.
    pub fn play(&self, script: &[u8]) {
        let steps = parse(script);
        self.runtime.block_on(async {
            perform(&self.socket, &steps).await;
            let mut newcomer = newcomer(&self.socket).await;
            self.nothing_stays(&mut newcomer).await;
            forget_all(&mut newcomer).await;
            newcomer.leave(&mut Names::default()).await;
        });
    }

    /// All clients have gone: no connection is counted, no thread is loaded (K3), no helper runs, no task is left.
    async fn nothing_stays(&self, newcomer: &mut Client) {
        // Of those who vanished the daemon may have more to read. It tells nobody when it has, so it is asked.
        let alone = async { while number(&ps(newcomer).await["connections"]) != 1 {} };
        let alone = timeout(PATIENCE, alone).await.is_ok();
        assert!(alone, "connections that nobody has: {}", ps(newcomer).await);
        let loaded = newcomer.ask("thread/loaded/list", json!({})).await.expect("it says what is loaded");
        for thread in loaded["data"].as_array().expect("a list") {
            let unloaded = newcomer.hears_of_unloading(thread.as_str().expect("an id")).await;
            assert!(unloaded, "K3: {thread} is not said to be unloaded: {}", ps(newcomer).await);
        }
        let ps = ps(newcomer).await;
        assert_eq!((&ps["threads"], &ps["helpers"]), (&json!([]), &json!([])), "K3: all clients have gone");
        assert!(number(&ps["tasks"]) <= self.tasks + TASKS, "tasks that nobody needs: {ps}");
    }
}

/// Does what the script says, until every client has gone.
async fn perform(socket: &Path, steps: &[Step]) {
    let mut clients: [Option<Client>; CLIENTS] = [const { None }; CLIENTS];
    let names = &mut Names::default();
    for Step { client, act } in steps {
        let place = &mut clients[*client];
        match act {
            Act::Say(line) | Act::Mumble(line) => {
                let mut line = names.fill_in(line);
                line.extend(matches!(act, Act::Say(_)).then_some(b'\n'));
                let client = match place {
                    Some(client) => client,
                    None => place.insert(Client::connect(socket).await),
                };
                client.write(&line, names).await;
            }
            Act::Wait => {
                if let Some(client) = place {
                    client.wait(names).await;
                }
            }
            Act::Leave => {
                if let Some(client) = place.take() {
                    client.leave(names).await;
                }
            }
            Act::Vanish => {
                if let Some(client) = place.take() {
                    client.vanish(names).await;
                }
            }
        }
    }
    for client in clients.iter_mut().flatten() {
        client.wait(names).await;
    }
    for client in clients.into_iter().flatten() {
        client.leave(names).await;
    }
}

/// A client that comes when all others have gone.
async fn newcomer(socket: &Path) -> Client {
    let mut client = Client::connect(socket).await;
    let hello = json!({ "clientInfo": { "name": "newcomer", "version": "0" } });
    client.ask("initialize", hello).await.expect("it is welcome");
    client
}

/// Deletes every thread that a script left, so that the next finds the daemon as this one did.
async fn forget_all(newcomer: &mut Client) {
    loop {
        // What clients that vanished had begun to end may end between the list and the next line.
        let ended = newcomer.ended();
        let threads = stored(newcomer).await;
        if threads.is_empty() {
            break;
        }
        let mut refused = Vec::new();
        for thread in &threads {
            let deleted = newcomer.ask("thread/delete", json!({ "threadId": thread })).await;
            refused.extend(deleted.err());
        }
        // A fork has to go before what it came from, whichever of the two is archived.
        let goes_on = refused.len() < threads.len() || newcomer.hears_of_ending(ended).await;
        assert!(goes_on, "threads that cannot be deleted: {refused:?}");
    }
}

/// The ids of up to a hundred threads that are archived, and as many that are not.
async fn stored(newcomer: &mut Client) -> Vec<Value> {
    let mut ids = Vec::new();
    for archived in [true, false] {
        let page = newcomer.ask("thread/list", json!({ "archived": archived, "limit": 100 })).await;
        let page = page.expect("it lists what is stored");
        ids.extend(page["data"].as_array().expect("a list").iter().map(|thread| thread["id"].clone()));
    }
    ids
}

async fn ps(newcomer: &mut Client) -> Value {
    newcomer.ask("verger/ps", json!({})).await.expect("it says what runs")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}
