//! Every shape of badly behaved helper, ended in every way, at every level: gone means gone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::collections::BTreeMap;
use std::time::Duration;

use house::{House, kill, now, options};
use verger_reaper::{Exit, Gone, Level, Options, Stop};

/// How long anything here may take: all graces together are 350 ms, the rest is room for a busy machine.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Orderly,
    Kill,
    Drop,
    LeaderExit,
}

/// What a leader leaves behind when it is killed, and whether it leaves when its stdin closes.
struct Shape {
    name: &'static str,
    strays: std::ops::RangeInclusive<u32>,
    polite: bool,
}

const fn shape(name: &'static str, low: u32, high: u32, polite: bool) -> Shape {
    Shape { name, strays: low..=high, polite }
}

async fn check(shape: Shape, ending: Ending) {
    let house = House::open(options());
    for level in house.levels() {
        let helper = house.spawn(shape.name, Some(level)).await.unwrap();
        assert!(!house.tag.alive().is_empty());
        let custody = helper.custody.clone();
        assert_eq!(custody.level(), level);
        let begun = now();
        let gone = match ending {
            Ending::Orderly => {
                drop(helper.stdin);
                custody.stop(Stop::Orderly);
                custody.gone().await.unwrap()
            }
            Ending::Kill => {
                custody.stop(Stop::Kill);
                custody.gone().await.unwrap()
            }
            Ending::Drop => {
                // The pipes stay open: only the custody goes.
                // Its shim ends after its tree: a scan could miss a chain that is between two links.
                let shim = house::pidfd(house.reaper.list()[0].shim_pid).unwrap();
                drop((helper.custody, custody));
                house::wait_exit(&shim);
                Gone { level, exit: None, strays: 0 }
            }
            Ending::LeaderExit => {
                kill(custody.pid());
                custody.leader_exited().await;
                assert!(begun.elapsed() < BUSY, "{:?}", begun.elapsed());
                custody.gone().await.unwrap()
            }
        };
        let took = begun.elapsed();
        assert_eq!(house.tag.alive(), BTreeMap::new(), "after gone(), at level {level}");
        assert_eq!(gone.level, level);
        assert!(took < BUSY, "{} took {took:?} at level {level}", shape.name);
        let strays_expected = ending == Ending::LeaderExit || ending == Ending::Orderly && shape.polite;
        if strays_expected {
            assert!(shape.strays.contains(&gone.strays), "{} strays", gone.strays);
        }
    }
    house.close().await;
}

