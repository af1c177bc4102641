//! `thread/turns/list` and `thread/items/list`: a thread page by page, without reading more of it than the page needs.

use verger_core::ids::{Seq, ThreadId};
use verger_core::thread::{ItemTimes, KeptTurn, UnderWay, in_view};
use verger_store::{Direction, MAX_PAGE, StoreError};
use verger_wire::RpcError;
use verger_wire::requests::{
    InitialTurnsPageParams, ItemAnchor, ItemsCursor, SortDirection, ThreadItemEntry, ThreadItemsListParams,
    ThreadItemsListResponse, ThreadTurnsListParams, ThreadTurnsListResponse,
};
use verger_wire::types::{Turn, TurnItemsView};

use super::cursor::{Cursor, Listed, Place};
use super::walk::{Walk, WalkError};
use crate::listing;
use crate::replier::Replier;

/// Turns that are read at once in search of items, at most.
const TURNS_AT_ONCE: usize = 16;

/// A thread's durable turns at some moment, and the active one as far as it had come.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) walk: Walk,
    pub(crate) active: Option<UnderWay>,
}

/// Which page is wanted.
#[derive(Debug)]
pub(crate) enum PageQuery {
    Turns(TurnsQuery),
    Items(ItemsQuery),
}

/// A page of turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TurnsQuery {
    cursor: Option<Cursor>,
    direction: Direction,
    limit: usize,
    view: TurnItemsView,
}

/// A page of items.
#[derive(Debug)]
pub(crate) struct ItemsQuery {
    turn: Option<String>,
    from: From,
    direction: Direction,
    limit: usize,
}

/// Where a page of items begins.
#[derive(Debug)]
enum From {
    End,
    Cursor(Cursor),
    /// Beside this item of the turn that is asked for.
    Item(String),
}

/// A page, as the wire has it.
pub(super) enum Page {
    Turns(ThreadTurnsListResponse),
    Items(ThreadItemsListResponse),
}

// === impl PageQuery ===

impl PageQuery {
    pub(crate) fn turns(thread: ThreadId, params: ThreadTurnsListParams) -> Result<Self, RpcError> {
        let cursor = params.cursor.map(|text| Cursor::parse(&text, Listed::Turns, thread)).transpose()?;
        let ThreadTurnsListParams { limit, sort_direction, items_view, .. } = params;
        let query = TurnsQuery::new(&InitialTurnsPageParams { limit, sort_direction, items_view });
        Ok(Self::Turns(TurnsQuery { cursor, ..query }))
    }

    pub(crate) fn items(thread: ThreadId, params: ThreadItemsListParams) -> Result<Self, RpcError> {
        let turn = params.turn_id.filter(|turn| !turn.is_empty());
        let from = match params.cursor {
            None => From::End,
            Some(ItemsCursor::Page(text)) => From::Cursor(Cursor::parse(&text, Listed::Items, thread)?),
            Some(ItemsCursor::Item(_)) if turn.is_none() => {
                return Err(RpcError::invalid_params("turnId", "missing; an item as cursor needs its turn"));
            }
            Some(ItemsCursor::Item(ItemAnchor::Item { item_id })) => From::Item(item_id),
        };
        let direction = listing::direction(params.sort_direction.unwrap_or(SortDirection::Asc));
        let limit = listing::limit(params.limit).min(MAX_PAGE);
        Ok(Self::Items(ItemsQuery { turn, from, direction, limit }))
    }

    /// What the client called.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Turns(_) => "thread/turns/list",
            Self::Items(_) => "thread/items/list",
        }
    }
}

impl TurnsQuery {
    /// From the end that comes first.
    pub(crate) fn new(params: &InitialTurnsPageParams) -> Self {
        Self {
            cursor: None,
            direction: listing::direction(params.sort_direction.unwrap_or_default()),
            limit: listing::limit(params.limit).min(MAX_PAGE),
            view: params.items_view.unwrap_or(TurnItemsView::Summary),
        }
    }
}

// === impl Picture ===

