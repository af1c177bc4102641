//! Two servers on one home: both serve, a thread has one owner, and the end of one frees what it owned.

use serde_json::{Value, json};
use verger_testkit::{Client, Daemon, Launch};

use crate::stage::{STUBBORN, Stage, loaded, resume, touch, turn, verger};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_has_one_owner_and_a_kill_frees_it() {
    let mut stage = Stage::lazy(&["setsid"]);
    let second = Daemon::app_server(verger(), &stage.home);
    let mine = stage.client("first").await;
    let theirs = Client::open(&second.url(), "second").await;
    let thread = stage.saved(&mine).await;
    touch(&mine, &thread).await;
    let helpers = stage.helpers();

    let listed = theirs.call("thread/list", json!({})).await;
    assert_eq!(listed["data"][0]["id"], thread.as_str(), "both see what is saved");
    let owner = stage.daemon.pid();
    let refusal = format!("thread {thread} already has an active writer (pid {owner})");
    let named = json!({ "threadId": thread });
    assert_eq!(theirs.refused("thread/resume", named.clone()).await, (-32600, refusal.clone()));
    for method in ["thread/archive", "thread/delete"] {
        assert_eq!(theirs.refused(method, named.clone()).await.1, refusal, "{method}");
    }
    let mut labelled = named.clone();
    labelled["name"] = json!("n");
    labelled["gitInfo"] = json!({ "sha": "s" });
    for method in ["thread/name/set", "thread/metadata/update"] {
        assert_eq!(theirs.refused(method, labelled.clone()).await.1, refusal, "{method}");
    }
    let forked = theirs.call("thread/fork", named.clone()).await;
    assert_eq!(forked["thread"]["turns"].as_array().map(Vec::len), Some(1), "to fork is to read");
    let forked = forked["thread"]["id"].as_str().expect("an id");
    let said = (-32600, format!("cannot delete thread {thread}: forked history still references it"));
    assert_eq!(mine.refused("thread/delete", named.clone()).await, said, "which the first one respects");
    theirs.call("thread/delete", json!({ "threadId": forked })).await;
    let elsewhere = crate::stage::thread(&theirs, &stage.home).await;
    assert_eq!(turn(&theirs, &elsewhere, "hi").await["status"], "completed", "the second serves too");
    assert_eq!(loaded(&theirs).await, [elsewhere.as_str()], "each has its own");
    assert_eq!(helpers.alive().len(), helpers.len(), "nothing of the first was touched");

    let ps = Launch::new(verger(), &stage.home, &["ps", "--json"]).output().unwrap();
    assert!(ps.status.success(), "{ps:?}");
    let shown = String::from_utf8(ps.stdout).unwrap();
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut pids: Vec<_> = shown.iter().filter_map(|ps| ps["server"]["pid"].as_i64()).collect();
    let mut both = vec![i64::from(owner), i64::from(second.pid())];
    pids.sort_unstable();
    both.sort_unstable();
    assert_eq!(pids, both, "verger ps shows both");

    stage.daemon.signal(rustix::process::Signal::KILL);
    stage.daemon.wait(STUBBORN);
    let resumed = resume(&theirs, &thread).await;
    assert_eq!(resumed["thread"]["turns"].as_array().expect("turns").len(), 1);
    assert_eq!(turn(&theirs, &thread, "hi").await["status"], "completed");
    helpers.wait(STUBBORN).expect("the first one's helpers went with it");
    theirs.close().await;
    assert!(second.stop().success());
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_that_was_left_can_move_to_the_other() {
    let stage = Stage::bare();
    let second = Daemon::app_server(verger(), &stage.home);
    let (mine, observer) = (stage.client("first").await, stage.client("observer").await);
    let theirs = Client::open(&second.url(), "second").await;
    let thread = stage.saved(&mine).await;
    let from = observer.mark();
    mine.close().await;
    crate::stage::closed(&observer, from, &thread).await;
    resume(&theirs, &thread).await;
    let (_, refusal) = observer.refused("thread/resume", json!({ "threadId": thread })).await;
    assert!(refusal.ends_with(&format!("already has an active writer (pid {})", second.pid())), "{refusal}");
    drop((theirs, observer));
    assert!(second.stop().success());
    stage.finish();
}