macro_rules! shapes {
    ($($name:ident = $shape:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn stopped_in_order() {
                check($shape, Ending::Orderly).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn killed() {
                check($shape, Ending::Kill).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn dropped() {
                check($shape, Ending::Drop).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn leader_killed() {
                check($shape, Ending::LeaderExit).await;
            }
        }
    )*};
}

shapes! {
    good = shape("good", 0, 0, true);
    stubborn = shape("stubborn", 0, 0, false);
    wrapper = shape("wrapper", 1, 1, false);
    grandchild = shape("grandchild", 1, 1, true);
    setsid_daemon = shape("setsid", 1, 1, true);
    naked_daemon = shape("naked", 1, 1, true);
    stopped = shape("stopped", 0, 0, false);
    // Between two links of the chain a scan may see none or both.
    forking_chain = shape("chain", 0, 2, false);
    crowd = shape("crowd", 200, 200, true);
}

/// Sends the byte that makes an actor turn on its shim.
fn provoke(helper: &verger_reaper::Helper) {
    helper.stdin.try_write(b"x").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_kills_a_shim_its_orphans_follow_it() {
    let house = House::open(options());
    for level in house.levels() {
        let mut helper = house.spawn("shim-killer", Some(level)).await.unwrap();
        assert_eq!(house.tag.alive().len(), 2, "the helper and its naked daemon");
        provoke(&helper);
        if level == Level::Pidns {
            // Its parent is its init, which its signals do not reach. Someone from outside has to do it.
            assert_eq!(house::line(&mut helper).await, "ready");
            assert_eq!(house.tag.alive().len(), 2);
            kill(house.reaper.list()[0].shim_pid);
        }
        helper.custody.leader_exited().await;
        let gone = helper.custody.gone().await.unwrap();
        assert_eq!(house.tag.alive(), BTreeMap::new());
        assert_eq!(gone, Gone { level, exit: None, strays: 0 });
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_killed_shim_does_not_touch_its_neighbours() {
    let house = House::open(options());
    let elder = house.spawn("naked", None).await.unwrap();
    let before = house.tag.alive();
    let killer = house.spawn("shim-killer", None).await.unwrap();
    let of_killer = house.tag.alive().into_keys().filter(|pid| !before.contains_key(pid)).collect::<Vec<_>>();
    // Younger than the killer, as its orphans are.
    let younger = house.spawn("naked", None).await.unwrap();
    let mut neighbours = house.tag.alive();
    // Each is a leader and its daemon; what forked between the two may be about to exit.
    let leaders = [elder.custody.pid(), younger.custody.pid()];
    neighbours
        .retain(|pid, line| !of_killer.contains(pid) && (line.contains(" sit") || leaders.contains(pid)));
    assert_eq!(neighbours.len(), 4, "{neighbours:?}");
    provoke(&killer);
    killer.custody.gone().await.unwrap();
    let alive = house.tag.alive();
    assert!(neighbours.keys().all(|pid| alive.contains_key(pid)), "of {neighbours:?} live {alive:?}");
    assert!(of_killer.iter().all(|pid| !alive.contains_key(pid)), "{alive:?}");
    assert_eq!(house.reaper.list().len(), 2);
    drop((elder, younger));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_that_keeps_its_shim_stopped_is_ended_without_it() {
    let house = House::open(options());
    for level in house.levels() {
        for how in [Stop::Orderly, Stop::Kill] {
            let mut helper = house.spawn("shim-stopper", Some(level)).await.unwrap();
            provoke(&helper);
            drop(std::mem::replace(&mut helper.stdin, tokio::net::unix::pipe::pipe().unwrap().0));
            let begun = now();
            helper.custody.stop(how);
            let gone = helper.custody.gone().await.unwrap();
            // The graces, then the patience with a silent shim, then the proof.
            assert!(begun.elapsed() < BUSY, "{:?}", begun.elapsed());
            assert_eq!(house.tag.alive(), BTreeMap::new());
            assert_eq!(gone.level, level);
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_cuts_an_orderly_stop_short() {
    let house = House::open(options());
    let mut spec = house.spec("stubborn", Some(Level::Shim));
    spec.graces.stdin = Duration::from_secs(3600);
    let mut helper = house.reaper.spawn(spec).await.unwrap();
    assert_eq!(house::line(&mut helper).await, "ready");
    helper.custody.stop(Stop::Orderly);
    helper.custody.stop(Stop::Kill);
    helper.custody.gone().await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn term_reaches_the_whole_tree_and_even_the_stopped() {
    let house = House::open(options());
    for level in house.levels() {
        for shape in ["obedient", "stopped"] {
            let mut spec = house.spec(shape, Some(level));
            spec.graces.term = Duration::from_secs(3600);
            let mut helper = house.reaper.spawn(spec).await.unwrap();
            assert_eq!(house::line(&mut helper).await, "ready");
            helper.custody.stop(Stop::Orderly);
            let gone = helper.custody.gone().await.unwrap();
            assert_eq!((gone.exit, gone.strays), (Some(Exit::Signal(15)), 0), "{shape}");
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_that_was_stopped_is_woken_when_it_is_needed() {
    let house = House::open(Options { shim_limit: Duration::from_secs(3600), ..options() });
    for leader_first in [false, true] {
        let helper = house.spawn("naked", Some(Level::Shim)).await.unwrap();
        let shim = house::pidfd(house.reaper.list()[0].shim_pid).unwrap();
        rustix::process::pidfd_send_signal(&shim, rustix::process::Signal::STOP).unwrap();
        if leader_first {
            kill(helper.custody.pid());
        } else {
            helper.custody.stop(Stop::Kill);
        }
        helper.custody.leader_exited().await;
        helper.custody.gone().await.unwrap();
        assert_eq!(house.tag.alive(), BTreeMap::new());
    }
    house.close().await;
}

/// The helper's own doing as a rule: it runs before its shim has said so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_that_is_stopped_while_it_starts_its_helper_is_woken() {
    let house = House::open(Options { shim_limit: Duration::from_millis(200), ..options() });
    for level in house.levels() {
        // No event tells of a new child, and the moment is short: a thread looks without rest. Before its execution the shim
        // still is this very process, which would wait for it for ever.
        let is_shim = |pid: u32| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"verger-shim"))
        };
        let stopper = std::thread::spawn(move || {
            loop {
                if let Some(&shim) = house::children().iter().find(|&&pid| is_shim(pid)) {
                    let pidfd = house::pidfd(shim).unwrap();
                    rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::STOP).unwrap();
                    return;
                }
            }
        });
        let helper =
            house.spawn("good", Some(level)).await.expect("the start goes on, long before its limit");
        stopper.join().unwrap();
        helper.custody.stop(Stop::Kill);
        helper.custody.gone().await.unwrap();
    }
    house.close().await;
}
