//! What any backend must do for threads: materialize, append, read, change, delete.

use verger_core::ids::{Generation, Seq};
use verger_store::{AppendError, ChangeError, ClaimError, Labels, StoreError, ThreadPatch};

use crate::home::{FIRST, Home, append, bodies, create, some_thread};

#[tokio::test]
async fn nothing_is_stored_before_the_first_append() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    assert_eq!(store.thread(thread).await.unwrap(), None);
    assert!(matches!(store.claim(thread, FIRST).await, Err(ClaimError::NotFound(id)) if id == thread));
    assert!(matches!(store.append(append(thread, FIRST, 0, &["a"])).await, Err(AppendError::NotFound(_))));
    let read = store.read(thread, Seq(0), 10, 1000).await;
    assert!(matches!(read, Err(StoreError::UnknownThread(id)) if id == thread));
    store.close().await;
}

#[tokio::test]
async fn a_thread_comes_back_as_it_was_stored() {
    let home = Home::new();
    let store = home.open("run");
    let (thread, parent) = (some_thread(), some_thread());
    let mut first = create(thread, &["one", "", "three"]);
    let new = first.create.as_mut().unwrap();
    new.name = Some("a name".to_owned());
    new.model = Some("a model".to_owned());
    new.preview = "hello".to_owned();
    new.settings = r#"{"approvalPolicy":"never"}"#.to_owned();
    new.forked_from = Some(parent);
    new.git_info = Some(r#"{"branch":"main"}"#.to_owned());
    let new = new.clone();
    assert_eq!(store.append(first).await.unwrap(), Seq(3));
    let epoch = store.log_epoch().to_owned();
    store.close().await;

    let store = home.open("later run");
    assert_eq!(store.log_epoch(), epoch);
    let row = store.thread(thread).await.unwrap().unwrap();
    assert_eq!((row.id, row.head, row.archived), (thread, Seq(3), false));
    assert_eq!((row.created_at, row.updated_at), (1_000, 1_000));
    assert_eq!((row.name, row.model, row.preview), (new.name, new.model, new.preview));
    assert_eq!((row.cwd, row.model_provider, row.settings), (new.cwd, new.model_provider, new.settings));
    assert_eq!((row.forked_from, row.git_info), (Some(parent), new.git_info));
    let records = store.read(thread, Seq(0), 10, 1000).await.unwrap();
    assert_eq!(records.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(records.iter().all(|record| record.kind == 7 && record.generation == FIRST));
    assert_eq!(bodies(&store, thread).await, ["one", "", "three"]);
    store.close().await;
}

#[tokio::test]
async fn a_thread_is_created_once() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    store.append(create(thread, &["a"])).await.unwrap();
    assert!(matches!(store.append(create(thread, &["b"])).await, Err(AppendError::Exists(_))));
    assert_eq!(bodies(&store, thread).await, ["a"]);
    store.close().await;
}

#[tokio::test]
async fn a_create_that_is_refused_leaves_no_row() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    let mut wrong = create(thread, &["a"]);
    wrong.after = Seq(5);
    let error = store.append(wrong).await.unwrap_err();
    assert!(matches!(error, AppendError::SeqConflict { head: Seq(0), after: Seq(5), .. }), "{error}");
    assert_eq!(store.thread(thread).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn an_append_goes_only_to_the_end() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    store.append(create(thread, &["a", "b"])).await.unwrap();
    for wrong in [0, 1, 3] {
        let error = store.append(append(thread, FIRST, wrong, &["x"])).await.unwrap_err();
        assert!(matches!(error, AppendError::SeqConflict { head: Seq(2), .. }), "{error}");
    }
    assert_eq!(store.append(append(thread, FIRST, 2, &["c"])).await.unwrap(), Seq(3));
    assert_eq!(bodies(&store, thread).await, ["a", "b", "c"]);
    store.close().await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_goes_with_its_records() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    store.append(create(thread, &["a"])).await.unwrap();
    let before = store.thread(thread).await.unwrap().unwrap();

    let patch = ThreadPatch {
        updated_at: Some(2_000),
        preview: Some("p".to_owned()),
        settings: Some(r#"{"x":1}"#.to_owned()),
        ..ThreadPatch::default()
    };
    let mut refused = append(thread, FIRST, 9, &["b"]);
    refused.patch = patch.clone();
    store.append(refused).await.unwrap_err();
    assert_eq!(store.thread(thread).await.unwrap().unwrap(), before);

    // Without records it changes the row alone.
    let mut accepted = append(thread, FIRST, 1, &[]);
    accepted.patch = patch;
    assert_eq!(store.append(accepted).await.unwrap(), Seq(1));
    let after = store.thread(thread).await.unwrap().unwrap();
    assert_eq!(
        (after.updated_at, after.preview.as_str(), after.settings.as_str()),
        (2_000, "p", r#"{"x":1}"#)
    );
    assert_eq!(
        (after.cwd, after.model_provider, after.name),
        (before.cwd, before.model_provider, before.name)
    );
    store.close().await;
}

#[tokio::test]
async fn reads_are_bounded_by_records_bytes_and_end() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    let texts = ["0123456789"; 20];
    store.append(create(thread, &texts)).await.unwrap();
    let seqs = async |after, upto, limit, bytes| {
        let records = store.read_upto(thread, Seq(after), Seq(upto), limit, bytes).await.unwrap();
        records.iter().map(|record| record.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, u32::MAX, 3, 1000).await, [1, 2, 3]);
    assert_eq!(seqs(3, u32::MAX, 3, 1000).await, [4, 5, 6]);
    assert_eq!(seqs(0, u32::MAX, 100, 25).await, [1, 2]);
    assert_eq!(seqs(0, u32::MAX, 100, 20).await, [1, 2]);
    assert_eq!(seqs(0, u32::MAX, 100, 1).await, [1], "one record comes whatever its size");
    assert_eq!(seqs(17, 19, 100, 1000).await, [18, 19]);
    assert!(seqs(20, u32::MAX, 100, 1000).await.is_empty());
    store.close().await;
}

#[tokio::test]
async fn threads_do_not_see_each_other() {
    let home = Home::new();
    let store = home.open("run");
    let threads = [some_thread(), some_thread(), some_thread()];
    for (thread, text) in threads.iter().zip(["a", "b", "c"]) {
        store.append(create(*thread, &[text])).await.unwrap();
    }
    store.append(append(threads[1], FIRST, 1, &["b2"])).await.unwrap();
    assert_eq!(bodies(&store, threads[0]).await, ["a"]);
    assert_eq!(bodies(&store, threads[1]).await, ["b", "b2"]);
    assert_eq!(bodies(&store, threads[2]).await, ["c"]);
    assert_eq!(store.thread(threads[1]).await.unwrap().unwrap().head, Seq(2));
    store.close().await;
}

#[tokio::test]
async fn labels_come_and_go_each_by_itself() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    let name = |name: Option<&str>| Labels { name: Some(name.map(str::to_owned)), git_info: None };
    let git = |git: Option<&str>| Labels { name: None, git_info: Some(git.map(str::to_owned)) };
    let missing = store.relabel(thread, name(Some("n")), None).await;
    assert!(matches!(missing, Err(ChangeError::NotFound(_))));
    store.append(create(thread, &["a"])).await.unwrap();
    let steps = [
        (name(Some("n")), (Some("n"), None)),
        (git(Some("{}")), (Some("n"), Some("{}"))),
        (name(None), (None, Some("{}"))),
        (git(None), (None, None)),
    ];
    for (labels, expected) in steps {
        let row = store.relabel(thread, labels, Some(FIRST)).await.unwrap();
        assert_eq!((row.name.as_deref(), row.git_info.as_deref()), expected);
        assert_eq!(store.thread(thread).await.unwrap().unwrap(), row);
    }
    store.release(thread, FIRST).await.unwrap();
    store.set_archived(thread, true, None).await.unwrap();
    let archived = store.relabel(thread, name(Some("n")), None).await;
    assert!(matches!(archived, Err(ChangeError::Archived(_))), "{archived:?}");
    assert_eq!(store.relabel(thread, git(Some("{}")), None).await.unwrap().git_info.as_deref(), Some("{}"));
    store.close().await;
}

#[tokio::test]
async fn an_archived_thread_is_kept_but_not_claimed() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    assert!(matches!(store.set_archived(thread, true, None).await, Err(ChangeError::NotFound(_))));
    store.append(create(thread, &["a"])).await.unwrap();
    store.release(thread, FIRST).await.unwrap();
    let early = store.set_archived(thread, false, None).await;
    assert!(matches!(early, Err(ChangeError::NotArchived(_))), "{early:?}");
    store.set_archived(thread, true, None).await.unwrap();
    let again = store.set_archived(thread, true, None).await;
    assert!(matches!(again, Err(ChangeError::Archived(_))), "{again:?}");
    assert!(matches!(store.claim(thread, Generation(2)).await, Err(ClaimError::Archived(_))));
    assert_eq!(bodies(&store, thread).await, ["a"]);
    store.set_archived(thread, false, None).await.unwrap();
    assert_eq!(store.claim(thread, Generation(2)).await.unwrap().head, Seq(1));
    store.close().await;
}

