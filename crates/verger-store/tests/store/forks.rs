//! Forks: what they share, what is their own, and what it keeps from being deleted.

use verger_core::ids::{Generation, Seq, ThreadId};
use verger_store::{AppendError, ChangeError, ClaimError, Direction, NewThread, Record, Store};

use crate::home::{FIRST, Home, append, bodies, create, some_thread};

async fn fork(store: &Store, source: ThreadId, upto: u32) -> ThreadId {
    let (thread, new) = (some_thread(), NewThread { forked_from: Some(source), ..NewThread::default() });
    let row = store.fork(source, Seq(upto), thread, FIRST, new).await.unwrap();
    assert_eq!((row.id, row.forked_from), (thread, Some(source)));
    thread
}

#[tokio::test]
async fn a_fork_begins_where_it_was_cut_and_goes_on_alone() {
    let home = Home::new();
    let store = home.open("run");
    let source = some_thread();
    store.append(create(source, &["a", "b", "c", "d"])).await.unwrap();
    let cut = fork(&store, source, 2).await;
    let whole = fork(&store, source, u32::MAX).await;
    let none = fork(&store, source, 0).await;
    let heads = async |thread| store.thread(thread).await.unwrap().unwrap().head.0;
    assert_eq!([heads(cut).await, heads(whole).await, heads(none).await], [2, 4, 0]);
    assert_eq!(store.append(append(cut, FIRST, 2, &["x", "y"])).await.unwrap(), Seq(4));
    assert_eq!(store.append(append(source, FIRST, 4, &["e"])).await.unwrap(), Seq(5));
    assert_eq!(store.append(append(none, FIRST, 0, &["n"])).await.unwrap(), Seq(1));
    assert_eq!(bodies(&store, cut).await, ["a", "b", "x", "y"]);
    assert_eq!(bodies(&store, whole).await, ["a", "b", "c", "d"]);
    assert_eq!(bodies(&store, source).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(bodies(&store, none).await, ["n"]);
    store.close().await;

    let store = home.open("later run");
    assert_eq!(bodies(&store, cut).await, ["a", "b", "x", "y"]);
    store.close().await;
}

#[tokio::test]
async fn a_fork_of_a_fork_reads_through_both() {
    let home = Home::new();
    let store = home.open("run");
    let source = some_thread();
    store.append(create(source, &["a", "b", "c"])).await.unwrap();
    let middle = fork(&store, source, 2).await;
    store.append(append(middle, FIRST, 2, &["m", "n"])).await.unwrap();
    let last = fork(&store, middle, 3).await;
    store.append(append(last, FIRST, 3, &["z"])).await.unwrap();
    assert_eq!(bodies(&store, last).await, ["a", "b", "m", "z"]);
    for (after, upto, expected) in [(0, 9, "abmz"), (1, 3, "bm"), (2, 3, "m"), (3, 9, "z"), (1, 1, "")] {
        let page = store.read_upto(last, Seq(after), Seq(upto), 100, 1000).await.unwrap();
        let text: String = page.iter().map(|r| String::from_utf8(r.body.clone()).unwrap()).collect();
        assert_eq!(text, expected, "after {after}, up to {upto}");
    }
    let page = store.read(last, Seq(0), 3, 1000).await.unwrap();
    assert_eq!(page.last().map(|record| record.seq), Some(Seq(3)), "a page goes over the seam");
    store.close().await;
}

#[tokio::test]
async fn records_of_a_kind_are_found_from_either_end_and_over_the_seam() {
    let home = Home::new();
    let store = home.open("run");
    let source = some_thread();
    let mark = |kind| Record { kind, body: vec![] };
    let mut first = create(source, &[]);
    first.records = [1, 2, 1, 2, 2].map(mark).to_vec();
    store.append(first).await.unwrap();
    let forked = fork(&store, source, 4).await;
    let mut more = append(forked, FIRST, 4, &[]);
    more.records = [1, 2, 1].map(mark).to_vec();
    store.append(more).await.unwrap();
    let find = async |after, upto, direction, limit| {
        let found = store.find(forked, 1, (Seq(after), Seq(upto)), direction, limit).await.unwrap();
        found.iter().map(|record| record.seq.0).collect::<Vec<_>>()
    };
    let (up, down) = (Direction::Ascending, Direction::Descending);
    assert_eq!(find(0, u32::MAX, up, 9).await, [1, 3, 5, 7]);
    assert_eq!(find(0, u32::MAX, down, 3).await, [7, 5, 3]);
    assert_eq!(find(1, 5, up, 9).await, [3, 5], "the first bound is outside, the second inside");
    assert_eq!(find(1, 6, down, 1).await, [5]);
    assert_eq!(find(7, 7, up, 1).await, [0; 0]);
    store.close().await;
}

#[tokio::test]
async fn what_a_fork_needs_is_not_deleted() {
    let home = Home::new();
    let store = home.open("run");
    let source = some_thread();
    store.append(create(source, &["a", "b"])).await.unwrap();
    let middle = fork(&store, source, 2).await;
    // Within what the middle one shares: it needs the source alone.
    let last = fork(&store, middle, 1).await;
    assert!(store.is_forked(source).await.unwrap());
    assert!(!store.is_forked(middle).await.unwrap());
    let refused = store.delete(source, Some(FIRST)).await;
    assert!(matches!(refused, Err(ChangeError::Forked(id)) if id == source), "{refused:?}");
    store.delete(middle, Some(FIRST)).await.unwrap();
    assert_eq!(bodies(&store, last).await, ["a"]);
    assert!(store.delete(source, Some(FIRST)).await.is_err());
    store.delete(last, Some(FIRST)).await.unwrap();
    store.delete(source, Some(FIRST)).await.unwrap();
    assert!(!store.is_forked(source).await.unwrap());
    store.close().await;
}

#[tokio::test]
async fn a_fork_is_owned_from_its_first_moment() {
    let home = Home::new();
    let store = home.open("run");
    let source = some_thread();
    let missing = store.fork(source, Seq(1), some_thread(), FIRST, NewThread::default()).await;
    assert!(matches!(missing, Err(ClaimError::NotFound(id)) if id == source), "{missing:?}");
    store.append(create(source, &["a"])).await.unwrap();
    let forked = fork(&store, source, 1).await;
    let stranger = store.append(append(forked, Generation(7), 1, &["x"])).await;
    assert!(matches!(stranger, Err(AppendError::Fenced { .. })), "{stranger:?}");
    store.release(source, FIRST).await.unwrap();
    store.set_archived(source, true, None).await.unwrap();
    let archived = store.fork(source, Seq(1), some_thread(), FIRST, NewThread::default()).await;
    assert!(matches!(archived, Err(ClaimError::Archived(_))), "{archived:?}");
    assert_eq!(bodies(&store, forked).await, ["a"]);
    store.close().await;
}
