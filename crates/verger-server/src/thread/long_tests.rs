//! What looking at a long thread costs, in records that are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;
use verger_core::ids::{Generation, Seq, ThreadId};
use verger_core::thread::Record;
use verger_store::{Append, Liveness, NewThread, Store, ThreadPatch};
use verger_wire::requests::{ItemsCursor, SortDirection, ThreadItemsListParams, ThreadTurnsListParams};
use verger_wire::types::{
    AgentMessageItem, ThreadItem, TurnItemsView, TurnStatus, UserInput, UserMessageItem,
};

use super::log::Log;
use super::pages::{Page, PageQuery, Picture};
use super::walk::Walk;

const OWNER: Generation = Generation(1);
const ITEMS_EACH: usize = 4;

/// A stored thread of many turns, one of them summed up, and some forgotten in its middle.
struct Long {
    store: Store,
    thread: ThreadId,
    head: Seq,
    turns: Vec<String>,
    _dir: TempDir,
}

fn turn_id(n: usize) -> String {
    // As version 7 has it: growing.
    Uuid::from_u128((0x0199 << 112) | (n as u128) << 64).to_string()
}

fn turn(n: usize) -> Vec<Record> {
    let turn = turn_id(n);
    let at = 1_700_000_000_000 + n as i64;
    let item = |index: usize| {
        let id = format!("{n}-{index}");
        match index {
            0 => ThreadItem::UserMessage(UserMessageItem {
                id,
                client_id: None,
                content: vec![UserInput::text("hi")],
            }),
            _ => ThreadItem::AgentMessage(AgentMessageItem { id, text: "ok".into(), ..Default::default() }),
        }
    };
    let completed = |index| Record::ItemCompleted { turn: turn.clone(), index, item: item(index), at };
    let mut records = vec![Record::TurnStarted { turn: turn.clone(), at }];
    records.extend((0..ITEMS_EACH).map(completed));
    records.push(Record::TurnCompleted { turn, status: TurnStatus::Completed, error: None, at });
    records
}

impl Long {
    async fn of(turns: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "run", Arc::new(|_: &str| Liveness::Gone)).unwrap();
        let (mut records, mut kept) = (Vec::new(), Vec::new());
        for n in 0..turns {
            if n == turns / 2 {
                // Three turns that nobody remembers.
                let upto = Seq(u32::try_from(records.len()).unwrap());
                let first = turn_id(n);
                records.extend((n..n + 3).flat_map(turn));
                records.push(Record::Reverted { turn: first, upto, at: 0 });
            }
            // Ids go on growing behind what is forgotten.
            let n = if n < turns / 2 { n } else { n + 3 };
            records.extend(turn(n));
            kept.push(turn_id(n));
        }
        let summary =
            Record::Compacted { turn: kept[turns - 10].clone(), behind: 0, summary: "s".into(), at: 0 };
        records.insert(records.len() - 9 * (ITEMS_EACH + 2), summary);
        let thread = ThreadId(Uuid::now_v7());
        let encoded =
            records.iter().map(|r| verger_store::Record { kind: r.kind(), body: r.encode() }).collect();
        let append = Append {
            thread,
            generation: OWNER,
            after: Seq(0),
            create: Some(NewThread { settings: "{}".into(), ..NewThread::default() }),
            patch: ThreadPatch::default(),
            records: encoded,
        };
        let head = store.append(append).await.unwrap();
        Self { store, thread, head, turns: kept, _dir: dir }
    }

    async fn page(&self, query: PageQuery) -> Page {
        let walk = Walk::open(self.store.clone(), self.thread, self.head).await.unwrap();
        Picture { walk, active: None }.page(query).await.unwrap()
    }

    async fn turns(
        &self,
        direction: SortDirection,
        cursor: Option<String>,
    ) -> verger_wire::requests::ThreadTurnsListResponse {
        let params = ThreadTurnsListParams {
            thread_id: self.thread.to_string(),
            cursor,
            limit: Some(25),
            sort_direction: Some(direction),
            items_view: Some(TurnItemsView::Full),
        };
        match self.page(PageQuery::turns(self.thread, params).unwrap()).await {
            Page::Turns(page) => page,
            Page::Items(_) => panic!("items"),
        }
    }

    async fn items(
        &self,
        direction: SortDirection,
        cursor: Option<String>,
        turn: Option<String>,
    ) -> verger_wire::requests::ThreadItemsListResponse {
        let params = ThreadItemsListParams {
            thread_id: self.thread.to_string(),
            cursor: cursor.map(ItemsCursor::Page),
            limit: Some(25),
            sort_direction: Some(direction),
            turn_id: turn,
        };
        match self.page(PageQuery::items(self.thread, params).unwrap()).await {
            Page::Items(page) => page,
            Page::Turns(_) => panic!("turns"),
        }
    }

    /// How many records `looking` reads.
    async fn cost<T>(&self, looking: impl Future<Output = T>) -> u64 {
        let before = self.store.records_read();
        looking.await;
        self.store.records_read() - before
    }

    /// What each way of looking at it costs.
    async fn costs(&self) -> BTreeMap<&'static str, u64> {
        use SortDirection::{Asc, Desc};
        let mut costs = BTreeMap::new();
        costs.insert("newest turns", self.cost(self.turns(Desc, None)).await);
        costs.insert("oldest turns", self.cost(self.turns(Asc, None)).await);
        let next = self.turns(Desc, None).await.next_cursor;
        costs.insert("older turns", self.cost(self.turns(Desc, next)).await);
        costs.insert("newest items", self.cost(self.items(Desc, None, None)).await);
        costs.insert("oldest items", self.cost(self.items(Asc, None, None)).await);
        let next = self.items(Desc, None, None).await.next_cursor;
        costs.insert("older items", self.cost(self.items(Desc, next, None)).await);
        let walk = Walk::open(self.store.clone(), self.thread, self.head).await.unwrap();
        let picture = Picture { walk, active: None };
        costs.insert("cursors of a resume", self.cost(async { picture.newest().await.unwrap() }).await);
        costs.insert(
            "turns of a resume with room for few",
            self.cost(async { picture.newest_turns(1).await.unwrap() }).await,
        );
        let reopened =
            async { Log::reopened(self.store.clone(), self.thread, OWNER, self.head).await.unwrap() };
        costs.insert("loading it", self.cost(reopened).await);
        let log = Log::reopened(self.store.clone(), self.thread, OWNER, self.head).await.unwrap();
        costs.insert("what the model is told", self.cost(async { log.conversation(0).await.unwrap() }).await);
        costs
    }
}

