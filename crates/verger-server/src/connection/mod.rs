//! One client: a half that reads and a half that writes, neither of which waits for the other, in one task.

mod lines;
mod pongs;
mod transport;
mod websocket;
mod writer;

use std::pin::Pin;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use verger_core::ids::ConnectionId;
use verger_wire::requests::{ClientRequest, Empty, InitializeParams, InitializeResponse, RelayParams};
use verger_wire::{DecodeError, Incoming, RequestId, RpcError};

use self::lines::{LinesIn, LinesOut};
use self::transport::{Receive, Transmit};
pub(crate) use self::writer::Pings;
use crate::dispatch::Dispatch;
use crate::house::{HouseHandle, ToHouse};
use crate::invocation::{difference, invocation};
use crate::listen::Progress;
use crate::meta::PROTOCOL_LEVEL;
use crate::outbox::{Closed, Outbox, Wishes};
use crate::replier::InFlight;
use crate::settings;

/// Largest frame that a client may send, in bytes.
pub(crate) const MAX_FRAME: usize = 16 << 20;

/// The extension by which a client says that it wants to know where events stand, and resumes `since` one.
const REPLAY: &str = "verger/replay";

/// How long a client on a pipe, who has said all it had to say and may still listen, is given the answers to it. It may as
/// well be gone: the two look the same.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_secs(2);

/// Serves one WebSocket until it ends, from either side. `patience` is how long it may take to initialize.
pub(crate) async fn serve_websocket(
    socket: WebSocket,
    progress: Progress,
    dispatch: Dispatch,
    shutdown: CancellationToken,
    patience: Duration,
) {
    let (incomings, outgoings) = websocket::halves(socket, progress);
    serve(incomings, outgoings, dispatch, shutdown, Some(patience)).await;
}

/// Serves a client that speaks in JSON lines until it ends, from either side. `patience` is how long it may take to
/// initialize.
pub(crate) async fn serve_lines<R, W>(
    from: R,
    to: W,
    dispatch: Dispatch,
    shutdown: CancellationToken,
    patience: Option<Duration>,
) where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    serve(LinesIn::new(from), LinesOut::new(to), dispatch, shutdown, patience).await;
}

async fn serve<R: Receive, T: Transmit>(
    incomings: R,
    outgoings: T,
    dispatch: Dispatch,
    shutdown: CancellationToken,
    patience: Option<Duration>,
) {
    let connection = dispatch.connection;
    let house = dispatch.house.clone();
    let is_waited_for = outgoings.progress().is_none();
    let pings = dispatch.shared.config().server.pings();
    let outbox = Outbox::new(dispatch.shared.clock);
    house.send(ToHouse::Connected { connection, outbox: outbox.clone() });
    let in_flight = InFlight::default();
    let patience = patience.map(|limit| Box::pin(sleep(limit)));
    let reader = Reader {
        incomings,
        outbox: outbox.clone(),
        dispatch,
        in_flight: in_flight.clone(),
        patience,
        over: None,
    };
    let goodbye = Goodbye { house, connection, outbox: outbox.clone() };
    // The token is the server's own: when it leaves, what is queued is still written, then the socket closed.
    let reading = async {
        let heard_out = async {
            let ended = reader.run().await;
            if is_waited_for {
                timeout(LAST_ANSWERS_LIMIT, in_flight.all_answered()).await.ok();
            }
            ended
        };
        tokio::select! {
            ended = heard_out => outbox.close(ended),
            () = shutdown.cancelled() => {}
            // A client that is cut is not listened to any more.
            () = outbox.cut() => match outbox.why_closed() {
                Some(Closed::Slow) => tracing::warn!(%connection, "the client did not keep up and is cut"),
                _ => tracing::info!(%connection, "the client gives no sign of life and is cut"),
            },
        }
        outbox.close(Closed::Done);
        // Said at once: whoever waits for the thread must not wait for the last bytes to drain.
        drop(goodbye);
    };
    let writing = writer::write(outgoings, &outbox, pings);
    // The reader ends the writer by closing the outbox; a writer that cannot write ends the reader by dropping it.
    tokio::pin!(reading, writing);
    tokio::select! {
        () = &mut reading => writing.await,
        () = &mut writing => {}
    }
}

/// Tells the house that the connection is gone, however that came about.
struct Goodbye {
    house: HouseHandle,
    connection: ConnectionId,
    outbox: Outbox,
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        let cut = self.outbox.why_closed() == Some(Closed::Slow);
        self.house.send(ToHouse::Disconnected { connection: self.connection, cut });
    }
}

struct Reader<R> {
    incomings: R,
    outbox: Outbox,
    dispatch: Dispatch,
    in_flight: InFlight,
    /// Until the client has initialized, or is relayed; in a reserved place, as long as it stays.
    patience: Option<Pin<Box<Sleep>>>,
    /// Why it is not heard any further.
    over: Option<Closed>,
}

impl<R: Receive> Reader<R> {
    /// Hears the client out; why it ended.
    async fn run(mut self) -> Closed {
        while let Some(message) = self.next().await {
            self.message(message).await;
        }
        self.over.unwrap_or_else(|| self.incomings.ended())
    }

