//! A crowd of clients that come, go, stall and are cut at random: at every rest each knows what the log tells up to its place
//! (K5). `VERGER_CROWD_SEED` draws what a failure drew; `VERGER_TEST_SCALE` past 1 makes the crowd a large one, of which
//! `cargo xtask soak crowd` runs 20 seeds.

use serde_json::{Value, json};
use verger_testkit::crowd::{Plan, World};
use verger_testkit::{Proxy, Weather};

use crate::stage::{Stage, scale};

/// A small crowd, or a large one.
fn plan() -> Plan {
    let given = std::env::var("VERGER_CROWD_SEED").ok();
    let seed = given.map_or(1, |seed| seed.parse().expect("VERGER_CROWD_SEED is a whole number"));
    if scale() > 1 { Plan::full(seed) } else { Plan::short(seed) }
}

/// A server that is left soon, also by clients that it cut.
fn stage() -> Stage {
    Stage::new(|home| {
        let config = home.config().table("[threads]\nresume_grace = \"1s\"");
        config.server("helper", &home.bad_helper(&["polite"]))
    })
}

/// Runs a crowd through to its end; what it did is printed, and some of it given back.
async fn run(plan: Plan, direct: &str, url: &str, stage: &Stage) -> Value {
    let begun = World::begin(plan, direct, url, &stage.home.work()).await;
    let mut world = begun.unwrap_or_else(|broken| panic!("{broken}"));
    let run = world.run().await;
    let tally = world.tally();
    eprintln!("{tally}");
    run.unwrap_or_else(|broken| panic!("{broken}"));
    let (replays, snapshots) = tally.answers;
    json!({
        "seeds": 1,
        "steps": tally.taken(),
        "views_compared": tally.compared,
        "replays": replays,
        "snapshots": snapshots,
        "cut_as_slow": tally.slow,
        "turns_found": tally.acknowledged,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_view_is_the_log_at_its_place() {
    let stage = stage();
    let url = stage.daemon.url();
    let did = run(plan(), &url, &url, &stage).await;
    stage.finish();
    println!("SOAK {did}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_view_is_the_log_at_its_place_over_a_bad_network() {
    let (stage, plan) = (stage(), plan());
    let proxy = Proxy::start(stage.daemon.address(), Weather::ROUGH, plan.seed).await;
    let proxy = proxy.expect("a free port");
    // Everything takes longer on such a network: half of a small crowd's work will do.
    let steps = if scale() > 1 { plan.steps } else { plan.steps / 2 };
    let plan = Plan { steps, ..plan.rough() };
    let mut did = run(plan, &stage.daemon.url(), &proxy.url(), &stage).await;
    eprintln!("the network did: {}", proxy.did());
    let cuts = proxy.cuts();
    proxy.stop().await;
    stage.finish();
    assert!(cuts > 0, "the network was a good one");
    did["cuts"] = cuts.into();
    println!("SOAK {did}");
}
