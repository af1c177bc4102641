//! One client: a half that reads and a half that writes, neither of which waits for the other, in one task.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use verger_core::ids::ConnectionId;
use verger_wire::requests::{ClientRequest, InitializeParams, InitializeResponse};
use verger_wire::{Incoming, RequestId, RpcError, decode};

use crate::dispatch::Dispatch;
use crate::house::{HouseHandle, ToHouse};
use crate::meta::PROTOCOL_LEVEL;
use crate::outbox::{Closed, Outbox};
use crate::replier::InFlight;

/// Largest frame that a client may send, in bytes.
pub(crate) const MAX_FRAME: usize = 16 << 20;

/// A client that takes nothing for this long while something waits for it is cut.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// How long a client that is cut may take to make room for the close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// Close codes: the server leaves, the client did not keep up.
const GOING_AWAY: u16 = 1001;
const TOO_SLOW: u16 = 4408;

/// Serves one WebSocket until it ends, from either side.
pub(crate) async fn serve(socket: WebSocket, dispatch: Dispatch, shutdown: CancellationToken) {
    let connection = dispatch.connection;
    let house = dispatch.house.clone();
    let outbox = Outbox::new(dispatch.shared.clock);
    house.send(ToHouse::Connected { connection, outbox: outbox.clone() });
    let (sink, stream) = socket.split();
    let reader = Reader { stream, outbox: outbox.clone(), dispatch, in_flight: InFlight::default() };
    let goodbye = Goodbye { house, connection };
    // The token is the server's own: when it leaves, what is queued is still written, then the socket closed.
    let reading = async {
        tokio::select! {
            () = reader.run() => {}
            () = shutdown.cancelled() => {}
            // A client that is cut is not listened to any more.
            () = outbox.cut() => {}
        }
        outbox.close(Closed::Done);
        // Said at once: whoever waits for the thread must not wait for the last bytes to drain.
        drop(goodbye);
    };
    let writing = async {
        if write(sink, &outbox).await == Closed::Slow {
            tracing::warn!(%connection, "the client did not keep up and was cut");
        }
    };
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
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        self.house.send(ToHouse::Disconnected { connection: self.connection });
    }
}

struct Reader {
    stream: SplitStream<WebSocket>,
    outbox: Outbox,
    dispatch: Dispatch,
    in_flight: InFlight,
}

impl Reader {
    async fn run(mut self) {
        // A client that does not take its answers is not heard until it does: it cannot ask for more than it takes.
        while let Some(message) = self.next().await {
            let done = match message {
                Ok(Message::Text(text)) => self.frame(decode(&text)).await,
                Ok(Message::Binary(bytes)) => self.frame(verger_wire::decode_bytes(&bytes)).await,
                // Answered by the library.
                Ok(Message::Ping(_) | Message::Pong(_)) => ControlFlow::Continue(()),
                Ok(Message::Close(_)) => ControlFlow::Break(()),
                Err(error) => {
                    tracing::debug!(connection = %self.dispatch.connection, %error, "the connection broke");
                    ControlFlow::Break(())
                }
            };
            if done.is_break() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<Result<Message, axum::Error>> {
        self.outbox.room().await;
        self.stream.next().await
    }

    async fn frame(&mut self, frame: Result<Incoming, verger_wire::DecodeError>) -> ControlFlow<()> {
        match frame {
            Ok(Incoming::Request { id, method, params }) => {
                self.request(id, &method, params.as_deref()).await;
            }
            Ok(Incoming::Notification { method, .. }) => {
                tracing::trace!(method, "a notification, of which none needs anything done");
            }
            Ok(Incoming::Response { id, .. } | Incoming::Error { id, .. }) => {
                tracing::debug!(%id, "an answer to no question");
            }
            Err(error) => self.outbox.reply(error.reply(), None),
        }
        ControlFlow::Continue(())
    }

    async fn request(&mut self, id: RequestId, method: &str, params: Option<&serde_json::value::RawValue>) {
        let Some(replier) = self.in_flight.take(&self.outbox, id) else { return };
        let request = match ClientRequest::decode(method, params) {
            Ok(request) => request,
            Err(error) => return replier.refuse(&error),
        };
        match request {
            ClientRequest::Initialize(params) => replier.with(self.initialize(&params)),
            _ if !self.outbox.is_initialized() => replier.refuse(&RpcError::not_initialized()),
            request => self.dispatch.dispatch(replier, request).await,
        }
    }

    fn initialize(&self, params: &InitializeParams) -> Result<InitializeResponse, RpcError> {
        let capabilities = params.capabilities.clone().unwrap_or_default();
        let opted_out: HashSet<_> =
            capabilities.opt_out_notification_methods.unwrap_or_default().into_iter().collect();
        if !self.outbox.initialize(opted_out) {
            return Err(RpcError::already_initialized());
        }
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

/// Writes what the outbox holds until it closes, and then the close frame.
async fn write(mut sink: SplitSink<WebSocket, Message>, outbox: &Outbox) -> Closed {
    let closed = loop {
        let text = match outbox.next().await {
            Ok(text) => text,
            Err(closed) => break closed,
        };
        match send(&mut sink, text, outbox).await {
            Ok(()) => {}
            Err(closed) => break closed,
        }
    };
    let (code, reason, limit) = match closed {
        Closed::Done => (GOING_AWAY, "", STALL_LIMIT),
        Closed::Slow => (TOO_SLOW, "slow_consumer", CLOSE_LIMIT),
    };
    outbox.close(closed);
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    // A client that is gone, or makes no room in time, is left to the kernel: dropping the socket resets it.
    timeout(limit, sink.send(Message::Close(Some(frame)))).await.ok();
    closed
}

/// Writes one frame. A client that takes nothing of it for too long is cut.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    text: Utf8Bytes,
    outbox: &Outbox,
) -> Result<(), Closed> {
    let sending = sink.send(Message::Text(text));
    tokio::pin!(sending);
    tokio::select! {
        sent = timeout(STALL_LIMIT, &mut sending) => match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::Done),
            Err(_) => Err(Closed::Slow),
        },
        // The frame under way is finished if it can be, so that the close frame can follow it.
        () = outbox.cut() => {
            timeout(CLOSE_LIMIT, sending).await.ok();
            Err(Closed::Slow)
        }
    }
}
