//! A session with one MCP server over the pipes of one helper.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Mutex, Semaphore, mpsc, watch},
    task::JoinSet,
    time,
};

use crate::{
    CallError, ConnectError, HelperQuestion, MAX_IN_FLIGHT, Tool,
    handshake::{self, Welcome},
    protocol_task,
    question::Questions,
    shared::Shared,
};

/// A session: everyone who has a clone may call tools, all at once.
///
/// It never starts or ends a process. It ends when the helper's stdout ends, on [`Session::close`], or when the last
/// clone is dropped; every request still under way is then answered with an error, and the pipes are closed.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
    /// Of one that was lent, and of its clones.
    loan: Option<Arc<InUse>>,
}

/// Who talks to whom.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// The server's name in the configuration: in every error and log line.
    pub server: String,
    /// Verger's version, told to the server.
    pub client_version: String,
    /// Where the helper's questions go; it is told that it may ask. Without it, that it may not. A channel for
    /// [`MAX_QUESTIONS`](crate::MAX_QUESTIONS); it closes with the session.
    pub questions: Option<mpsc::Sender<HelperQuestion>>,
}

struct Inner {
    shared: Arc<Shared>,
    welcome: Welcome,
    /// A permit for each request under way.
    room: Semaphore,
    draining: AtomicBool,
    /// Who uses the session, for [`Session::idle`].
    activity: watch::Sender<Activity>,
    /// Holds the one protocol task. Aborts it when dropped.
    task: Mutex<JoinSet<()>>,
}

/// How much a session is used.
#[derive(Clone, Copy, Debug, Default)]
struct Activity {
    /// How often it was lent.
    lent: u64,
    /// How many loans, calls and other requests there are that have not ended.
    in_use: u32,
}

/// One loan, call or other request, from its beginning to its end.
struct InUse(Arc<Inner>);

impl InUse {
    fn new(inner: &Arc<Inner>, loans: u64) -> Self {
        inner.activity.send_modify(|activity| {
            activity.lent += loans;
            activity.in_use += 1;
        });
        Self(Arc::clone(inner))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.activity.send_modify(|activity| activity.in_use -= 1);
    }
}

