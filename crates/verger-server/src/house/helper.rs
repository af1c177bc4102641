//! The keeper of one helper: starts it, notices its death, ends it, and reports the proof.

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use verger_core::ids::HelperId;
use verger_core::server::{Event, Scope, ServerName, StopHow};
use verger_mcp::{MAX_QUESTIONS, Session, SessionOptions, StderrRing};
use verger_reaper::{Custody, Helper, SpawnError, Spec, Stop};
use verger_wire::types::McpServerStartupState;
use verger_wire::{McpServerStatusUpdatedNotification, Notification};

use super::budget::{Excess, Watch};
use super::{HouseHandle, ToHouse, elicitation};
use crate::config::{EnvVar, McpServer};
use crate::shared::Shared;
use crate::thread::{ThreadHandle, ToThread};

/// Newest bytes of a helper's stderr that are kept, for error messages.
const STDERR_KEPT: usize = 16 << 10;

/// Variables of the server's own environment that every helper gets. All others are the server's business.
const INHERITED: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// What a program gets of the server's own environment: what every one does, and these.
pub(crate) fn inherited<'a>(
    more: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (OsString, OsString)> {
    let names = INHERITED.iter().copied().chain(more);
    names.filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
}

/// What one keeper knows.
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) house: HouseHandle,
    /// The owner of the thread, which tells its subscribers how the start goes.
    pub(super) owner: Option<ThreadHandle>,
    pub(super) id: HelperId,
    pub(super) scope: Scope,
    pub(super) server: ServerName,
    /// The thread's folder.
    pub(super) cwd: Option<PathBuf>,
    /// Set as soon as there is a process, for `verger ps`.
    pub(super) custody: Arc<OnceLock<Custody>>,
    pub(super) stop: watch::Receiver<Option<StopHow>>,
}

/// A helper whose process runs.
struct Running {
    custody: Custody,
    stderr: StderrRing,
    /// Read stderr until it ends, and ask what the helper asks.
    tasks: JoinSet<()>,
    budget: Watch,
}

/// Keeps a helper from its start to the proof that it is gone. Should the keeper itself fail, its helper is killed and
/// proven gone all the same.
pub(super) async fn keep(keeper: Keeper, definition: Option<Arc<McpServer>>) {
    let (house, helper, custody) = (keeper.house.clone(), keeper.id, Arc::clone(&keeper.custody));
    if AssertUnwindSafe(keeper.keep(definition)).catch_unwind().await.is_ok() {
        return;
    }
    house.tell(Event::HelperFailed { helper, message: "its keeper failed; see the server's log".to_owned() });
    if let Some(custody) = custody.get() {
        custody.stop(Stop::Kill);
        if custody.gone().await.is_err() {
            house.tell(Event::HelperStuck { helper });
            if let Err(unproven) = custody.proven().await {
                return tracing::error!(%unproven, "a helper was left unproven");
            }
        }
    }
    house.tell(Event::HelperGone { helper });
}

