//! Many switches: at the end threads, helpers, descriptors, tasks and memory stand where they stood after the 50th.

use serde_json::{Value, json};
use verger_testkit::Client;

use crate::stage::{STUBBORN, Stage, closed, loaded, resume, scale, touch};

const SWITCHES: usize = 100;

/// By then caches are warm: statements, the page cache, the allocator's arenas.
const WARM: usize = 50;

/// What an allocator may keep or give back between two looks; measured on a quiet machine: 0.1 MB. A loaded thread takes
/// up to 30 kB, so that one leaked by each of 50 switches shows; at scale 10, 2 kB of each switch do.
const RSS_TOLERANCE_MB: f64 = 1.4;

#[derive(Debug)]
struct Standing {
    loaded: usize,
    helpers: usize,
    listed_helpers: usize,
    connections: u64,
    tasks: u64,
    descriptors: usize,
    rss_mb: f64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_switches_leave_the_server_where_it_stood() {
    let mut stage = Stage::lazy(&["polite"]);
    let maker = stage.client("maker").await;
    let mut threads = Vec::new();
    for _ in 0..5 {
        threads.push(stage.saved(&maker).await);
    }
    maker.close().await;
    stage.restart();
    let observer = stage.client("observer").await;
    let mut warm = None;
    let total = SWITCHES * scale();
    for (switch, thread) in (1..=total).zip(threads.iter().cycle()) {
        let from = observer.mark();
        let client = stage.client("switcher").await;
        resume(&client, thread).await;
        touch(&client, thread).await;
        let helpers = stage.helpers();
        // Every third client crashes instead of leaving.
        if switch % 3 == 0 {
            drop(client)
        } else {
            client.close().await
        }
        helpers.wait(STUBBORN).expect("the helper ends");
        closed(&observer, from, thread).await;
        if switch == WARM {
            warm = Some(standing(&stage, &observer).await);
        }
    }
    let warm = warm.expect("there are more switches than it takes to get warm");
    let end = standing(&stage, &observer).await;
    eprintln!("after {WARM}: {warm:?}\nafter {total}: {end:?}");
    let figures = json!({
        "switches": total,
        "tasks": end.tasks,
        "descriptors": end.descriptors,
        "rss_mb_at_50": rounded(warm.rss_mb),
        "rss_mb_at_end": rounded(end.rss_mb),
    });
    println!("SOAK {figures}");
    assert_eq!((end.loaded, end.helpers, end.listed_helpers), (0, 0, 0));
    assert_eq!((warm.connections, end.connections), (1, 1), "only the observer is left");
    assert_eq!(end.tasks, warm.tasks, "tasks");
    assert_eq!(end.descriptors, warm.descriptors, "descriptors");
    assert!(end.rss_mb - warm.rss_mb <= RSS_TOLERANCE_MB, "resident: {} -> {} MB", warm.rss_mb, end.rss_mb);
    observer.close().await;
    stage.finish();
}

fn rounded(megabytes: f64) -> f64 {
    (megabytes * 100.0).round() / 100.0
}

/// Nothing tells a client when the last task of another's connection or helper has ended, so this asks 200 times, each
/// a round trip in which the server's tasks run: what is there every time stays, the lowest count tells.
async fn standing(stage: &Stage, observer: &Client) -> Standing {
    let (mut ps, mut tasks) = (Value::Null, u64::MAX);
    for _ in 0..200 {
        ps = observer.call("verger/ps", json!({})).await;
        tasks = tasks.min(ps["tasks"].as_u64().expect("a number"));
    }
    #[expect(clippy::cast_precision_loss, reason = "megabytes, to compare with a tolerance of several")]
    let rss_mb = stage.daemon.rss().expect("it runs") as f64 / 1e6;
    Standing {
        loaded: loaded(observer).await.len(),
        helpers: stage.home.tag().live().len(),
        listed_helpers: ps["helpers"].as_array().expect("a list").len(),
        connections: ps["connections"].as_u64().expect("a number"),
        tasks,
        descriptors: stage.daemon.descriptors().expect("it runs"),
        rss_mb,
    }
}