impl Picture {
    pub(super) async fn page(&self, query: PageQuery) -> Result<Page, RpcError> {
        let page = match query {
            PageQuery::Turns(query) => self.turns(&query).await.map(Page::Turns),
            PageQuery::Items(query) => match self.items(&query).await {
                Ok(Some(page)) => Ok(Page::Items(page)),
                Ok(None) => {
                    return Err(RpcError::invalid_params("cursor.itemId", "no such item in that turn"));
                }
                Err(error) => Err(error),
            },
        };
        page.map_err(|error| refusal(&error))
    }

    /// Answers a request for a page; few at a time, and only to a client that takes them.
    pub(crate) async fn answer(&self, replier: Replier, query: PageQuery) {
        let outbox = replier.outbox().clone();
        let _permit = outbox.room_for_large().await;
        match self.page(query).await {
            Ok(Page::Turns(page)) => replier.ok(&page),
            Ok(Page::Items(page)) => replier.ok(&page),
            Err(error) => replier.refuse(&error),
        }
    }

    /// Cursors to the newest turn and the newest item, for who reads on towards older ones.
    pub(super) async fn newest(&self) -> Result<[Option<String>; 2], WalkError> {
        let head = self.walk.head;
        let turn = self.walk.starts(Seq(0), head, Direction::Descending, 1).await?.first().map(|start| {
            let place = Place { turn: *start, index: 0 };
            Cursor { place, with: true }.encode(Listed::Turns, self.walk.thread)
        });
        let newest = ItemsQuery { turn: None, from: From::End, direction: Direction::Descending, limit: 1 };
        let items = self.items(&newest).await?;
        Ok([turn, items.and_then(|page| page.backwards_cursor)])
    }

    /// The newest turns, the active one as far as it has come, and a cursor to those before them where `room` bytes do not
    /// hold all.
    pub(super) async fn newest_turns(&self, room: usize) -> Result<(Vec<Turn>, Option<String>), WalkError> {
        let newest = self.walk.newest_turns(self.active.as_ref(), room).await?;
        let turns = newest.turns.into_iter().map(|kept| kept.turn).collect();
        let older = newest.cut.map(|turn| {
            let place = Place { turn, index: 0 };
            Cursor { place, with: false }.encode(Listed::Turns, self.walk.thread)
        });
        Ok((turns, older))
    }

    pub(super) async fn turns(&self, query: &TurnsQuery) -> Result<ThreadTurnsListResponse, WalkError> {
        let (after, upto) = bounds(query.cursor, query.direction, self.walk.head);
        let mut starts = self.walk.starts(after, upto, query.direction, query.limit + 1).await?;
        let goes_on = starts.len() > query.limit;
        starts.truncate(query.limit);
        let mut turns = self.read(&starts).await?;
        if query.direction == Direction::Descending {
            turns.reverse();
        }
        let cursor = |start: &Seq, with| {
            let place = Place { turn: *start, index: 0 };
            Cursor { place, with }.encode(Listed::Turns, self.walk.thread)
        };
        Ok(ThreadTurnsListResponse {
            data: turns.into_iter().map(|(_, kept)| in_view(kept.turn, query.view)).collect(),
            next_cursor: starts.last().filter(|_| goes_on).map(|last| cursor(last, false)),
            backwards_cursor: starts.first().map(|first| cursor(first, true)),
        })
    }

    /// A page of items; nothing if it was to begin at an item that is not there.
    async fn items(&self, query: &ItemsQuery) -> Result<Option<ThreadItemsListResponse>, WalkError> {
        let mut entries = match &query.turn {
            Some(turn) => match self.walk.locate(turn).await? {
                Some(start) => entries(self.read(&[start]).await?),
                None => Vec::new(),
            },
            None => self.entries_from(query).await?,
        };
        let cursor = match &query.from {
            From::End => None,
            From::Cursor(cursor) => Some(*cursor),
            From::Item(id) => match entries.iter().find(|(_, entry)| entry.item.id() == id) {
                Some((place, _)) => Some(Cursor { place: *place, with: false }),
                None => return Ok(None),
            },
        };
        if query.direction == Direction::Descending {
            entries.reverse();
        }
        entries.retain(|(place, _)| is_beyond(*place, cursor, query.direction));
        let goes_on = entries.len() > query.limit;
        entries.truncate(query.limit);
        let cursor = |place: Place, with| Cursor { place, with }.encode(Listed::Items, self.walk.thread);
        Ok(Some(ThreadItemsListResponse {
            next_cursor: entries.last().filter(|_| goes_on).map(|(place, _)| cursor(*place, false)),
            backwards_cursor: entries.first().map(|(place, _)| cursor(*place, true)),
            data: entries.into_iter().map(|(_, entry)| entry).collect(),
        }))
    }