#[tokio::test]
async fn a_long_thread_costs_no_more_to_look_at_than_a_short_one() {
    let (short, long) = (Long::of(60).await, Long::of(2_500).await);
    let (few, many) = (short.costs().await, long.costs().await);
    assert_eq!(few, many);
    for (what, cost) in many {
        assert!(cost <= 300, "{what}: {cost} records");
    }
    short.store.close().await;
    long.store.close().await;
}

#[tokio::test]
async fn a_turn_is_found_by_its_id_without_a_look_at_every_other() {
    let long = Long::of(2_500).await;
    for n in [0, 1, 700, 1_249, 1_250, 2_498, 2_499] {
        let turn = long.turns[n].clone();
        let page = long.items(SortDirection::Asc, None, Some(turn.clone())).await;
        assert_eq!(page.data.len(), ITEMS_EACH, "turn {n}");
        let cost = long.cost(long.items(SortDirection::Asc, None, Some(turn))).await;
        assert!(cost <= 40, "turn {n}: {cost} records");
    }
    let forgotten = long.items(SortDirection::Asc, None, Some(turn_id(1_251))).await;
    assert_eq!(forgotten.data, []);
    long.store.close().await;
}

#[tokio::test]
async fn a_turn_is_found_though_the_clock_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "run", Arc::new(|_: &str| Liveness::Gone)).unwrap();
    let thread = ThreadId(Uuid::now_v7());
    let records: Vec<Record> = [5, 6, 7, 1, 2, 3].into_iter().flat_map(turn).collect();
    let append = Append {
        thread,
        generation: OWNER,
        after: Seq(0),
        create: Some(NewThread { settings: "{}".into(), ..NewThread::default() }),
        patch: ThreadPatch::default(),
        records: records.iter().map(|r| verger_store::Record { kind: r.kind(), body: r.encode() }).collect(),
    };
    let head = store.append(append).await.unwrap();
    let walk = Walk::open(store.clone(), thread, head).await.unwrap();
    for (place, n) in [5, 6, 7, 1, 2, 3].into_iter().enumerate() {
        let start = Seq(u32::try_from(place * (ITEMS_EACH + 2) + 1).unwrap());
        assert_eq!(walk.locate(&turn_id(n)).await.unwrap(), Some(start));
    }
    assert_eq!(walk.locate(&turn_id(4)).await.unwrap(), None);
    store.close().await;
}
