//! Two processes on one store.

use std::collections::HashMap;

use crate::children::Child;
use crate::home::try_open;
use crate::kills::{assert_sound, check};

#[tokio::test]
async fn two_processes_append_to_different_threads_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut children = ["one", "two"].map(|run| Child::start(&[], "append", home.path(), run).unwrap());
    children[0].tell("0");
    children[1].tell("100");
    let mut heads: HashMap<u32, u32> = HashMap::new();
    for _ in 0..200 {
        for child in &mut children {
            let said = child.hear().expect("neither hinders the other");
            let (n, head) = said.split_once(' ').unwrap();
            heads.insert(n.parse().unwrap(), head.parse().unwrap());
        }
    }
    children.iter_mut().for_each(Child::kill);
    let store = try_open(&home.path().join("store"), "check").unwrap();
    assert_eq!(heads.len(), 8);
    for (n, head) in heads {
        check(&store, n, head).await;
    }
    store.close().await;
    assert_sound(&home.path().join("store"));
}

#[test]
fn of_two_processes_one_gets_the_thread_and_the_other_gets_it_after_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let [mut one, mut two] = ["one", "two"].map(|run| Child::start(&[], "obey", home.path(), run).unwrap());
    one.ask("create");
    one.ask("release");

    one.tell("claim");
    two.tell("claim");
    let heard = [one.hear().unwrap(), two.hear().unwrap()];
    let (mut winner, mut loser) = if heard[0].starts_with("claimed") { (one, two) } else { (two, one) };
    let mut heard = heard;
    heard.sort();
    assert_eq!(heard, ["claimed at 1".to_owned(), format!("owned by {}", winner.pid())]);

    assert!(loser.ask("append").contains("does not own it"));
    assert_eq!(winner.ask("append"), "appended 2");
    winner.kill();
    assert_eq!(loser.ask("claim"), "claimed at 2");
    assert_eq!(loser.ask("append"), "appended 3");
}
