//! `verger/ps`: what runs.

use std::time::Duration;

use verger_core::server::{Bar, HelperState as CoreState, Trouble};
use verger_reaper::{HelperInfo, Level};
use verger_wire::RpcError;
use verger_wire::requests::{ContainmentLevel, HelperState, PsHelper, PsResponse, PsServer, PsThread};

use super::House;
use super::supervision::without_name;
use crate::replier::Replier;

impl House {
    /// Answers with a picture of this moment. What has to be looked up in the store and in `/proc` is looked up beside the
    /// house.
    pub(super) fn ps(&mut self, replier: Replier) {
        let shared = std::sync::Arc::clone(&self.shared);
        let loaded: Vec<_> = self.core.loaded().collect();
        let infos = shared.reaper.list();
        let mut troubles: Vec<_> = self.core.troubles(shared.clock.now()).map(|t| (t, false)).collect();
        let helpers = self.core.helpers().map(|(id, scope, server, state)| {
            let custody = self.helpers.get(&id).and_then(|slot| slot.custody.get());
            let info = infos.iter().find(|info| custody.is_some_and(|custody| custody.id() == info.id));
            let thread = Some(scope.thread).filter(|_| !self.core.is_probe(scope));
            let trouble = troubles.iter_mut().find(|(t, _)| t.thread == thread && t.server == server);
            let trouble = trouble.map(|(trouble, shown)| {
                *shown = true;
                *trouble
            });
            Known {
                id: id.0,
                scope: thread.map_or_else(|| PROBE.to_owned(), |thread| thread.to_string()),
                server: server.to_string(),
                state: shown_state(state, trouble.map(|trouble| trouble.bar)),
                info: info.cloned(),
                reason: trouble.map(|trouble| without_name(server, trouble.reason).to_owned()),
                retry_in: retry_in(trouble.map(|trouble| trouble.bar).filter(|_| state == CoreState::Queued)),
            }
        });
        let mut helpers: Vec<_> = helpers.collect();
        let barred = troubles.iter().filter(|(trouble, shown)| !shown && trouble.bar != Bar::None);
        helpers.extend(barred.map(|(trouble, _)| not_running(trouble)));
        let connections = u64::try_from(self.core.connections()).unwrap_or(u64::MAX);
        self.tasks.spawn(async move {
            let mut threads = Vec::new();
            for thread in loaded {
                // A thread that the store does not know has no preview.
                let row = shared.store.thread(thread.thread).await.ok().flatten();
                threads.push(PsThread {
                    id: thread.thread.to_string(),
                    status: shared.statuses.get(thread.thread),
                    subscribers: u64::try_from(thread.subscriptions).unwrap_or(u64::MAX),
                    generation: thread.generation.0,
                    preview: row.map(|row| row.preview).unwrap_or_default(),
                });
            }
            let looked_up = tokio::task::spawn_blocking(move || helpers.into_iter().map(helper).collect());
            let metrics = tokio::runtime::Handle::current().metrics();
            let server = PsServer {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                run: shared.run.clone(),
                uptime_sec: shared.clock.uptime().as_secs(),
                level: level(shared.reaper.level()),
                swept: u64::try_from(shared.swept).unwrap_or(u64::MAX),
                level_reason: shared.reaper.level_reason().map(str::to_owned),
            };
            let tasks = u64::try_from(metrics.num_alive_tasks()).unwrap_or(u64::MAX);
            let helpers = match looked_up.await {
                Ok(helpers) => helpers,
                Err(error) => {
                    return replier.refuse(&RpcError::internal(format!("the look at /proc failed: {error}")));
                }
            };
            replier.ok(&PsResponse { server, threads, helpers, connections, tasks });
        });
    }
}

fn level(level: Level) -> ContainmentLevel {
    match level {
        Level::Cgroup => ContainmentLevel::Cgroup,
        Level::Shim => ContainmentLevel::Shim,
        Level::Pidns => ContainmentLevel::Pidns,
    }
}

/// The scope of helpers that belong to no thread.
const PROBE: &str = "probe";

/// What the house knows of a helper.
struct Known {
    id: u64,
    scope: String,
    server: String,
    state: HelperState,
    info: Option<HelperInfo>,
    reason: Option<String>,
    retry_in: Option<Duration>,
}

fn shown_state(state: CoreState, bar: Option<Bar>) -> HelperState {
    match (state, bar) {
        (CoreState::Queued, Some(Bar::BackingOff(_))) => HelperState::BackingOff,
        (CoreState::Queued | CoreState::Starting, _) => HelperState::Starting,
        (CoreState::Ready, _) => HelperState::Running,
        (CoreState::Stopping, _) => HelperState::Stopping,
        (CoreState::Stuck, _) => HelperState::Stuck,
    }
}

fn retry_in(bar: Option<Bar>) -> Option<Duration> {
    match bar {
        Some(Bar::BackingOff(left)) => Some(left),
        _ => None,
    }
}

/// A server that failed, under the number of the helper that failed last.
fn not_running(trouble: &Trouble<'_>) -> Known {
    Known {
        id: trouble.helper.0,
        scope: trouble.thread.map_or_else(|| PROBE.to_owned(), |thread| thread.to_string()),
        server: trouble.server.to_string(),
        state: if trouble.bar == Bar::Crashed { HelperState::Crashed } else { HelperState::BackingOff },
        info: None,
        reason: Some(without_name(trouble.server, trouble.reason).to_owned()),
        retry_in: retry_in(Some(trouble.bar)),
    }
}

fn helper(known: Known) -> PsHelper {
    let Known { id, scope, server, state, info, reason, retry_in } = known;
    let usage = info.as_ref().map(|info| info.tree().usage()).unwrap_or_default();
    PsHelper {
        id,
        server,
        scope,
        pid: info.as_ref().and_then(|info| info.pid),
        state,
        level: info.as_ref().map_or(ContainmentLevel::Shim, |info| level(info.level)),
        uptime_sec: info.as_ref().map_or(0, |info| info.age.as_secs()),
        processes: usage.processes,
        rss_bytes: usage.rss_bytes,
        strays: info.as_ref().map_or(0, |info| u64::from(info.strays)),
        reason,
        retry_in_ms: retry_in.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
    }
}
