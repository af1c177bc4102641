//! A crowd of clients that come, go, stall and are cut at random: at every rest each knows what the log tells up to its place (K5).

use verger_testkit::crowd::{Plan, World};

use crate::stage::{Stage, scale};

/// How many seeds are drawn from, and how large the crowds are: 20 large ones in `cargo xtask soak crowd`.
fn plans() -> Vec<Plan> {
    let seed = std::env::var("VERGER_CROWD_SEED");
    let first = seed.map_or(1, |seed| seed.parse().expect("VERGER_CROWD_SEED is a whole number"));
    let last = if scale() > 1 { first + 2 * scale() as u64 - 1 } else { first };
    (first..=last).map(|seed| if scale() > 1 { Plan::full(seed) } else { Plan::short(seed) }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_view_is_the_log_at_its_place() {
    for plan in plans() {
        let stage = Stage::lazy(&["polite"]);
        let (url, work) = (stage.daemon.url(), stage.home.work());
        let begun = World::begin(plan, &url, &url, &work).await;
        let mut world = begun.unwrap_or_else(|broken| panic!("{broken}"));
        let run = world.run().await;
        eprintln!("{}", world.tally());
        run.unwrap_or_else(|broken| panic!("{broken}"));
        drop(world);
        stage.finish();
    }
}
