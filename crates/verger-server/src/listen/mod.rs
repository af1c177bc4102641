//! The HTTP listener: WebSocket upgrades and health, behind the rules of who may connect.

mod guard;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use guard::Guard;

use crate::connection::MAX_FRAME;

/// Read and write buffers of an idle connection, in bytes: there may be ten thousand of them.
const BUFFER: usize = 4 << 10;

/// Bytes that the kernel may hold for a client.
const SEND_BUFFER: usize = 256 << 10;

/// Upgraded sockets on their way to the task that owns connections; bounded, so that a flood waits in the kernel.
pub(crate) type Upgraded = mpsc::Sender<WebSocket>;

/// Sends each upgraded WebSocket to `upgraded` until `shutdown`, then waits for requests under way.
pub(crate) async fn serve(
    listener: TcpListener,
    guard: Arc<Guard>,
    upgraded: Upgraded,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let health = || async { StatusCode::OK };
    let app = Router::new()
        .fallback(upgrade)
        .layer(from_fn_with_state(Arc::clone(&guard), guarded))
        .route("/healthz", get(health))
        .route("/readyz", get(health))
        .layer(from_fn_with_state(guard, same_origin))
        .with_state(upgraded);
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
    axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await
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

async fn upgrade(State(upgraded): State<Upgraded>, request: Request) -> Response {
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
    upgrade
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move {
            // The server is stopping: the socket is dropped, and with it closed.
            upgraded.send(socket).await.ok();
        })
}
