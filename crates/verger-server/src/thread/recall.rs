//! What an owner looks up in its thread's past, when it is needed and no sooner: what was spent, which requests were
//! taken, and what became of a turn.

use verger_core::ids::Ticket;
use verger_core::thread::{REMEMBERED_REQUESTS, Record, Spent, in_view};
use verger_wire::RpcError;
use verger_wire::requests::TurnStartResponse;
use verger_wire::types::TurnItemsView;

use super::log::Log;
use super::owner::{Asker, Owner};

/// What the log says was spent. The error is for people.
async fn spent(log: &Log) -> Result<Option<Spent>, String> {
    let last = log.latest(Record::TOKENS_SPENT, 1).await?;
    Ok(last.into_iter().find_map(|record| match record {
        Record::TokensSpent(spent) => Some(spent),
        _ => None,
    }))
}

impl Owner {
    /// Tells the machine what the log says of tokens. The error is for people.
    pub(super) async fn recall_tokens(&mut self) -> Result<(), String> {
        let (spent, held) = (spent(&self.log).await?, self.log.held().await?);
        self.machine.has_spent(spent);
        self.machine.holds(held);
        Ok(())
    }

    /// Whether a turn has taken this request before.
    pub(super) async fn has_taken(&mut self, request: Option<&str>) -> Result<bool, String> {
        let Some(request) = request else { return Ok(false) };
        if !self.knows_requests {
            let thread = self.meta.id.to_string();
            let mut records = self.log.latest(Record::REQUEST_TAKEN, REMEMBERED_REQUESTS).await?;
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