impl Keeper {
    async fn keep(mut self, definition: Option<Arc<McpServer>>) {
        let helper = self.id;
        self.tell(McpServerStartupState::Starting, None);
        let Some(definition) = definition else {
            let message = format!("MCP server '{}' is not configured any more", self.server);
            return self.never_ran(message);
        };
        // Not given up half-way, even if the helper is not wanted any more: only a helper that is in custody can be proven
        // gone. The reaper limits how long it takes.
        let Helper { stdin, stdout, stderr, custody } =
            match self.shared.reaper.spawn(self.spec(&definition)).await {
                Ok(helper) => helper,
                Err(error) => {
                    let message = format!("MCP server '{}': {error}", self.server);
                    return match error {
                        SpawnError::Stuck { custody, .. } => self.stuck_at_birth(message, custody).await,
                        _ => self.never_ran(message),
                    };
                }
            };
        self.custody.set(custody.clone()).ok();
        let ring = StderrRing::new(STDERR_KEPT);
        let budget = Watch::new(&definition, self.shared.reaper.tree(&custody));
        let mut running = Running { custody, stderr: ring.clone(), tasks: JoinSet::new(), budget };
        let server = self.server.clone();
        running.tasks.spawn(async move {
            if let Err(error) = ring.follow(stderr).await {
                tracing::warn!(%server, %error, "stderr of a helper is not readable any more");
            }
        });

        let mut options = SessionOptions {
            server: self.server.to_string(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            questions: None,
        };
        // Of a probe nobody could be asked.
        if let Some(owner) = &self.owner {
            let (questions, asked) = mpsc::channel(MAX_QUESTIONS);
            options.questions = Some(questions);
            let (shared, server) = (Arc::clone(&self.shared), self.server.clone());
            running.tasks.spawn(elicitation::pass_on(shared, owner.downgrade(), server, asked));
        }
        let limit = definition.startup_timeout();
        let session = tokio::select! {
            session = Session::connect(stdout, stdin, options) => session.map_err(|error| error.to_string()),
            () = tokio::time::sleep(limit) => Err(format!(
                "it did not answer within {limit:?}; raise startup_timeout_sec if it needs longer"
            )),
            () = running.custody.leader_exited() => Err("it exited before it answered `initialize`".to_owned()),
            excess = running.budget.excess() => return self.over_budget(running, None, excess).await,
            _ = stopped(&mut self.stop) => {
                self.tell(McpServerStartupState::Cancelled, None);
                return self.end(running, None).await;
            }
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                let message = format!("MCP server '{}': {error}{}", self.server, said(&running.stderr));
                self.tell(McpServerStartupState::Failed, Some(message.clone()));
                self.house.tell(Event::HelperFailed { helper, message });
                return self.end(running, None).await;
            }
        };
        let mut tools = session.watch_tools();
        self.shared.catalog.set(self.server.clone(), Arc::clone(&definition), session.tools());
        self.house.send(ToHouse::HelperReady { helper, session: session.clone() });
        self.tell(McpServerStartupState::Ready, None);

        let relisted = async {
            // Ends only with the session, which the other arms notice.
            while tools.changed().await.is_ok() {
                let tools = tools.borrow_and_update().clone();
                self.shared.catalog.set(self.server.clone(), Arc::clone(&definition), tools);
            }
            std::future::pending::<()>().await;
        };
        let idled = async {
            let Some(limit) = definition.idle_timeout else { return std::future::pending().await };
            loop {
                // Said again should the house have lent it meanwhile.
                let lent = session.idle(limit.0).await;
                self.house.tell(Event::HelperIdle { helper, lent });
            }
        };
        let excess = tokio::select! {
            () = relisted => None,
            () = idled => None,
            excess = running.budget.excess() => Some(excess),
            how = stopped(&mut self.stop) => {
                if let (StopHow::Idle, Some(limit)) = (how, definition.idle_timeout) {
                    tracing::info!(server = %self.server, thread = %self.scope.thread, "helper ends: idle for {limit}");
                }
                if how <= StopHow::AfterCalls {
                    tokio::select! {
                        () = session.drain() => None,
                        () = running.custody.leader_exited() => None,
                        () = hurried(&mut self.stop) => None,
                        excess = running.budget.excess() => Some(excess),
                    }
                } else {
                    None
                }
            }
            () = running.custody.leader_exited() => {
                tracing::warn!(server = %self.server, thread = %self.scope.thread, "helper exited by itself{}", said(&running.stderr));
                self.failed("it exited by itself", &running);
                None
            }
            () = session.ended() => {
                tracing::warn!(server = %self.server, thread = %self.scope.thread, "helper closed its stdout{}", said(&running.stderr));
                self.failed("it closed its stdout", &running);
                None
            }
        };
        match excess {
            Some(excess) => self.over_budget(running, Some(session), excess).await,
            None => self.end(running, Some(session)).await,
        }
    }

    /// Ends a helper that takes more than it may. It is killed at once: with time to leave it would take still more.
    async fn over_budget(self, running: Running, session: Option<Session>, excess: Excess) {
        let (helper, reason) = (self.id, excess.to_string());
        let (figure, limit) = excess.figures();
        tracing::warn!(server = %self.server, thread = %self.scope.thread, figure, limit, "helper killed: {reason}");
        let message = format!("MCP server '{}': {reason}", self.server);
        self.tell(McpServerStartupState::Failed, Some(message.clone()));
        self.house.tell(Event::HelperFailed { helper, message });
        if let Some(session) = &session {
            session.close_because(&reason).await;
        }
        running.custody.stop(Stop::Kill);
        self.end(running, session).await;
    }

    /// Reports a helper that was ready and has ended by itself.
    fn failed(&self, why: &str, running: &Running) {
        let message = format!("MCP server '{}': {why}{}", self.server, said(&running.stderr));
        self.house.tell(Event::HelperFailed { helper: self.id, message });
    }

