//! What an answer shows of a thread's past: read and encoded beside the owner, and put into any number of answers as it is.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use verger_core::thread::{UnderWay, turns};
use verger_wire::RpcError;
use verger_wire::requests::ThreadTurnsListResponse;

use super::log::UntilNow;
use super::pages::{Picture, TurnsQuery};
use super::walk::WalkError;

/// How much of a thread's turns an answer carries, in bytes as they are kept. Clients page through the rest.
const TURNS_BYTES: usize = 8 << 20;

/// Which parts of a thread's past an answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct View {
    pub(super) turns: bool,
    pub(super) page: Option<TurnsQuery>,
    /// Cursors to the newest turn and the newest item.
    pub(super) newest: bool,
}

/// What an answer shows of a thread's past. The large parts are JSON already.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) turns: Option<Box<RawValue>>,
    /// The page that was asked for.
    pub(super) first: Option<Box<RawValue>>,
    /// Cursors to the newest turn and the newest item.
    pub(super) newest: [Option<String>; 2],
    /// Cursor to the turns before those in the answer, where it does not hold all.
    pub(super) older: Option<String>,
}

/// A thread as it was at some moment.
pub(super) enum Moment {
    Stored(Picture),
    /// In no store. With the active turn as far as it had come.
    Unstored(UntilNow, Option<UnderWay>),
}

/// An answer with the large parts of it in their places as they are.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    thread: ThreadWithTurns<'a>,
    #[serde(rename = "initialTurnsPage", skip_serializing_if = "Option::is_none")]
    first: Option<&'a RawValue>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Serialize)]
struct ThreadWithTurns<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<&'a RawValue>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

// === impl Past ===

impl Past {
    /// The error is for people.
    pub(super) async fn draw(moment: Moment, view: View) -> Result<Self, String> {
        let said = |error: WalkError| error.to_string();
        let mut past = Self::default();
        let picture = match moment {
            Moment::Stored(picture) => picture,
            Moment::Unstored(log, active) => {
                // It has no pages, but an empty one for who asked.
                past.first = view.page.map(|_| raw(&ThreadTurnsListResponse::default())).transpose()?;
                if view.turns {
                    past.turns = Some(raw(&turns(log.read().await?, active.as_ref()))?);
                }
                return Ok(past);
            }
        };
        if view.turns {
            let (turns, older) = picture.newest_turns(TURNS_BYTES).await.map_err(said)?;
            (past.turns, past.older) = (Some(raw(&turns)?), older);
        }
        if let Some(query) = &view.page {
            past.first = Some(raw(&picture.turns(query).await.map_err(said)?)?);
        }
        if view.newest {
            past.newest = picture.newest().await.map_err(said)?;
        }
        Ok(past)
    }
}

// === impl Answer ===

impl<'a> Answer<'a> {
    /// Puts them into an answer that was made without.
    pub(super) fn of(answer: &impl Serialize, past: &'a Past) -> Result<Self, RpcError> {
        let encoded = serde_json::to_value(answer).and_then(serde_json::from_value::<Map<_, _>>);
        let mut rest =
            encoded.map_err(|cause| RpcError::internal(format!("result not encodable: {cause}")))?;
        let Some(Value::Object(mut thread)) = rest.remove("thread") else {
            return Err(RpcError::internal("result not encodable: it shows no thread"));
        };
        let (turns, first) = (past.turns.as_deref(), past.first.as_deref());
        if turns.is_some() {
            thread.remove("turns");
        }
        if first.is_some() {
            rest.remove("initialTurnsPage");
        }
        Ok(Self { thread: ThreadWithTurns { turns, rest: thread }, first, rest })
    }
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, String> {
    to_raw_value(value).map_err(|cause| format!("the answer cannot be written as JSON: {cause}"))
}
