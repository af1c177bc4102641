//! SIGKILL at any moment loses nothing that was acknowledged.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

use rusqlite::Connection;
use verger_core::ids::Seq;
use verger_store::Store;

use crate::children::{Child, nth_body, nth_thread};
use crate::home::try_open;

const KILLS: u32 = 50;

#[tokio::test]
async fn fifty_kills_lose_no_acknowledged_record() {
    let home = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<u32, u32> = HashMap::new();
    for kill in 0..KILLS {
        let mut child = Child::start(&[], "append", home.path(), &format!("child-{kill}")).unwrap();
        child.tell("0");
        // The child goes on while it is being killed, so the moment falls anywhere between two answers.
        for _ in 0..RandomState::new().build_hasher().finish() % 100 {
            note(&mut acknowledged, child.hear());
        }
        child.kill();
        while let Some(said) = child.hear() {
            note(&mut acknowledged, Some(said));
        }
        let store = try_open(&home.path().join("store"), &format!("check-{kill}")).unwrap();
        for (n, head) in &acknowledged {
            check(&store, *n, *head).await;
        }
        store.close().await;
    }
    assert_eq!(acknowledged.len(), 4, "all of its threads were written to");
    assert_sound(&home.path().join("store"));
}

fn note(acknowledged: &mut HashMap<u32, u32>, said: Option<String>) {
    let said = said.expect("the child appends until it is killed");
    let (n, head) = said.split_once(' ').unwrap();
    acknowledged.insert(n.parse().unwrap(), head.parse().unwrap());
}

/// Thread n has every record up to the acknowledged one, and each is what the child wrote.
pub(crate) async fn check(store: &Store, n: u32, acknowledged: u32) {
    let records = store.read(nth_thread(n), Seq(0), usize::MAX, usize::MAX).await.unwrap();
    assert!(records.len() >= acknowledged as usize, "thread {n}: {} < {acknowledged}", records.len());
    for (record, seq) in records.iter().zip(1..) {
        assert_eq!(record.seq, Seq(seq));
        assert_eq!(record.body, nth_body(n, seq), "thread {n}, record {seq}");
    }
}

/// SQLite agrees.
pub(crate) fn assert_sound(store: &Path) {
    let conn = Connection::open(store.join("store.db")).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}
