//! Prints how fast and how big an open store is: `cargo run --release -p verger-store --example measure_store [DIR]`.

#![expect(clippy::disallowed_methods, reason = "a clock of its own: this measures")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use uuid::Uuid;
use verger_core::ids::{Generation, Seq, ThreadId};
use verger_store::{Append, ListQuery, Liveness, NewThread, Record, Store, ThreadPatch};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const OWNER: Generation = Generation(1);
const PRODUCERS: usize = 32;
const EVENTS_EACH: u32 = 3_000;
const BODY: usize = 200;

fn main() -> Result<(), Failure> {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("verger-store-measure-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let result = runtime.block_on(measure(&dir));
    fs::remove_dir_all(&dir)?;
    result
}

async fn measure(dir: &std::path::Path) -> Result<(), Failure> {
    let rss = resident_kb()?;
    let start = Instant::now();
    let store = open(dir, "first")?;
    println!("first open (makes the files)      {:>9.2} ms", millis(start));
    println!("resident after it                 {:>9} kB", resident_kb()?.saturating_sub(rss));

    let one = new_thread();
    let mut head = store.append(append(one, Seq(0), 1)).await?;
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        head = store.append(Append { create: None, ..append(one, head, 1) }).await?;
        times.push(millis(start));
    }
    print_times("append, one producer", times);

    let start = Instant::now();
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        let store = store.clone();
        producers.spawn(async move {
            let thread = new_thread();
            let mut head = store.append(append(thread, Seq(0), 1)).await?;
            while head.0 < EVENTS_EACH {
                head = store.append(Append { create: None, ..append(thread, head, 1) }).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    for produced in producers.join_all().await {
        produced?;
    }
    let events = PRODUCERS as f64 * f64::from(EVENTS_EACH);
    println!("events/s, {PRODUCERS} producers, {BODY} B     {:>9.0}", events / millis(start) * 1e3);

    let mut turns = Vec::new();
    for _ in 0..500 {
        let thread = new_thread();
        store.append(append(thread, Seq(0), 6)).await?;
        store.release(thread, OWNER).await?;
        turns.push(thread);
    }
    let (mut claims, mut resumes) = (Vec::new(), Vec::new());
    for thread in turns {
        let start = Instant::now();
        let row = store.claim(thread, OWNER).await?;
        claims.push(millis(start));
        let records = store.read_upto(thread, Seq(0), row.head, usize::MAX, usize::MAX).await?;
        resumes.push(millis(start));
        assert_eq!(records.len(), 6);
    }
    print_times("claim", claims);
    print_times("claim and read a turn of 6", resumes);

    let mut times = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        let records = store.read(one, Seq(1_000), 500, usize::MAX).await?;
        times.push(millis(start));
        assert_eq!(records.len(), 500);
    }
    print_times("read 500 records", times);

    let mut times = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        let page = store.list(ListQuery { limit: 25, ..ListQuery::default() }).await?;
        times.push(millis(start));
        assert_eq!(page.rows.len(), 25);
    }
    print_times("list 25 of 533", times);
    println!("resident after all of it          {:>9} kB", resident_kb()?.saturating_sub(rss));
    let size = fs::metadata(dir.join("store.db"))?.len();
    println!("database                          {:>9} kB", size / 1024);
    store.close().await;

    let start = Instant::now();
    let store = open(dir, "second")?;
    println!("open again                        {:>9.2} ms", millis(start));
    store.close().await;
    Ok(())
}

fn open(dir: &std::path::Path, run: &str) -> Result<Store, Failure> {
    Ok(Store::open(dir, run, Arc::new(|_: &str| Liveness::Gone))?)
}

fn new_thread() -> ThreadId {
    ThreadId(Uuid::now_v7())
}

/// A thread's first append.
fn append(thread: ThreadId, after: Seq, count: usize) -> Append {
    let records = vec![Record { kind: 1, body: vec![b'x'; BODY] }; count];
    let create = Some(NewThread { settings: "{}".to_owned(), ..NewThread::default() });
    Append { thread, generation: OWNER, after, create, patch: ThreadPatch::default(), records }
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn print_times(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("{what:<33} {:>9.3} ms p50 {:>9.3} ms p99", at(0.5), at(0.99));
}

fn resident_kb() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
