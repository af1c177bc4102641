//! The reaper's one task: it alone starts shims, keeps their keepers, and tells orphans from newborns.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use verger_shim::protocol::ProtocolError;

use crate::adopt::{AdoptRequest, adopt};
use crate::channel::Channel;
use crate::custody::Facts;
use crate::helper::{Keeper, Limits};
use crate::reaper::{Entry, Shared, SpawnRequest};
use crate::remains::Remains;
use crate::shim::Image;
use crate::strangers::Strangers;
use crate::{HelperState, Level, SpawnError};

pub(crate) struct Task {
    image: Image,
    adopt_all: bool,
    limits: Limits,
    shared: Arc<Shared>,
    adoptions: mpsc::Sender<AdoptRequest>,
    keepers: JoinSet<()>,
    kept: HashMap<task::Id, Kept>,
    next_id: u64,
}

/// What a keeper keeps: known here even if the keeper panics.
struct Kept {
    id: u64,
    shim: u32,
    shim_started: u64,
}

impl Task {
    pub(crate) fn new(
        image: Image,
        adopt_all: bool,
        limits: Limits,
        shared: Arc<Shared>,
        adoptions: mpsc::Sender<AdoptRequest>,
    ) -> Self {
        let (keepers, kept) = (JoinSet::new(), HashMap::new());
        Self { image, adopt_all, limits, shared, adoptions, keepers, kept, next_id: 1 }
    }

    /// Until shutdown began, or every handle was dropped, and every keeper has ended.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<SpawnRequest>,
        mut adopting: mpsc::Receiver<AdoptRequest>,
    ) {
        let mut stop_all = self.shared.stop_all.subscribe();
        let mut strangers = Strangers::watch(self.adopt_all);
        let mut ending = false;
        while !ending || !self.keepers.is_empty() {
            tokio::select! {
                request = requests.recv(), if !ending => match request {
                    Some(request) => self.spawn(request),
                    None => ending = true,
                },
                Some(request) = adopting.recv() => self.adopt(request),
                Some(ended) = self.keepers.join_next_with_id() => self.forget(ended),
                () = strangers.may_have_exited() => strangers.reap(&self.shims()),
                _ = stop_all.wait_for(Option::is_some), if !ending => ending = true,
            }
        }
        // Requests that are still queued are dropped with the channel: their callers hear of shutdown.
        drop(requests);
        if let Ok(group) = &self.shared.containment
            && let Err(e) = group.remove()
        {
            tracing::warn!(path = %group.path().display(), "the run's cgroup stays for the next sweep: {e}");
        }
    }

    fn spawn(&mut self, request: SpawnRequest) {
        let SpawnRequest { name, graces, level, start, mut birth } = request;
        if birth.reply.is_closed() {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let begun = || {
            let failed = |doing| move |source: io::Error| SpawnError::Resources { doing, source };
            let leaf = match &self.shared.containment {
                Ok(group) if level == Level::Cgroup => {
                    let leaf = group.leaf(id).map_err(failed("create the helper's cgroup"))?;
                    birth.fds.push(leaf.dir().map_err(failed("open the helper's cgroup"))?);
                    Some(leaf)
                }
                _ => None,
            };
            let pidns = level == Level::Pidns;
            let start = verger_shim::protocol::Start { cgroup: leaf.is_some(), pidns, ..start };
            let frame = start.encode().map_err(|e| match e {
                ProtocolError::Length(bytes) => SpawnError::TooLong(bytes),
                e => failed("describe the helper")(io::Error::other(e)),
            })?;
            let (shim, socket) = self.image.start(&name, &self.shared.token)?;
            Ok((frame, leaf, shim, socket))
        };
        let (frame, leaf, shim, socket) = match begun() {
            Ok(begun) => begun,
            Err(e) => {
                birth.reply.send(Err(e)).ok();
                return;
            }
        };
        let (facts, known) = watch::channel(Facts {
            state: HelperState::Starting,
            pid: None,
            init_pid: None,
            level,
            leader_exited: false,
            strays: 0,
            outcome: None,
        });
        let kept = Kept { id, shim: shim.pid, shim_started: shim.started };
        let entry = Entry { name: name.clone(), shim_pid: shim.pid, started: Instant::now(), facts: known };
        self.shared.book().insert(id, entry);
        let keeper = Keeper {
            id,
            name,
            graces,
            limits: self.limits,
            channel: Channel::new(socket),
            remains: Remains::new(shim, leaf, self.adoptions.clone()),
            facts,
            stop_all: self.shared.stop_all.subscribe(),
            leader: None,
            kill_from: None,
            shim_killed: false,
            empty: None,
            stray_names: Vec::new(),
        };
        let handle = self.keepers.spawn(keeper.keep(frame, birth));
        self.kept.insert(handle.id(), kept);
    }

    /// The shims that live or are for their keepers to collect: pid and start time.
    fn shims(&self) -> HashMap<u32, u64> {
        self.kept.values().map(|kept| (kept.shim, kept.shim_started)).collect()
    }

    fn adopt(&self, request: AdoptRequest) {
        let adopted = adopt(request.dead, &self.shims(), &self.shared.token, self.adopt_all);
        // A keeper that has given up waiting asks again if it wants to know.
        request.reply.send(adopted).ok();
    }

    fn forget(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(e) => {
                tracing::error!("a keeper failed; its helper was killed without proof: {e}");
                e.id()
            }
        };
        if let Some(kept) = self.kept.remove(&task) {
            self.shared.book().remove(&kept.id);
        }
    }
}
