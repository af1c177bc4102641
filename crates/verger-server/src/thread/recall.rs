//! What an owner looks up in its thread's past, when it is needed and no sooner: what was spent, which requests were
//! taken, and what became of a turn.

use std::collections::HashMap;

use verger_core::ids::Ticket;
use verger_core::thread::{REMEMBERED_REQUESTS, Record, Seal, Spent, in_view};
use verger_wire::RpcError;
use verger_wire::requests::TurnStartResponse;
use verger_wire::types::TurnItemsView;

use super::log::Log;
use super::owner::{Asker, Owner};

/// Records that are passed over, at most, in search of what a thread has spent: every answer of a model writes it anew.
const NEAR: u32 = 2_000;
/// The same in search of requests.
const FAR: u32 = 20_000;

/// What the log says was spent. The error is for people.
pub(super) async fn spent(log: &Log) -> Result<Option<Spent>, String> {
    let last = log.latest(Record::TOKENS_SPENT, NEAR, 1).await?;
    Ok(last.into_iter().find_map(|record| match record {
        Record::TokensSpent(spent) => Some(spent),
        _ => None,
    }))
}

/// The thoughts that this provider can read again, by their items' ids.
pub(super) fn seals(records: &[Record], provider: &str) -> HashMap<String, Seal> {
    let sealed = records.iter().filter_map(|record| match record {
        Record::ThoughtSealed { item, seal, .. } if seal.provider == provider => {
            Some((item.clone(), seal.clone()))
        }
        _ => None,
    });
    sealed.collect()
}

impl Owner {
    /// Whether a turn has taken this request before.
    pub(super) async fn has_taken(&mut self, request: Option<&str>) -> Result<bool, String> {
        let Some(request) = request else { return Ok(false) };
        if !self.knows_requests {
            let thread = self.meta.id.to_string();
            let mut records = self.log.latest(Record::REQUEST_TAKEN, FAR, REMEMBERED_REQUESTS).await?;
            records.reverse();
            let taken = records.into_iter().filter_map(|record| match record {
                Record::RequestTaken { turn, request, thread: by } if by == thread => Some((request, turn)),
                _ => None,
            });
            self.machine.has_taken(taken);
            self.knows_requests = true;
        }
        Ok(self.machine.turn_of(request).is_some())
    }

    /// Answers a `turn/start` with an earlier turn as it is now, beside the owner.
    pub(super) fn recall(&mut self, ticket: Ticket, id: String) {
        // Only `turn/start` has ids for its requests.
        let Some(Asker::Start(replier)) = self.tickets.remove(&ticket) else { return };
        let log = self.log.until_now();
        self.errands.spawn(async move {
            let turn = log.turn(&id).await.and_then(|turn| {
                turn.ok_or_else(|| format!("turn {id} took this request, and is not in the log any more"))
            });
            let turn = turn.map(|turn| in_view(turn, TurnItemsView::NotLoaded));
            replier.with(turn.map(|turn| TurnStartResponse { turn }).map_err(RpcError::internal));
        });
    }
}