    /// Ends the helper's tree and reports the proof. Its stdin is closed first: that is what a polite helper waits for.
    async fn end(mut self, mut running: Running, session: Option<Session>) {
        let helper = self.id;
        if let Some(session) = session {
            session.close().await;
        }
        let custody = running.custody.clone();
        custody.stop(if *self.stop.borrow() == Some(StopHow::Kill) { Stop::Kill } else { Stop::Orderly });
        let gone = tokio::select! {
            gone = custody.gone() => gone,
            () = killed(&mut self.stop) => {
                custody.stop(Stop::Kill);
                custody.gone().await
            }
        };
        let proof = match gone {
            Ok(gone) => Ok(gone),
            Err(unproven) => {
                tracing::error!(server = %self.server, thread = %self.scope.thread, %unproven, "helper could not be proven gone");
                self.house.tell(Event::HelperStuck { helper });
                custody.proven().await
            }
        };
        match proof {
            Ok(_) => {
                running.tasks.shutdown().await;
                running.budget.end().await;
                self.house.tell(Event::HelperGone { helper });
            }
            Err(unproven) => tracing::error!(%unproven, "a helper was left unproven"),
        }
    }

    /// Reports a start that failed and left what does not die, and in the end the proof.
    async fn stuck_at_birth(self, message: String, custody: Custody) {
        let helper = self.id;
        self.custody.set(custody.clone()).ok();
        self.tell(McpServerStartupState::Failed, Some(message.clone()));
        self.house.tell(Event::HelperFailed { helper, message });
        self.house.tell(Event::HelperStuck { helper });
        match custody.proven().await {
            Ok(_) => self.house.tell(Event::HelperGone { helper }),
            Err(unproven) => tracing::error!(server = %self.server, %unproven, "a helper was left unproven"),
        }
    }

    /// No process was ever started.
    fn never_ran(self, message: String) {
        let helper = self.id;
        self.tell(McpServerStartupState::Failed, Some(message.clone()));
        self.house.tell(Event::HelperFailed { helper, message });
        self.house.tell(Event::HelperGone { helper });
    }

    /// Tells the thread's subscribers how the start goes.
    fn tell(&self, status: McpServerStartupState, error: Option<String>) {
        let Some(owner) = &self.owner else { return };
        let thread_id = Some(self.scope.thread.to_string());
        let name = self.server.to_string();
        let update =
            McpServerStatusUpdatedNotification { thread_id, name, status, error, failure_reason: None };
        // An owner that has ended has no subscribers.
        owner.send(ToThread::Notify(Box::new(Notification::McpServerStatusUpdated(update)))).ok();
    }

    fn spec(&self, definition: &McpServer) -> Spec {
        let mut spec = Spec::new(format!("{}@{}", self.server, self.scope.thread), &definition.command);
        spec.args = definition.args.iter().map(OsString::from).collect();
        let inherited = inherited(definition.env_vars.iter().map(EnvVar::name));
        let set = definition.env.iter().map(|(name, value)| (name.into(), value.into()));
        // A later one of the same name wins.
        let env: std::collections::BTreeMap<OsString, OsString> = inherited.chain(set).collect();
        spec.env = env.into_iter().collect();
        spec.graces = definition.graces();
        spec.level = definition.level();
        spec.cwd = definition.cwd.clone().or_else(|| self.cwd.clone());
        spec
    }
}

/// Resolves when the house wants the helper ended, or is gone.
async fn stopped(stop: &mut watch::Receiver<Option<StopHow>>) -> StopHow {
    match stop.wait_for(Option::is_some).await {
        Ok(how) => how.unwrap_or(StopHow::Orderly),
        Err(_) => StopHow::Kill,
    }
}

/// Resolves when calls in flight are not waited for any more.
async fn hurried(stop: &mut watch::Receiver<Option<StopHow>>) {
    // An error means that the house is gone, which is a hurry.
    stop.wait_for(|how| matches!(how, Some(StopHow::Orderly | StopHow::Kill))).await.ok();
}

/// Resolves when the helper is to be killed.
async fn killed(stop: &mut watch::Receiver<Option<StopHow>>) {
    stop.wait_for(|how| *how == Some(StopHow::Kill)).await.ok();
}

/// The helper's last words, for a message.
fn said(stderr: &StderrRing) -> String {
    let lines = stderr.last_lines(5);
    if lines.is_empty() { String::new() } else { format!("; its stderr ends with: {}", lines.join(" | ")) }
}
