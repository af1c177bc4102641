//! A crowd of clients that come, go, stall and are cut at random: at every rest each knows what the log tells up to its place
//! (K5). `VERGER_CROWD_SEED` draws what a failure drew; `VERGER_TEST_SCALE` past 1 makes the crowd a large one.

use verger_testkit::crowd::{Plan, World};
use verger_testkit::{Proxy, Weather};

use crate::stage::{Stage, scale};

/// A small crowd, or a number of large ones: 20 in `cargo xtask soak crowd`.
fn plans() -> Vec<Plan> {
    let given = std::env::var("VERGER_CROWD_SEED").ok();
    let given = given.map(|seed| seed.parse::<u64>().expect("VERGER_CROWD_SEED is a whole number"));
    let seeds = match (given, scale()) {
        (Some(seed), _) => seed..=seed,
        (None, 1) => 1..=1,
        (None, scale) => 1..=2 * scale as u64,
    };
    seeds.map(|seed| if scale() > 1 { Plan::full(seed) } else { Plan::short(seed) }).collect()
}

/// A server that is left soon, also by clients that it cut.
fn stage() -> Stage {
    Stage::new(|home| {
        let config = home.config().table("[threads]\nresume_grace = \"1s\"");
        config.server("helper", &home.bad_helper(&["polite"]))
    })
}

/// Runs a crowd through to its end; what it did is printed.
async fn run(plan: Plan, direct: &str, url: &str, stage: &Stage) -> u64 {
    let begun = World::begin(plan, direct, url, &stage.home.work()).await;
    let mut world = begun.unwrap_or_else(|broken| panic!("{broken}"));
    let run = world.run().await;
    let tally = world.tally();
    eprintln!("{tally}");
    run.unwrap_or_else(|broken| panic!("{broken}"));
    tally.taken()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_view_is_the_log_at_its_place() {
    let (mut steps, seeds) = (0, plans());
    for plan in &seeds {
        let stage = stage();
        let url = stage.daemon.url();
        steps += run(plan.clone(), &url, &url, &stage).await;
        stage.finish();
    }
    println!("SOAK {{\"seeds\": {}, \"steps\": {steps}}}", seeds.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_view_is_the_log_at_its_place_over_a_bad_network() {
    let (mut steps, mut cuts, seeds) = (0, 0, plans());
    for plan in &seeds {
        let stage = stage();
        let proxy = Proxy::start(stage.daemon.address(), Weather::ROUGH, plan.seed).await;
        let proxy = proxy.expect("a free port");
        // Everything takes longer on such a network: half of a small crowd's work will do.
        let steps_of_it = if scale() > 1 { plan.steps } else { plan.steps / 2 };
        let plan = Plan { steps: steps_of_it, ..plan.clone().rough() };
        steps += run(plan, &stage.daemon.url(), &proxy.url(), &stage).await;
        eprintln!("the network did: {}", proxy.did());
        cuts += proxy.cuts();
        proxy.stop().await;
        stage.finish();
    }
    assert!(cuts > 0, "the network was a good one");
    println!("SOAK {{\"cuts\": {cuts}, \"seeds\": {}, \"steps\": {steps}}}", seeds.len());
}