impl Session {
    /// Introduces Verger to the server and reads its tools. Unbounded in time: the caller sets the limit, and may
    /// drop this at any point, which closes both pipes.
    ///
    /// # Errors
    ///
    /// When the helper ends first, refuses, or does not speak MCP as far as `initialize` and `tools/list` go.
    pub async fn connect<R, W>(stdout: R, stdin: W, options: SessionOptions) -> Result<Self, ConnectError>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::new(Shared::new(options.server, Questions::new(options.questions)));
        let mut task = JoinSet::new();
        task.spawn(protocol_task::run(Arc::clone(&shared), stdout, stdin));
        let welcome = handshake::introduce(&shared, &options.client_version).await?;
        if welcome.has_tools() {
            shared.refresh_tools().await.map_err(|error| error.while_connecting("tools/list"))?;
        }
        let room = Semaphore::new(MAX_IN_FLIGHT as usize);
        let (draining, activity) = (AtomicBool::new(false), watch::Sender::default());
        let inner = Inner { shared, welcome, room, draining, activity, task: Mutex::new(task) };
        Ok(Self { inner: Arc::new(inner), loan: None })
    }

    /// A clone for someone who is about to call. It is counted, and as long as it lives the session is not idle.
    #[must_use]
    pub fn lend(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), loan: Some(Arc::new(InUse::new(&self.inner, 1))) }
    }

    /// Resolves when no call or other request has been under way for `limit`, and no loan; how often it was lent by then.
    pub async fn idle(&self, limit: Duration) -> u64 {
        let mut activity = self.inner.activity.subscribe();
        loop {
            let seen = *activity.borrow_and_update();
            let changed = activity.changed();
            if seen.in_use > 0 {
                // The sender is this session's own.
                changed.await.ok();
            } else if time::timeout(limit, changed).await.is_err() {
                return seen.lent;
            }
        }
    }

    /// The server's name in the configuration.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.inner.shared.server
    }

    /// The tools, as last listed.
    #[must_use]
    pub fn tools(&self) -> Arc<[Tool]> {
        self.inner.shared.tools.borrow().clone()
    }

    /// The tools, to be followed: marked changed whenever the server announced a change and they were read again.
    #[must_use]
    pub fn watch_tools(&self) -> watch::Receiver<Arc<[Tool]>> {
        self.inner.shared.tools.subscribe()
    }

    /// `serverInfo` of the server's `initialize` answer, whole.
    #[must_use]
    pub fn server_info(&self) -> Value {
        self.inner.welcome.server_info().clone()
    }

    /// `capabilities` of the server's `initialize` answer, whole.
    #[must_use]
    pub fn capabilities(&self) -> Value {
        self.inner.welcome.capabilities().clone()
    }

    /// `instructions` of the server's `initialize` answer: how to use it, for the model.
    #[must_use]
    pub fn instructions(&self) -> Option<&str> {
        self.inner.welcome.instructions()
    }

    /// The version of MCP that the server answered with.
    #[must_use]
    pub fn protocol_version(&self) -> &str {
        self.inner.welcome.version()
    }

    /// Lines on the helper's stdout that were no messages, so far.
    #[must_use]
    pub fn noise(&self) -> u64 {
        self.inner.shared.noise_count()
    }

    /// Calls a tool; the whole `CallToolResult` as the server wrote it, also when that says `isError`.
    ///
    /// `arguments` is an object or nothing; `meta`, an object, becomes the request's `_meta`. Dropping the future
    /// tells the server that nobody waits any more. A call is sent once or not at all, never twice.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. `timeout` covers everything, waiting for room too, and ends this call only. It stands still while
    /// the helper has a question open: people take longer than tools.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Option<Value>,
        meta: Option<Value>,
        timeout: Duration,
    ) -> Result<Value, CallError> {
        let mut params = Map::new();
        params.insert("name".to_owned(), tool.into());
        self.insert_object(&mut params, "arguments", arguments)?;
        self.insert_object(&mut params, "_meta", meta)?;
        if !self.inner.shared.tools.borrow().iter().any(|known| known.name == tool) {
            return Err(CallError::UnknownTool { server: self.server().to_owned(), tool: tool.to_owned() });
        }
        self.bounded(tool, timeout, self.ask("tools/call", params.into())).await
    }

    /// Sends any other request, `prompts/get` say; the whole result as the server wrote it.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn request(&self, method: &str, params: Value, timeout: Duration) -> Result<Value, CallError> {
        self.bounded(method, timeout, self.ask(method, params)).await
    }

    /// Reads one resource: `ReadResourceResult`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn read_resource(&self, uri: &str, timeout: Duration) -> Result<Value, CallError> {
        self.request("resources/read", json!({ "uri": uri }), timeout).await
    }

    /// One page of resources: `ListResourcesResult`. `cursor` is the `nextCursor` of the page before.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn list_resources(&self, cursor: Option<&str>, timeout: Duration) -> Result<Value, CallError> {
        self.request("resources/list", page(cursor), timeout).await
    }

    /// One page of resource templates: `ListResourceTemplatesResult`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn list_resource_templates(
        &self,
        cursor: Option<&str>,
        timeout: Duration,
    ) -> Result<Value, CallError> {
        self.request("resources/templates/list", page(cursor), timeout).await
    }

    /// Refuses new requests from now on, for good, and resolves when none is under way. The caller sets the limit.
    pub async fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
        // Requests that were accepted before hold a permit or wait for one ahead of this.
        let all = self.inner.room.acquire_many(MAX_IN_FLIGHT).await;
        if all.is_ok() {
            self.inner.room.close();
        }
    }

    /// Resolves when the session is over: the helper's stdout ended, or it was closed. A helper can die without
    /// this, when a child of its holds stdout open; watch its process, too.
    pub async fn ended(&self) {
        self.inner.shared.ended.cancelled().await;
    }

    /// Ends the session: closes both pipes, so that the helper reads the end of its stdin, and fails what is under
    /// way with [`CallError::HelperGone`]. Resolves when that is done, at once even if the helper reads nothing.
    pub async fn close(&self) {
        self.inner.shared.closing.cancel();
        while let Some(ended) = self.inner.task.lock().await.join_next().await {
            if let Err(error) = ended {
                tracing::error!(server = %self.server(), %error, "the protocol task failed; its pipes are closed");
            }
        }
    }

    /// As [`Session::close`], but what is under way fails with [`CallError::Ended`] and this reason.
    pub async fn close_because(&self, reason: &str) {
        self.inner.shared.ledger.end_because(reason.to_owned());
        self.close().await;
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, CallError> {
        let draining = || CallError::Draining { server: self.server().to_owned() };
        if self.inner.draining.load(Ordering::Acquire) {
            return Err(draining());
        }
        let _room = self.inner.room.acquire().await.map_err(|_closed| draining())?;
        self.inner.shared.ask(method, &params).await
    }

    async fn bounded(
        &self,
        request: &str,
        limit: Duration,
        answer: impl Future<Output = Result<Value, CallError>>,
    ) -> Result<Value, CallError> {
        let _in_use = InUse::new(&self.inner, 0);
        self.patiently(limit, answer).await.unwrap_or_else(|| {
            Err(CallError::Timeout { server: self.server().to_owned(), request: request.to_owned(), limit })
        })
    }

    /// What comes within `limit`, during which the helper has no question open.
    async fn patiently<T>(&self, limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
        let mut questions = self.inner.shared.questions.count();
        let mut left = limit;
        tokio::pin!(answer);
        loop {
            let is_asking = *questions.borrow_and_update() > 0;
            let begun = time::Instant::now();
            tokio::select! {
                answer = &mut answer => return Some(answer),
                () = time::sleep(left), if !is_asking => return None,
                // The sender is this session's own.
                Ok(()) = questions.changed() => {}
            }
            if !is_asking {
                left = left.saturating_sub(begun.elapsed());
            }
        }
    }

    fn insert_object(
        &self,
        into: &mut Map<String, Value>,
        name: &str,
        value: Option<Value>,
    ) -> Result<(), CallError> {
        match value {
            None | Some(Value::Null) => Ok(()),
            Some(object @ Value::Object(_)) => {
                into.insert(name.to_owned(), object);
                Ok(())
            }
            Some(_) => {
                let problem = format!("'{name}' must be an object");
                Err(CallError::BadArguments { server: self.server().to_owned(), problem })
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.inner.shared.ended.is_cancelled();
        f.debug_struct("Session")
            .field("server", &self.server())
            .field("ended", &ended)
            .field("lent", &self.loan.is_some())
            .finish_non_exhaustive()
    }
}

fn page(cursor: Option<&str>) -> Value {
    cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }))
}
