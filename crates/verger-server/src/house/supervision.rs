//! What clients learn of servers that failed: why none is started now, and `verger/helper/restart`.

use verger_core::ids::{Generation, ThreadId, Ticket};
use verger_core::server::{Refusal, Scope, ServerName};
use verger_wire::requests::HelperRestartResponse;
use verger_wire::types::McpServerStartupState;
use verger_wire::{McpServerStatusUpdatedNotification, Notification, RpcError};

use super::{House, Pending};
use crate::thread::ToThread;

impl House {
    /// A server failed too often.
    pub(super) fn helper_crashed(&self, scope: Scope, server: &ServerName, refusal: &Refusal) {
        let thread = Some(scope.thread).filter(|_| !self.core.is_probe(scope));
        let Some(message) = why_not_started(server, thread, refusal) else { return };
        tracing::error!(%server, thread = %scope.thread, "{message}");
        self.tell_failed(scope.generation, scope.thread, server, message);
    }

    /// A helper was wanted, and no start was tried. The thread's subscribers are told as they are of a start that fails.
    pub(super) fn not_started(&self, scope: Scope, server: &ServerName, refusal: &Refusal) {
        if let Some(message) = why_not_started(server, Some(scope.thread), refusal) {
            tracing::warn!(%server, thread = %scope.thread, "{message}");
            self.tell_failed(scope.generation, scope.thread, server, message);
        }
    }

    fn tell_failed(&self, generation: Generation, thread: ThreadId, server: &ServerName, message: String) {
        let Some(owner) = self.threads.get(&generation) else { return };
        let update = McpServerStatusUpdatedNotification {
            thread_id: Some(thread.to_string()),
            name: server.to_string(),
            status: McpServerStartupState::Failed,
            error: Some(message),
            failure_reason: None,
        };
        // An owner that has ended has no subscribers.
        owner.send(ToThread::Notify(Box::new(Notification::McpServerStatusUpdated(update)))).ok();
    }

    /// Whether there is anything that a restart could mean.
    pub(super) fn check_restart(
        &self,
        server: &ServerName,
        thread: Option<ThreadId>,
    ) -> Result<(), RpcError> {
        let now = self.shared.clock.now();
        let has_failed = |of: Option<ThreadId>| {
            self.core.troubles(now).any(|t| t.server == server && (of.is_none() || t.thread == of))
        };
        let runs = || self.core.helpers().any(|(_, _, name, _)| name == server);
        if !self.shared.config().mcp_servers.contains_key(server) && !runs() && !has_failed(None) {
            return Err(RpcError::unknown_mcp_server(&server.0));
        }
        match thread {
            Some(thread) if self.core.owner_of(thread).is_none() && !has_failed(Some(thread)) => {
                Err(RpcError::thread_not_found(thread))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn answer_restart(&mut self, ticket: Ticket, ended: usize, forgiven: usize) {
        let Some(Pending { replier, .. }) = self.pending.remove(&ticket) else { return };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        replier.ok(&HelperRestartResponse { ended: count(ended), forgiven: count(forgiven) });
    }
}

/// Why no start of the server is tried, and what to do, for people; `None` for other refusals. `thread` is none for a
/// request without one.
pub(super) fn why_not_started(
    server: &ServerName,
    thread: Option<ThreadId>,
    refusal: &Refusal,
) -> Option<String> {
    Some(match refusal {
        Refusal::BackingOff { reason, left } => format!(
            "MCP server '{server}' is backing off and is tried again in {:.1} s; it failed last: {}",
            left.as_secs_f64(),
            without_name(server, reason)
        ),
        Refusal::Crashed { reason, failures } => {
            let of_thread = thread.map(|thread| format!(" --thread {thread}")).unwrap_or_default();
            format!(
                "MCP server '{server}' has crashed: it failed {failures} times and is not started any more; it failed \
                 last: {}; mend it, then run `verger helper restart {server}{of_thread}` or reload the configuration",
                without_name(server, reason)
            )
        }
        Refusal::TooManyHelpers { limit } => format!(
            "MCP server '{server}' is not started: {limit} helpers run, and max_helpers = {limit} in [helpers] allows no \
             more; close threads that need none (`verger ps` shows what runs), or raise it"
        ),
        _ => return None,
    })
}

/// A reason without the name of its server, where that has been said.
pub(super) fn without_name<'a>(server: &ServerName, reason: &'a str) -> &'a str {
    reason.strip_prefix(&format!("MCP server '{server}': ")).unwrap_or(reason)
}
