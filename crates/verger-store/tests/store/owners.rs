//! The owner fence: one writer per thread, and when it changes.

use verger_core::ids::{Generation, Seq};
use verger_store::{AppendError, ChangeError, ClaimError, Labels};

use crate::home::{FIRST, Home, append, bodies, create, some_thread};

fn owned_by<T: std::fmt::Debug>(result: Result<T, ClaimError>, expected: u32) {
    assert!(matches!(result, Err(ClaimError::Owned { pid, .. }) if pid == expected), "{result:?}");
}

#[tokio::test]
async fn a_later_generation_fences_the_earlier_one() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    store.append(create(thread, &["a"])).await.unwrap();
    assert_eq!(store.claim(thread, Generation(2)).await.unwrap().head, Seq(1));
    let late = store.append(append(thread, FIRST, 1, &["late"])).await;
    assert!(matches!(late, Err(AppendError::Fenced { generation: FIRST, .. })), "{late:?}");
    store.append(append(thread, Generation(2), 1, &["b"])).await.unwrap();
    owned_by(store.claim(thread, FIRST).await, std::process::id());
    store.claim(thread, Generation(2)).await.unwrap();
    assert_eq!(bodies(&store, thread).await, ["a", "b"]);
    store.close().await;
}

#[tokio::test]
async fn a_late_release_does_not_free_a_newer_owner() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    store.append(create(thread, &["a"])).await.unwrap();
    store.claim(thread, Generation(2)).await.unwrap();
    store.release(thread, FIRST).await.unwrap();
    store.append(append(thread, Generation(2), 1, &["b"])).await.unwrap();
    store.release(thread, Generation(2)).await.unwrap();
    let released = store.append(append(thread, Generation(2), 2, &["c"])).await;
    assert!(matches!(released, Err(AppendError::Fenced { .. })));
    store.close().await;
}

#[tokio::test]
async fn a_claim_of_another_run_holds_until_that_run_is_gone() {
    let home = Home::new();
    let (ours, theirs) = (home.open("ours"), home.open("theirs"));
    home.lives("theirs", 4242);
    let thread = some_thread();
    theirs.append(create(thread, &["a"])).await.unwrap();

    // A larger generation means nothing across runs.
    owned_by(ours.claim(thread, Generation(99)).await, 4242);
    let foreign = ours.append(append(thread, FIRST, 1, &["x"])).await;
    assert!(matches!(foreign, Err(AppendError::Fenced { .. })));
    for refused in
        [ours.set_archived(thread, true, Some(FIRST)).await.map(drop), ours.delete(thread, None).await]
    {
        assert!(matches!(refused, Err(ChangeError::Owned { pid: 4242, .. })), "{refused:?}");
    }

    home.dies("theirs");
    assert_eq!(ours.claim(thread, FIRST).await.unwrap().head, Seq(1));
    // Should the lock have lied, the log is still safe.
    home.lives("ours", 1);
    let zombie = theirs.append(append(thread, FIRST, 1, &["zombie"])).await;
    assert!(matches!(zombie, Err(AppendError::Fenced { .. })));
    assert_eq!(bodies(&ours, thread).await, ["a"]);
    ours.close().await;
    theirs.close().await;
}

#[tokio::test]
async fn only_its_owner_archives_or_deletes_an_owned_thread() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    store.append(create(thread, &["a"])).await.unwrap();
    store.claim(thread, Generation(2)).await.unwrap();
    for stranger in [None, Some(FIRST)] {
        let archived = store.set_archived(thread, true, stranger).await.map(drop);
        let deleted = store.delete(thread, stranger).await;
        let labels = Labels { name: Some(None), ..Labels::default() };
        let renamed = store.relabel(thread, labels, stranger).await.map(drop);
        for refused in [archived, deleted, renamed] {
            assert!(matches!(refused, Err(ChangeError::Owned { .. })), "{refused:?}");
        }
    }
    store.set_archived(thread, true, Some(Generation(2))).await.unwrap();
    assert!(store.thread(thread).await.unwrap().unwrap().archived);
    store.delete(thread, Some(Generation(2))).await.unwrap();
    assert_eq!(store.thread(thread).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn of_many_claims_at_once_one_wins() {
    let home = Home::new();
    let maker = home.open("maker");
    let thread = some_thread();
    maker.append(create(thread, &["a"])).await.unwrap();
    let runs: Vec<_> = (0..4).map(|n| (format!("run{n}"), 100 + n)).collect();
    let stores: Vec<_> = runs.iter().map(|(run, _)| home.open(run)).collect();
    runs.iter().for_each(|(run, pid)| home.lives(run, *pid));

    let mut claims = tokio::task::JoinSet::new();
    for store in &stores {
        let store = store.clone();
        claims.spawn(async move { store.claim(thread, FIRST).await });
    }
    let results = claims.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let mut winners = 0;
    for store in &stores {
        winners += u32::from(store.append(append(thread, FIRST, 1, &["mine"])).await.is_ok());
    }
    assert_eq!(winners, 1);
    for store in stores {
        store.close().await;
    }
    maker.close().await;
}
