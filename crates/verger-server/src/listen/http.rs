//! HTTP over the connections of a listener. Unlike `axum::serve` it ends those that do not say what they want in time.

use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::progress::{Counted, Counting};
use super::socket::Socket;

/// Connections that are not upgraded yet; more wait in the kernel.
const HANDSHAKES: usize = 1024;

/// Takes connections until the shutdown, then waits for requests under way.
pub(super) async fn serve<L: Listener<Io: Into<Socket>>>(
    mut listener: Counting<L>,
    app: Router,
    handshake: Duration,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, _) = listener.accept(), if connections.len() < HANDSHAKES => {
                connections.spawn(connection(stream, app.clone(), handshake, shutdown.clone()));
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection failed");
                }
            }
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers requests until one of them is an upgrade, or until none came in time.
async fn connection(stream: Counted, app: Router, handshake: Duration, shutdown: CancellationToken) {
    let progress = stream.progress();
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(progress.clone()));
        app.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(handshake);
    let serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended before it was upgraded");
    }
}