    /// A client that does not take its answers is not heard until it does: it cannot ask for more than it takes.
    async fn next(&mut self) -> Option<Result<Incoming, DecodeError>> {
        if self.over.is_some() {
            return None;
        }
        self.outbox.room().await;
        let Some(patience) = &mut self.patience else { return self.incomings.receive().await };
        tokio::select! {
            message = self.incomings.receive() => message,
            () = patience.as_mut() => {
                let is_reserved = self.dispatch.full.is_some();
                tracing::info!(connection = %self.dispatch.connection, is_reserved, "the client's time is over and it is cut");
                if is_reserved {
                    // What the owner asked for may take its time.
                    self.in_flight.all_answered().await;
                }
                self.over = Some(Closed::Uninitialized);
                None
            }
        }
    }

    async fn message(&mut self, message: Result<Incoming, DecodeError>) {
        match message {
            Ok(Incoming::Request { id, method, params }) => {
                self.request(id, &method, params.as_deref()).await;
            }
            Ok(Incoming::Notification { method, .. }) => {
                tracing::trace!(method, "a notification, of which none needs anything done");
            }
            Ok(Incoming::Response { id, result }) => {
                self.dispatch.answer(&self.outbox, &id, Ok(result)).await
            }
            Ok(Incoming::Error { id, error }) => self.dispatch.answer(&self.outbox, &id, Err(error)).await,
            Err(error) => self.outbox.reply(error.reply(), None),
        }
    }

    async fn request(&mut self, id: RequestId, method: &str, params: Option<&serde_json::value::RawValue>) {
        let Some(mut replier) = self.in_flight.take(&self.outbox, id) else { return };
        let request = match ClientRequest::decode(method, params) {
            Ok(request) => request,
            Err(error) => return replier.refuse(&error),
        };
        if let Some(full) = self.dispatch.full.as_ref().filter(|_| !is_owners(&request)) {
            self.over = Some(Closed::Done);
            return replier.refuse(&RpcError::full(full));
        }
        match request {
            ClientRequest::Initialize(params) => {
                let answer = self.initialize(&params);
                let is_new = answer.is_ok();
                replier.with(answer);
                if is_new {
                    settings::warn(&self.dispatch.shared, &self.outbox);
                }
            }
            ClientRequest::Relay(params) => replier.with(self.relay(params)),
            _ if !self.outbox.is_initialized() => replier.refuse(&RpcError::not_initialized()),
            request => {
                if let ClientRequest::ThreadResume(_) = request {
                    replier.may_be_large().await;
                }
                self.dispatch.dispatch(replier, request).await;
            }
        }
    }

    /// Serves a client as if it had been started where, and as, its relay was; or refuses to.
    fn relay(&mut self, theirs: RelayParams) -> Result<Empty, RpcError> {
        if self.outbox.is_initialized() {
            return Err(RpcError::already_initialized());
        }
        let ours = invocation(&self.dispatch.shared.config());
        if let Some(difference) = difference(&ours, &theirs) {
            return Err(RpcError::invalid_request(format!("this connection is not relayed: {difference}")));
        }
        // From here on it stands for a client on stdio, which may take its time.
        self.patience = None;
        self.dispatch.folder = Some(theirs.cwd);
        Ok(Empty {})
    }

    fn initialize(&mut self, params: &InitializeParams) -> Result<InitializeResponse, RpcError> {
        let capabilities = params.capabilities.clone().unwrap_or_default();
        let opted_out = capabilities.opt_out_notification_methods.unwrap_or_default().into_iter().collect();
        let extensions = capabilities.extensions.unwrap_or_default();
        let positions = !matches!(extensions.get(REPLAY), None | Some(Value::Null | Value::Bool(false)));
        if !self.outbox.initialize(Wishes { opted_out, positions }) {
            return Err(RpcError::already_initialized());
        }
        if self.dispatch.full.is_none() {
            self.patience = None;
        }
        self.dispatch.experimental = capabilities.experimental_api;
        let system = rustix::system::uname();
        let (os, release, arch) = (system.sysname(), system.release(), system.machine());
        let client = &params.client_info;
        Ok(InitializeResponse {
            user_agent: format!(
                "{}/{PROTOCOL_LEVEL} ({} {}; {}) verger/{} ({}; {})",
                client.name,
                os.to_string_lossy(),
                release.to_string_lossy(),
                arch.to_string_lossy(),
                env!("CARGO_PKG_VERSION"),
                client.name,
                client.version,
            ),
            codex_home: self.dispatch.shared.home.state.display().to_string(),
            platform_family: std::env::consts::FAMILY.to_owned(),
            platform_os: std::env::consts::OS.to_owned(),
        })
    }
}

/// What may be asked from a reserved place: to look at a full server, and to help it.
fn is_owners(request: &ClientRequest) -> bool {
    matches!(request, ClientRequest::Initialize(_) | ClientRequest::Ps(_) | ClientRequest::HelperRestart(_))
}
