//! A model endpoint that does what the last user text tells it to, and remembers what it was asked. It speaks the Responses
//! API and Chat Completions, whichever it is asked for.
//!
//! | last user text | what it does |
//! |---|---|
//! | `STREAM n= size= delay_ms=` | `n` deltas of `size` bytes, that long apart |
//! | `SLEEP s=` | opens the stream, says nothing for that long, then one delta `ok` |
//! | `THINK <text>`, `s=` in it | a thought, silence for that long, then one delta `ok` |
//! | the same, then lines as those of `CALLS` | a thought, then these calls; once their output came, `done` |
//! | `CALL <namespace or -> <tool> <json>` | a function call; once its output came, one delta `done` |
//! | `CALLS`, then lines like those of `CALL` | all of these calls, each in pieces |
//! | `FAIL status= times= retry_after= code=` | refuses the first `times` (default: all) requests with this text, then `ok` |
//! | `FAIL ... repeat=<header>` | and repeats that header of the request |
//! | `PAGE` | a page of HTML, with status 200 |
//! | `ABORT code= times=` | as `FAIL`, with a failure inside the stream |
//! | `DROP after= times=` | the same by cutting the connection after that many deltas |
//! | `INCOMPLETE` | one delta, then the word that the answer is cut |
//! | anything else | one delta `ok` |

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

mod chat;
mod http;
mod reply;
mod responses;
mod script;

use chat::Chat;
use http::Connection;
use reply::Voice;
use responses::Responses;
use script::{Script, Wire};

/// A running endpoint on the loopback interface. It has a thread of its own, which ends, with
/// every connection, when this is dropped.
#[derive(Debug)]
pub struct FakeModel {
    address: SocketAddr,
    seen: Arc<Seen>,
    /// Dropping the sender is the order to stop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// When its last byte was there.
    pub at: Instant,
    /// With the query.
    pub path: String,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    /// Null where it was not JSON.
    pub body: Value,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: usize,
    /// Requests read.
    pub requests: usize,
    /// Clients that closed their connection while an answer was still to come.
    pub abandoned: usize,
}

#[derive(Debug, Default)]
struct Requests {
    all: Vec<Request>,
    /// How many carried each last user text.
    by_text: HashMap<String, usize>,
}

#[derive(Debug)]
struct Seen {
    requests: Mutex<Requests>,
    counts: watch::Sender<Counts>,
}

// === impl FakeModel ===

impl FakeModel {
    /// Listens on a free port.
    ///
    /// # Errors
    /// The listener's or the thread's.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Listens on `port` of 127.0.0.1.
    ///
    /// # Errors
    /// The listener's or the thread's.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen { requests: Mutex::default(), counts: watch::Sender::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let theirs = Arc::clone(&seen);
        let thread = std::thread::Builder::new()
            .name("fake-model".into())
            .spawn(move || runtime.block_on(serve(listener, theirs, stopped)))?;
        Ok(Self { address, seen, stop: Some(stop), thread: Some(thread) })
    }

    /// For a provider's `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// Lets go of every request so far: each carries a whole conversation.
    pub fn forget(&self) {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).all.clear();
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        *self.seen.counts.borrow()
    }

    /// Waits until `reached` holds. Put a time limit around it.
    pub async fn wait_until(&self, mut reached: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.seen.counts.subscribe();
        let counts = counts.wait_for(|counts| reached(counts)).await;
        *counts.expect("the sender lives in self.seen, which outlives this borrow")
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the fake model panicked: its message is above");
        }
    }
}

// === impl Request ===

impl Request {
    /// A header, by its name in lowercase.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

async fn serve(listener: std::net::TcpListener, seen: Arc<Seen>, mut stopped: oneshot::Receiver<()>) {
    let listener =
        TcpListener::from_std(listener).expect("the listener is non-blocking and this is its runtime");
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("accepting on a listener of ours fails only without descriptors");
                // Small writes one after another would each wait for the last one's acknowledgement.
                stream.set_nodelay(true).expect("the option exists on every TCP socket");
                seen.counts.send_modify(|counts| counts.connections += 1);
                clients.spawn(client(stream, Arc::clone(&seen)));
            }
            Some(ended) = clients.join_next() => ended.expect("a client's task was not to panic"),
        }
    }
    clients.shutdown().await;
}

/// One connection, until either side closes it.
async fn client(stream: TcpStream, seen: Arc<Seen>) {
    let mut connection = Connection::new(stream);
    // An error here is a client that went away between requests: nothing was lost.
    while let Ok(Some(request)) = connection.request().await {
        let (script, voice) = seen.note(request);
        let Connection { input, output } = &mut connection;
        let kept = tokio::select! {
            kept = reply::play(script, &*voice, output) => kept,
            () = http::closed(input) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match kept {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return seen.counts.send_modify(|counts| counts.abandoned += 1),
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Keeps a request, and says what to answer, and in which voice.
    fn note(&self, request: Request) -> (Script, Box<dyn Voice>) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let text = script::last_user_text(&request.body).unwrap_or_default();
        let earlier = requests.by_text.get(&text).copied().unwrap_or(0);
        let script = Script::parse(&request, &text, earlier);
        let voice: Box<dyn Voice> = match Wire::of(&request) {
            Some(Wire::Chat) => Box::new(Chat::to(&request.body)),
            Some(Wire::Responses) | None => Box::new(Responses),
        };
        requests.by_text.insert(text, earlier + 1);
        requests.all.push(request);
        drop(requests);
        self.counts.send_modify(|counts| counts.requests += 1);
        (script, voice)
    }
}
