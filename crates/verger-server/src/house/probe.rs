//! `mcpServer/resource/read` without a thread: a helper for one request, proven gone before the answer (K2).

use std::path::PathBuf;

use tokio::sync::oneshot;
use uuid::Uuid;
use verger_core::ids::{ConnectionId, ThreadId, Ticket};
use verger_core::server::{Event, ServerName};
use verger_wire::RpcError;
use verger_wire::requests::McpResourceReadResponse;

use super::{Asked, House, Pending, ToHouse, Waiter};
use crate::replier::Replier;
use crate::thread::read_resource;

/// What came of it; told when the helper is gone.
pub(crate) type Probed = Result<McpResourceReadResponse, RpcError>;

impl House {
    pub(super) fn probe(
        &mut self,
        connection: ConnectionId,
        replier: Replier,
        server: String,
        uri: String,
        folder: Option<PathBuf>,
    ) {
        let name = ServerName::from(server.as_str());
        let Some(definition) = self.shared.config().mcp_server(&name).cloned() else {
            return replier.refuse(&RpcError::unknown_mcp_server(&server));
        };
        let ticket = self.next_ticket();
        let (answer, answered) = oneshot::channel();
        self.wanted.insert(ticket, Waiter { answer, server: name.clone(), scope: None });
        let patience = definition.startup_timeout();
        self.pending.insert(ticket, Pending { replier, request: Asked::Probe });
        let house = self.handle.clone();
        self.tasks.spawn(async move {
            let session = answered.await.unwrap_or_else(|_| Err("the server is stopping".to_owned()));
            let result = match session {
                Ok(session) => read_resource(&session, &server, &uri, definition.tool_timeout()).await,
                Err(why) => Err(RpcError::resource_read_failed(&server, &uri, why)),
            };
            house.send(ToHouse::Probed { ticket, result });
        });
        let thread = ThreadId(Uuid::now_v7());
        self.probe_folders.extend(folder.map(|folder| (thread, folder)));
        self.decide(Event::Probe { ticket, connection, thread, server: name, patience });
        self.drop_probe_folders();
    }

    pub(super) fn probed(&mut self, ticket: Ticket, result: Probed) {
        if self.pending.contains_key(&ticket) {
            self.probed.insert(ticket, result);
        }
        self.decide(Event::ProbeDone { ticket });
        self.drop_probe_folders();
    }

    /// Forgets the folders of those that will never start; one that backs off still needs its own.
    fn drop_probe_folders(&mut self) {
        let core = &self.core;
        self.probe_folders.retain(|thread, _| core.helpers().any(|(_, scope, ..)| scope.thread == *thread));
    }

    pub(super) fn answer_probe(&mut self, ticket: Ticket) {
        let Some(result) = self.probed.remove(&ticket) else { return };
        if let Some(Pending { replier, .. }) = self.pending.remove(&ticket) {
            replier.with(result);
        }
    }
}
