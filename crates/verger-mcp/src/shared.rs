//! What a session's handles and its protocol task both hold.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{CallError, Tool, catalog, ledger::Ledger, question::Questions};

/// State of one session, without its task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) server: String,
    pub(crate) ledger: Ledger,
    /// What the helper asks.
    pub(crate) questions: Questions,
    /// The newest catalog. Holds one value; closed when the session is dropped.
    pub(crate) tools: watch::Sender<Arc<[Tool]>>,
    /// Rings when the helper says that its tools changed. Its one listener is the protocol task; rings while it is
    /// busy add up to one.
    pub(crate) tools_changed: Notify,
    /// Cancelled to end the session.
    pub(crate) closing: CancellationToken,
    /// Cancelled once the pipes are closed and every caller has its answer.
    pub(crate) ended: CancellationToken,
    noise: AtomicU64,
}

impl Shared {
    pub(crate) fn new(server: String, questions: Questions) -> Self {
        Self {
            ledger: Ledger::new(server.clone()),
            server,
            questions,
            tools: watch::Sender::new(Arc::new([])),
            tools_changed: Notify::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
            noise: AtomicU64::new(0),
        }
    }

    /// One request, answered with an object, however long it takes.
    pub(crate) async fn ask(&self, method: &str, params: &Value) -> Result<Value, CallError> {
        let result = self.ledger.ask(method, params, method != "initialize")?.answer().await?;
        if !result.is_object() {
            return Err(self.malformed(format!("the result of '{method}' is not an object")));
        }
        Ok(result)
    }

    /// Reads the whole tool list and makes it the catalog.
    pub(crate) async fn refresh_tools(&self) -> Result<(), CallError> {
        let tools = catalog::list(self).await?;
        self.tools.send_replace(tools);
        Ok(())
    }

    pub(crate) fn malformed(&self, problem: String) -> CallError {
        CallError::Malformed { server: self.server.clone(), problem }
    }

    /// Counts and logs something on stdout that is no message.
    pub(crate) fn noise(&self, what: &[u8]) {
        const SHOWN: usize = 200;
        self.noise.fetch_add(1, Ordering::Relaxed);
        let shown = String::from_utf8_lossy(&what[..what.len().min(SHOWN)]);
        tracing::debug!(server = %self.server, bytes = what.len(), line = %shown, "not a message, on stdout");
    }

    pub(crate) fn noise_count(&self) -> u64 {
        self.noise.load(Ordering::Relaxed)
    }
}
