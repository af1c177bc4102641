//! The matrix: every misbehaviour, at every level of containment, as every user, through every end; nothing survives.
//!
//! `VERGER_MATRIX=full` plays every cell instead of a pairwise choice; `VERGER_MATRIX_ONLY=setsid,archive` only those
//! whose name, `MODE/LEVEL/USER/END`, holds all of these.

mod birth;
mod cast;
mod ends;
mod pairs;
mod rule;
mod scene;
mod verdict;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use serde_json::json;
use verger_testkit::bad_helper;
use verger_testkit::clock::monotonic;

use cast::{Cell, End, Level, User};
use scene::{Play, Scene, contained, is_root};
use verdict::Failure;

use crate::stage::thread;

/// The quiet cells are played by so many tests, side by side.
const SHARES: usize = 6;

/// Plays the cells of which `is_mine` knows by their place; fails with the list of those that failed.
async fn play_those(is_mine: impl Fn(usize, &Cell) -> bool) {
    // Built, if need be, before anything is guarded.
    bad_helper::path();
    let cells = chosen(&machine().await);
    let mine = cells.iter().enumerate().filter(|(place, cell)| is_mine(*place, cell)).map(|(_, cell)| cell);
    let mut failed = Vec::new();
    for cell in mine {
        let begun = monotonic();
        let verdict = match AssertUnwindSafe(ends::play(cell)).catch_unwind().await {
            Ok(verdict) => verdict,
            Err(payload) => Err(Failure::panicked(&*payload)),
        };
        println!("{}", verdict::line(cell, &verdict, monotonic().saturating_sub(begun)));
        if let Err(failure) = verdict {
            failed.push(format!("{cell}: {failure:?}"));
        }
    }
    assert!(failed.is_empty(), "{} cells failed:\n{}", failed.len(), failed.join("\n"));
}

/// The cells of this run. What is left out is printed, with its reason and how many cells it costs.
fn chosen(machine: &rule::Machine) -> Vec<Cell> {
    let only = std::env::var("VERGER_MATRIX_ONLY").unwrap_or_default();
    let mut excluded: BTreeMap<String, usize> = BTreeMap::new();
    let mut cells = Vec::new();
    for cell in Cell::all() {
        match rule::excluded(&cell, machine) {
            Some(reason) => *excluded.entry(reason).or_default() += 1,
            None => cells.push(cell),
        }
    }
    println!("EXCLUDED {}", json!(excluded));
    match std::env::var("VERGER_MATRIX").as_deref() {
        Ok("full") => {}
        Ok(other) => panic!("VERGER_MATRIX is 'full' or not set, not {other:?}"),
        Err(_) if only.is_empty() => cells = pairs::pairwise(&cells),
        Err(_) => {}
    }
    cells.retain(|cell| only.split(',').all(|part| cell.to_string().contains(part)));
    cells
}

/// Finds out which levels this machine has, for which user, by asking a server where it put its helpers.
async fn machine() -> rule::Machine {
    let mut machine = rule::Machine::new();
    for user in User::ALL {
        let found = match user == User::Root && !is_root() {
            true => Level::ALL.map(|level| (level, Some("the tests do not run as root".to_owned()))),
            false => levels(user).await,
        };
        machine.extend(found.map(|(level, lacking)| ((level, user), lacking)));
    }
    machine
}

/// Each level, with the reason why `user` does not get it.
async fn levels(user: User) -> [(Level, Option<String>); 3] {
    let scene = Scene::new(user);
    let client = scene.client("client").await;
    let mut config = scene.home.config();
    for level in Level::ALL {
        config = config.server(level.name(), &contained(scene.polite(bad_helper::path()), level));
    }
    scene.home.write_config(&config.text()).expect("the home is writable");
    client.call("config/mcpServer/reload", json!({})).await;
    let thread = thread(&client, &scene.home).await;
    let mut calls = Vec::new();
    for level in Level::ALL {
        let call = scene::call(&thread, level.name(), "pid", json!({}));
        calls.push(client.ask("mcpServer/tool/call", call).await);
    }
    let ps = client.call("verger/ps", json!({})).await;
    client.close().await;
    assert_eq!(scene.finish(), Ok(()), "three polite helpers of {}", user.name());
    let helpers = ps["helpers"].as_array().expect("a list");
    let mut calls = calls.into_iter();
    Level::ALL.map(|level| {
        let (who, wanted) = (user.name(), level.name());
        let got = helpers.iter().find(|helper| helper["server"] == wanted).map(|helper| &helper["level"]);
        let lacking = match (calls.next().expect("one for each level"), got) {
            (Ok(_), Some(got)) if got == wanted => None,
            (Ok(_), got) => Some(format!("{who} asks for level `{wanted}` and gets {got:?} here")),
            (Err(why), _) => Some(format!("{who} does not get level `{wanted}` here: {why}")),
        };
        (level, lacking)
    })
}

macro_rules! shares {
    ($($name:ident => $share:literal),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $name() {
                play_those(|place, cell| !cell.mode().storms && place % SHARES == $share).await;
            }
        )+
    };
}

shares! { share_1 => 0, share_2 => 1, share_3 => 2, share_4 => 3, share_5 => 4, share_6 => 5 }

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn share_alone() {
    play_those(|_, cell| cell.mode().storms).await;
}

/// The matrix says how far each start had come; this requires that the moment can be hit.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_moment_between_spawn_and_registration_is_hit() {
    bad_helper::path();
    let cell = Cell { mode: 0, level: Level::Shim, user: User::Unprivileged, end: End::KillAtBirth };
    for attempt in 1..=50 {
        let play = Play::set(&cell).await;
        let call = scene::call(&play.thread, "helper", "pid", json!({}));
        let asked = async { drop(play.client.begin("mcpServer/tool/call", call).await) };
        let moment = birth::kill_at_birth(&play.scene.daemon, &play.scene.home, asked).await;
        moment
            .unborn
            .wait(crate::stage::STUBBORN)
            .expect("a shim ends with its server, and its newborn with it");
        println!("attempt {attempt}: {}", moment.name);
        assert_eq!(play.scene.end(), Ok(()));
        if moment.in_time {
            return;
        }
    }
    panic!("50 servers were killed too late");
}
