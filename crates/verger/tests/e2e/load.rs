//! Many clients, each of which keeps an account of every thread: what they saw is what the home keeps, once.

use std::time::Duration;

use futures_util::future::try_join_all;
use verger_testkit::load::{self, Bounds, Load, connect, shift};
use verger_testkit::{Daemon, NoResult};

use crate::stage::{Stage, scale, verger};

const CLIENTS: usize = 4;
const THREADS: usize = 3;

/// Texts of several kinds, so that turns have several kinds of items.
fn says(turn: usize) -> String {
    let texts = ["hi", "STREAM n=40 size=12", "CALL mcp__helper echo {\"text\":\"x\"}"];
    texts[turn % texts.len()].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_clients_of_two_servers_saw_is_what_their_home_keeps() {
    let stage = Stage::lazy(&["polite"]);
    let second = Daemon::app_server(verger(), &stage.home);
    let urls = [stage.daemon.url(), second.url()];
    let servers = try_join_all(urls.iter().map(|url| connect(url, CLIENTS))).await.expect("both serve");
    let mut load = Load::new(servers);
    let (work, bounds) = (stage.home.work(), Bounds { count: 12 * scale(), time: Duration::MAX });
    let shifts = load.all().map(|(_, client)| shift(client, &work, THREADS, bounds, says));
    let shifts = try_join_all(shifts).await.expect("every turn completes");
    let turns: u64 = shifts.iter().map(|shift| shift.writes.count()).sum();
    assert_eq!(turns, (2 * CLIENTS * bounds.count) as u64);

    // One is cut while its turn runs; the next client takes the thread over and is there at the end.
    let thread = &shifts[0].threads[0];
    let turn =
        load.clients(0)[0].begin_turn(thread, "STREAM n=40 size=12 delay_ms=5").await.expect("it begins");
    load.cut(0, 0);
    let heir = load::Client::open(&urls[0], "heir").await.expect("it serves");
    heir.resume(thread).await.expect("the thread is there");
    heir.ended(thread, &turn).await.expect("the turn ends");
    interrupted(&heir, thread).await.expect("a turn can be interrupted");
    load.join(0, heir);

    // One moves: left at the first server, it goes on at the second.
    let moving = &shifts[1].threads[0];
    let (from, to) = (&load.clients(0)[0], &load.clients(1)[0]);
    from.unsubscribe(moving).await.expect("it was followed");
    let closed = |ledger: &load::Ledger| (ledger.account(moving)?.closings > 0).then_some(());
    from.until("thread/closed", closed).await.expect("it closes");
    to.resume(moving).await.expect("nobody owns it");
    assert_eq!(to.turn(moving, "hi").await.as_deref(), Ok("completed"));

    for (_, reader) in [load.all().next(), load.all().last()].into_iter().flatten() {
        assert_eq!(load.faults(reader).await.expect("every thread can be read"), [""; 0]);
    }
    drop(load);
    assert!(second.stop().success());
    stage.finish();
}

async fn interrupted(client: &load::Client, thread: &str) -> Result<(), NoResult> {
    let turn = client.begin_turn(thread, "SLEEP s=60").await?;
    client.interrupt(thread, &turn).await?;
    assert_eq!(client.ended(thread, &turn).await?, "interrupted");
    Ok(())
}
