//! `thread/revert`: where the forgotten begins, and what is answered once that is durable.

use verger_core::ids::{Seq, Ticket};
use verger_core::thread::{Event, Record};
use verger_wire::RpcError;
use verger_wire::requests::ThreadRevertResponse;
use verger_wire::types::ThreadItem;

use super::owner::{Asker, Owner};
use super::turns::preview;
use super::walk::{Walk, WalkError};
use crate::replier::Replier;

/// Records that are read at once in search of a thread's first message, which is among its first.
const AT_ONCE: u32 = 8;

/// What is left of a thread.
struct Left {
    /// The last record.
    upto: Seq,
    preview: String,
    /// Unix seconds at which its last turn began.
    recency_at: Option<i64>,
}

impl Owner {
    /// Looks for the turn and lets the machine decide. The owner does nothing else meanwhile, so there is one revert at a
    /// time.
    pub(super) async fn revert(&mut self, ticket: Ticket, replier: Replier, turn: String) {
        if self.meta.ephemeral {
            return replier.refuse(&RpcError::ephemeral_without("thread/revert"));
        }
        let left = match self.log.walk() {
            None => Ok(None),
            Some(walk) => left(&walk, &turn).await,
        };
        match left {
            Ok(Some(Left { upto, preview, recency_at })) => {
                if self.machine.active_turn().is_none() {
                    self.meta.preview = preview;
                    self.meta.recency_at = recency_at.unwrap_or(self.meta.created_at);
                }
                self.tickets.insert(ticket, Asker::Revert(replier));
                self.handle(Event::Revert { ticket, turn, upto }).await;
                self.knows_requests = false;
                if let Err(error) = self.recall_tokens().await {
                    tracing::warn!(thread = %self.meta.id, error, "what is left was not counted");
                }
            }
            Ok(None) if self.log.is_empty() => replier.refuse(&RpcError::no_rollout(self.meta.id)),
            Ok(None) => replier.refuse(&RpcError::turn_not_found(turn)),
            Err(error) => replier.refuse(&RpcError::internal(error.to_string())),
        }
    }

    /// Answers with the thread as it is now, and where its turns and items are.
    pub(super) async fn reverted(&mut self, replier: Replier) {
        self.joining.void();
        let newest = match self.picture() {
            Some(picture) => picture.newest().await,
            None => Ok([None, None]),
        };
        match newest {
            Ok([turns_backwards_cursor, items_backwards_cursor]) => replier.ok(&ThreadRevertResponse {
                thread: self.meta.to_wire(self.machine.status(), Vec::new()),
                turns_backwards_cursor,
                items_backwards_cursor,
            }),
            Err(error) => replier.refuse(&RpcError::internal(error.to_string())),
        }
    }
}

/// What is left without `turn` and what follows it; nothing if there is no such turn.
async fn left(walk: &Walk, turn: &str) -> Result<Option<Left>, WalkError> {
    let Some(start) = walk.locate(turn).await? else { return Ok(None) };
    let walk = Walk { head: Seq(start.0 - 1), ..walk.clone() };
    let last = walk.last(Record::TURN_STARTED).await?;
    let recency_at = match last {
        Some((_, Record::TurnStarted { at, .. })) => Some(at.div_euclid(1000)),
        _ => None,
    };
    Ok(Some(Left { upto: walk.head, preview: first_words(&walk).await?, recency_at }))
}

/// What a list shows of the thread's first message.
async fn first_words(walk: &Walk) -> Result<String, WalkError> {
    let mut after = Seq(0);
    while after < walk.head {
        let upto = Seq(after.0.saturating_add(AT_ONCE));
        for (_, record) in walk.records(after, upto).await? {
            if let Record::ItemCompleted { item: ThreadItem::UserMessage(message), .. } = record {
                return Ok(preview(&message.content));
            }
        }
        after = upto;
    }
    Ok(String::new())
}
