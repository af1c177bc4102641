//! Lists: order, filters, pages in both directions.

use verger_store::{Direction, ListQuery, MAX_PAGE, SortKey, Store, StoreError, ThreadPatch};

use crate::home::{FIRST, Home, append, create, some_thread};

/// Stores `count` threads named by number, three to a second, half of them touched in the opposite order.
async fn filled(store: &Store, count: usize) {
    for n in 0..count {
        let mut first = create(some_thread(), &["x"]);
        let thread = first.thread;
        let new = first.create.as_mut().unwrap();
        new.created_at = 100 + n as i64 / 3;
        new.name = Some(n.to_string());
        new.cwd = format!("/cwd/{}", n % 2);
        new.model_provider = ["a", "b", "c"][n % 3].to_owned();
        new.preview = format!("About 100% of Thread_{n}!");
        store.append(first).await.unwrap();
        if n % 2 == 0 {
            let mut touch = append(thread, FIRST, 1, &[]);
            touch.patch = ThreadPatch { updated_at: Some(10_000 - n as i64), ..ThreadPatch::default() };
            store.append(touch).await.unwrap();
        }
        store.release(thread, FIRST).await.unwrap();
    }
}

async fn names(store: &Store, query: ListQuery) -> Vec<usize> {
    let page = store.list(ListQuery { limit: MAX_PAGE, ..query }).await.unwrap();
    page.rows.iter().map(|row| row.name.as_ref().unwrap().parse().unwrap()).collect()
}

/// All pages of a query, one after the other.
async fn walk(store: &Store, mut query: ListQuery) -> Vec<usize> {
    let mut all = Vec::new();
    loop {
        let page = store.list(query.clone()).await.unwrap();
        assert!(page.rows.len() <= query.limit);
        all.extend(page.rows.iter().map(|row| row.name.as_ref().unwrap().parse::<usize>().unwrap()));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return all,
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_make_up_the_same_list() {
    let home = Home::new();
    let store = home.open("run");
    filled(&store, 20).await;
    let newest_first: Vec<usize> = (0..20).rev().collect();
    // Odd ones were touched when they were created; even ones later, the smaller the later.
    let by_update: Vec<usize> = (0..20).step_by(2).chain((1..20).step_by(2).rev()).collect();
    for limit in [1, 2, 3, 7, 19, 20, 21] {
        for (sort, expected) in [(SortKey::CreatedAt, &newest_first), (SortKey::UpdatedAt, &by_update)] {
            let query = ListQuery { sort, limit, ..ListQuery::default() };
            assert_eq!(walk(&store, query.clone()).await, *expected, "{sort:?}, {limit} a page");
            let mut reversed = walk(&store, ListQuery { direction: Direction::Ascending, ..query }).await;
            reversed.reverse();
            assert_eq!(reversed, *expected, "{sort:?} ascending, {limit} a page");
        }
    }
    store.close().await;
}

#[tokio::test]
async fn turning_round_repeats_the_second_it_began_with_and_misses_nothing() {
    let home = Home::new();
    let store = home.open("run");
    filled(&store, 12).await;
    let query = ListQuery { limit: 4, ..ListQuery::default() };
    let first = store.list(query.clone()).await.unwrap();
    let second = store.list(ListQuery { cursor: first.next, ..query.clone() }).await.unwrap();
    // The second page begins with 7, of the second that 6, 7 and 8 share.
    assert_eq!(second.rows[0].name.as_deref(), Some("7"));
    let back = ListQuery { direction: Direction::Ascending, cursor: second.back, ..ListQuery::default() };
    assert_eq!(names(&store, back).await, [6, 7, 8, 9, 10, 11]);

    let ascending = ListQuery { direction: Direction::Ascending, ..query };
    let first = store.list(ascending.clone()).await.unwrap();
    let second = store.list(ListQuery { cursor: first.next, ..ascending }).await.unwrap();
    assert_eq!(second.rows[0].name.as_deref(), Some("4"));
    let back = ListQuery { cursor: second.back, ..ListQuery::default() };
    assert_eq!(names(&store, back).await, [5, 4, 3, 2, 1, 0]);
    store.close().await;
}

#[tokio::test]
async fn filters_hold_together() {
    let home = Home::new();
    let store = home.open("run");
    filled(&store, 12).await;
    let all = ListQuery::default();
    let of = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let search = |text: &str| ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };

    assert_eq!(names(&store, ListQuery { cwds: of(&["/cwd/1"]), ..all.clone() }).await, [11, 9, 7, 5, 3, 1]);
    assert_eq!(names(&store, ListQuery { cwds: of(&["/cwd/1", "/cwd/0"]), ..all.clone() }).await.len(), 12);
    assert!(names(&store, ListQuery { cwds: of(&["/cwd"]), ..all.clone() }).await.is_empty());
    assert_eq!(names(&store, ListQuery { model_providers: of(&["c"]), ..all.clone() }).await, [11, 8, 5, 2]);
    let both = ListQuery { model_providers: of(&["c"]), cwds: of(&["/cwd/0"]), ..search("thread") };
    assert_eq!(names(&store, both).await, [8, 2]);
    assert_eq!(names(&store, search("thread_1")).await, [11, 10, 1]);
    assert_eq!(names(&store, search("100% of")).await.len(), 12);
    assert!(names(&store, search("thread%1")).await.is_empty(), "a percent sign is only itself");
    assert!(names(&store, search("Thread!")).await.is_empty(), "an underscore is only itself");
    assert_eq!(names(&store, search("7")).await, [7], "names are searched too");
    let rows = store.list(ListQuery { limit: 9, ..all.clone() }).await.unwrap().rows;
    let excluded = ListQuery { excluded: rows.iter().map(|row| row.id).collect(), limit: 2, ..all };
    assert_eq!(walk(&store, excluded).await, [2, 1, 0], "and do not count against the page");
    store.close().await;
}

#[tokio::test]
async fn the_archive_is_another_list() {
    let home = Home::new();
    let store = home.open("run");
    filled(&store, 4).await;
    let page = store.list(ListQuery { limit: 2, ..ListQuery::default() }).await.unwrap();
    for row in &page.rows {
        store.set_archived(row.id, true, None).await.unwrap();
    }
    assert_eq!(names(&store, ListQuery::default()).await, [1, 0]);
    assert_eq!(names(&store, ListQuery { archived: true, ..ListQuery::default() }).await, [3, 2]);
    store.close().await;
}

#[tokio::test]
async fn limits_are_capped_and_foreign_cursors_refused() {
    let home = Home::new();
    let store = home.open("run");
    filled(&store, MAX_PAGE + 5).await;
    let page = async |limit| store.list(ListQuery { limit, ..ListQuery::default() }).await.unwrap();
    assert_eq!(page(usize::MAX).await.rows.len(), MAX_PAGE);
    let one = page(0).await;
    assert_eq!(one.rows.len(), 1);

    let wrong_order =
        ListQuery { cursor: one.next.clone(), sort: SortKey::UpdatedAt, ..ListQuery::default() };
    let garbled = ListQuery { cursor: Some("c.12.%".to_owned()), ..ListQuery::default() };
    for query in [wrong_order, garbled] {
        let result = store.list(query).await;
        assert!(matches!(result, Err(StoreError::BadCursor { .. })), "{result:?}");
    }
    let empty = ListQuery { search: Some("nowhere".to_owned()), ..ListQuery::default() };
    let page = store.list(empty).await.unwrap();
    assert_eq!((page.rows.len(), page.next, page.back), (0, None, None));
    store.close().await;
}
