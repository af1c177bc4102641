//! Where clients come from: one HTTP listener for WebSockets and health, behind the rules of who may connect, and Unix
//! sockets for whoever may open their file.

mod guard;
mod http;
mod jwt;
mod limits;
mod progress;
mod socket;
mod token_hash;
mod unix;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use guard::{Credential, Guard};
pub(crate) use jwt::{Jwt, SHORTEST_SECRET, SKEW};
pub(crate) use limits::{Limits, Seat};
use progress::Counting;
pub(crate) use progress::Progress;
pub use token_hash::{BadHash, TokenHash};
pub(crate) use unix::UnixSocket;

use crate::connection::MAX_FRAME;

/// Read and write buffers of an idle connection, in bytes: there may be ten thousand of them.
const BUFFER: usize = 4 << 10;

/// Bytes that the kernel may hold for a client.
const SEND_BUFFER: usize = 256 << 10;

/// Connections that may wait for the daemon to take them.
const ARRIVALS: usize = 64;

/// A client that may be served.
#[derive(Debug)]
pub(crate) enum Arrival {
    WebSocket(Box<WebSocket>, Progress, Seat),
    /// JSON lines.
    Lines(UnixStream, Seat),
}

/// Clients on their way to the task that owns connections; bounded, so that a flood waits in the kernel.
pub(crate) type Arrivals = mpsc::Sender<Arrival>;

/// The way to the task that owns connections.
pub(crate) fn arrivals() -> (Arrivals, mpsc::Receiver<Arrival>) {
    mpsc::channel(ARRIVALS)
}

/// What one server listens on.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) tcp: Option<(TcpListener, Guard)>,
    pub(crate) sockets: Vec<UnixSocket>,
    pub(crate) limits: Limits,
}

/// When to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopping {
    /// New work is refused: whoever balances load should look elsewhere.
    pub(crate) draining: CancellationToken,
    /// Nobody is listened to any more.
    pub(crate) shutdown: CancellationToken,
}

/// What the HTTP handlers need.
#[derive(Clone, Debug)]
struct Http {
    arrivals: Arrivals,
    draining: CancellationToken,
    limits: Limits,
}

/// Sends each client to `arrivals` until the shutdown, then waits for requests under way.
pub(crate) async fn serve(
    listeners: Listeners,
    arrivals: Arrivals,
    stopping: Stopping,
) -> std::io::Result<()> {
    let Stopping { draining, shutdown } = stopping;
    let limits = listeners.limits;
    let http = Http { arrivals: arrivals.clone(), draining, limits: limits.clone() };
    let mut tasks = JoinSet::new();
    if let Some((listener, guard)) = listeners.tcp {
        tasks.spawn(serve_tcp(listener, http.clone(), Arc::new(guard), shutdown.clone()));
    }
    let (to_http, streams) = mpsc::channel(ARRIVALS);
    for socket in listeners.sockets {
        let (taking, shutdown) =
            (socket.serve(arrivals.clone(), to_http.clone(), limits.clone()), shutdown.clone());
        tasks.spawn(async move {
            shutdown.run_until_cancelled(taking).await;
        });
    }
    drop(to_http);
    let app = upgrades().merge(health()).with_state(http);
    tasks.spawn(http::serve(Counting(unix::HttpStreams(streams)), app, limits.handshake, shutdown));
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(std::io::Error::other)?;
    }
    Ok(())
}

fn upgrades() -> Router<Http> {
    Router::new().fallback(upgrade)
}

fn health() -> Router<Http> {
    Router::new().route("/healthz", get(|| async { StatusCode::OK })).route("/readyz", get(ready))
}

async fn serve_tcp(listener: TcpListener, http: Http, guard: Arc<Guard>, shutdown: CancellationToken) {
    let handshake = http.limits.handshake;
    let app = upgrades()
        .layer(from_fn_with_state(Arc::clone(&guard), guarded))
        .merge(health())
        .layer(from_fn_with_state(guard, same_origin))
        .with_state(http);
    // A reply waits for nothing: the kernel must not hold it back for more to send with it.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays without TCP_NODELAY");
        }
        // What the kernel holds is hidden from the limits of slow clients: let it be little.
        if let Err(error) = rustix::net::sockopt::set_socket_send_buffer_size(&*stream, SEND_BUFFER) {
            tracing::debug!(%error, "a connection keeps the kernel's send buffer");
        }
    });
    http::serve(Counting(listener), app, handshake, shutdown).await;
}

async fn ready(State(http): State<Http>) -> Response {
    match http.draining.is_cancelled() {
        false => StatusCode::OK.into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n").into_response(),
    }
}

async fn same_origin(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn guarded(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn upgrade(
    State(http): State<Http>,
    ConnectInfo(progress): ConnectInfo<Progress>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let upgrade: Result<_, WebSocketUpgradeRejection> =
        WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) => {
            return (StatusCode::BAD_REQUEST, "this is a WebSocket endpoint; connect with ws://\n")
                .into_response();
        }
    };
    let seat = match http.limits.seat() {
        Ok(seat) => seat,
        Err(full) => return (StatusCode::SERVICE_UNAVAILABLE, full + "\n").into_response(),
    };
    upgrade
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move {
            // The server is stopping: the socket is dropped, and with it closed.
            http.arrivals.send(Arrival::WebSocket(Box::new(socket), progress, seat)).await.ok();
        })
}