#[tokio::test]
async fn a_deleted_thread_is_gone_and_its_id_is_free() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    // Longer than one portion of the garbage collector.
    let texts = vec!["x"; 2_000];
    store.append(create(thread, &texts)).await.unwrap();
    store.delete(thread, Some(FIRST)).await.unwrap();
    assert_eq!(store.thread(thread).await.unwrap(), None);
    assert!(matches!(store.read(thread, Seq(0), 1, 1).await, Err(StoreError::UnknownThread(_))));
    let late = store.append(append(thread, FIRST, 2_000, &["y"])).await;
    assert!(matches!(late, Err(AppendError::NotFound(_))));
    assert!(matches!(store.delete(thread, None).await, Err(ChangeError::NotFound(_))));
    store.append(create(thread, &["new life"])).await.unwrap();
    assert_eq!(bodies(&store, thread).await, ["new life"]);
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_says_so_to_its_other_handles() {
    let home = Home::new();
    let store = home.open("run");
    let thread = some_thread();
    let other = store.clone();
    let (_, last) = tokio::join!(
        // Queued before the close: kept and answered.
        async { assert_eq!(store.append(create(thread, &["a"])).await.unwrap(), Seq(1)) },
        other.clone().close(),
    );
    let () = last;
    let error = other.append(append(thread, FIRST, 1, &["b"])).await.unwrap_err();
    assert!(matches!(error, AppendError::Store(StoreError::Closed)), "{error}");
    assert!(matches!(other.thread(thread).await, Err(StoreError::Closed)));
    other.close().await;
}
