//! `verger/ps`: what runs.

use verger_core::server::HelperState as CoreState;
use verger_reaper::{HelperInfo, Level};
use verger_wire::RpcError;
use verger_wire::requests::{ContainmentLevel, HelperState, PsHelper, PsResponse, PsServer, PsThread};

use super::House;
use crate::replier::Replier;

impl House {
    /// Answers with a picture of this moment. What has to be looked up in the store and in `/proc` is looked up beside the
    /// house.
    pub(super) fn ps(&mut self, replier: Replier) {
        let shared = std::sync::Arc::clone(&self.shared);
        let loaded: Vec<_> = self.core.loaded().collect();
        let infos = shared.reaper.list();
        let helpers = self.core.helpers().map(|(id, scope, server, state)| {
            let custody = self.helpers.get(&id).and_then(|slot| slot.custody.get());
            let info = infos.iter().find(|info| custody.is_some_and(|custody| custody.id() == info.id));
            let of = if self.core.is_probe(scope) { "probe".to_owned() } else { scope.thread.to_string() };
            (id.0, of, server.to_string(), state, info.cloned())
        });
        let helpers: Vec<_> = helpers.collect();
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

type Known = (u64, String, String, CoreState, Option<HelperInfo>);

fn helper((id, scope, server, state, info): Known) -> PsHelper {
    let state = match state {
        CoreState::Queued | CoreState::Starting => HelperState::Starting,
        CoreState::Ready => HelperState::Running,
        CoreState::Stopping => HelperState::Stopping,
        CoreState::Stuck => HelperState::Stuck,
    };
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
    }
}
