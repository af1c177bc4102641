//! Damage is named, and stays where it is.

use std::fs;

use rusqlite::Connection;
use verger_core::ids::{Seq, ThreadId};
use verger_store::StoreError;

use crate::home::{FIRST, Home, append, bodies, create, some_thread, try_open};

/// A closed store with two threads of three records.
async fn two_threads(home: &Home) -> [ThreadId; 2] {
    let store = home.open("maker");
    let threads = [some_thread(), some_thread()];
    for thread in threads {
        store.append(create(thread, &["one", "two", "three"])).await.unwrap();
    }
    store.close().await;
    threads
}

#[tokio::test]
async fn a_changed_or_missing_record_is_named_and_the_rest_is_read() {
    for (statement, what) in [
        ("UPDATE event SET body = x'747730' WHERE key = 1 << 32 | 2", "its checksum does not match"),
        ("UPDATE event SET gen = gen + 1 WHERE key = 1 << 32 | 2", "its checksum does not match"),
        ("UPDATE event SET kind = 8 WHERE key = 1 << 32 | 2", "its checksum does not match"),
        ("UPDATE event SET crc = -1 WHERE key = 1 << 32 | 2", "its checksum does not match"),
        ("UPDATE event SET kind = 263 WHERE key = 1 << 32 | 2", "its kind is not one"),
        ("DELETE FROM event WHERE key = 1 << 32 | 2", "it is missing"),
    ] {
        let home = Home::new();
        let [hurt, sound] = two_threads(&home).await;
        let touched = Connection::open(home.path().join("store.db")).unwrap().execute(statement, []).unwrap();
        assert_eq!(touched, 1, "{statement}");

        let store = home.open("run");
        let error = store.read(hurt, Seq(0), 10, 1000).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { thread, seq: Seq(2), what: w } if *thread == hurt && *w == what),
            "{statement}: {error}"
        );
        assert!(error.to_string().contains(&format!("thread {hurt}: record 2 is damaged: {what}")));
        assert_eq!(store.read_upto(hurt, Seq(0), Seq(1), 10, 1000).await.unwrap().len(), 1);
        assert_eq!(store.read(hurt, Seq(2), 10, 1000).await.unwrap().len(), 1);
        assert_eq!(bodies(&store, sound).await, ["one", "two", "three"]);
        store.claim(sound, FIRST).await.unwrap();
        store.append(append(sound, FIRST, 3, &["four"])).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_scribbled_file_is_an_error_and_no_panic() {
    let home = Home::new();
    let [thread, _] = two_threads(&home).await;
    let file = home.path().join("store.db");
    let mut content = fs::read(&file).unwrap();
    // All but the header page.
    content[4096..].fill(0xa5);
    fs::write(&file, content).unwrap();
    let error = match try_open(&home.path(), "run") {
        Err(error) => error,
        Ok(store) => {
            let error = store.thread(thread).await.unwrap_err();
            store.close().await;
            error
        }
    };
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("store.db: is corrupt"), "{error}");
}