    /// Items from the cursor on, in the thread's order: one more than the page at least, if there are so many.
    async fn entries_from(&self, query: &ItemsQuery) -> Result<Vec<(Place, ThreadItemEntry)>, WalkError> {
        let cursor = match &query.from {
            From::Cursor(cursor) => Some(*cursor),
            From::End | From::Item(_) => None,
        };
        // The turn that the cursor is in may go on.
        let from_turn = cursor.map(|cursor| Cursor { with: true, ..cursor });
        let (mut after, mut upto) = bounds(from_turn, query.direction, self.walk.head);
        let mut found = Vec::new();
        let mut count = 0;
        loop {
            // A turn has an item, as a rule: more turns than items wanted would be read in vain.
            let most = query.limit.min(TURNS_AT_ONCE);
            let starts = self.walk.starts(after, upto, query.direction, most).await?;
            let Some(last) = starts.last() else { break };
            match query.direction {
                Direction::Ascending => after = *last,
                Direction::Descending => upto = Seq(last.0 - 1),
            }
            let entries = entries(self.read(&starts).await?);
            let counts = |(place, _): &&(Place, _)| is_beyond(*place, cursor, query.direction);
            count += entries.iter().filter(counts).count();
            found.push(entries);
            if count > query.limit {
                break;
            }
        }
        if query.direction == Direction::Descending {
            found.reverse();
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The turns that begin at `starts`, oldest first, the active one as far as it has come.
    async fn read(&self, starts: &[Seq]) -> Result<Vec<(Seq, KeptTurn)>, WalkError> {
        self.walk.turns(starts, self.active.as_ref()).await
    }
}

fn refusal(error: &WalkError) -> RpcError {
    match error {
        // Deleted since it was found.
        WalkError::Store(StoreError::UnknownThread(thread)) => RpcError::thread_not_loaded(thread),
        error => RpcError::internal(error.to_string()),
    }
}

/// Where turns are looked for: those that begin after the first, and not after the second.
fn bounds(cursor: Option<Cursor>, direction: Direction, head: Seq) -> (Seq, Seq) {
    let Some(Cursor { place: Place { turn, .. }, with }) = cursor else { return (Seq(0), head) };
    let before = Seq(turn.0.saturating_sub(1));
    match (direction, with) {
        (Direction::Ascending, true) => (before, head),
        (Direction::Ascending, false) => (turn, head),
        (Direction::Descending, true) => (Seq(0), turn.min(head)),
        (Direction::Descending, false) => (Seq(0), before.min(head)),
    }
}

fn is_beyond(place: Place, cursor: Option<Cursor>, direction: Direction) -> bool {
    cursor.is_none_or(|cursor| match direction {
        _ if place == cursor.place => cursor.with,
        Direction::Ascending => place > cursor.place,
        Direction::Descending => place < cursor.place,
    })
}

fn entries(turns: Vec<(Seq, KeptTurn)>) -> Vec<(Place, ThreadItemEntry)> {
    let of_turn = |(start, kept): (Seq, KeptTurn)| {
        let turn_id = kept.turn.id;
        kept.turn.items.into_iter().zip(kept.times).map(move |(item, times)| {
            let place = Place { turn: start, index: times.index };
            let ItemTimes { started, completed, .. } = times;
            let turn_id = turn_id.clone();
            (place, ThreadItemEntry { turn_id, item, started_at_ms: started, completed_at_ms: completed })
        })
    };
    turns.into_iter().flat_map(of_turn).collect()
}
