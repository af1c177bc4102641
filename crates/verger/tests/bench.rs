//! The bench measures what it says it does: every step of it, a few times each, against this build. What it finds is
//! not judged here: a debug build on a busy machine has no speed.

#![forbid(unsafe_code)]

use std::path::Path;

use verger_testkit::load::bench::{Bench, Flavor, Sizes, Step, Subject};
use verger_testkit::{LeakGuard, ServerEntry, bad_helper};

fn subject(name: &str, program: &str) -> Subject {
    Subject { name: name.into(), program: program.into(), flavor: Flavor::Verger }
}

fn bench(subjects: Vec<Subject>, steps: &[Step]) -> Bench {
    let helper: &Path = bad_helper::path();
    let helper = ServerEntry::new(helper.to_str().expect("UTF-8"), ["--mode", "polite"].map(str::to_owned));
    Bench { subjects, steps: steps.to_vec(), runs: 2, sizes: Sizes::TINY, helper, notes: Vec::new() }
}

#[tokio::test]
async fn every_step_finds_its_figures_for_both_servers() {
    let guard = LeakGuard::new();
    let verger = env!("CARGO_BIN_EXE_verger");
    let mut said = Vec::new();
    let report = bench(vec![subject("one", verger), subject("other", verger)], Step::ALL)
        .run(|what| said.push(what.to_owned()))
        .await;
    assert_eq!(report.skipped(), [""; 0]);
    let figures = report.to_json()["figures"].as_array().expect("a list").clone();
    let names: Vec<&str> = figures.iter().filter_map(|figure| figure["name"].as_str()).collect();
    let expected = [
        "start-up, fresh home",
        "start-up",
        "round trip, 1 at once",
        "round trip, 8 at once",
        "round trip, 64 at once",
        "thread/start",
        "thread/resume, loaded",
        "thread/resume, cold",
        "turn",
        "tool call",
        "resident, idle",
        "resident, after one turn",
        "resident, each thread loaded",
        "resident, 2 threads with a turn each",
        "resident, after its client left",
    ];
    let (long, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains(" items: "));
    let (followed, others): (Vec<&str>, Vec<&str>) = others.iter().partition(|name| name.contains(" who "));
    let (of_jobs, others): (Vec<&str>, Vec<&str>) = others.iter().partition(|name| name.contains(" jobs: "));
    assert_eq!(others, expected);
    assert_eq!(
        of_jobs,
        [
            "0 jobs: first start, until they are listed",
            "0 jobs: start, until they are listed",
            "0 jobs: wake-ups in 0ns, nothing due",
            "20 jobs: first start, until they are listed",
            "20 jobs: start, until they are listed",
            "20 jobs: wake-ups in 0ns, nothing due",
            "20 jobs: a page of 99",
            "20 jobs: resident, beyond a server without any",
            "20 jobs: a tick, 1 due, until all is told",
            "20 jobs: a tick, 5 due, until all is told",
        ]
    );
    assert_eq!(
        followed,
        [
            "3 who read, 0 who do not: an event's delay",
            "3 who read, 0 who do not: resident at most, beyond before",
            "3 who read, 2 who do not: an event's delay",
            "3 who read, 2 who do not: resident at most, beyond before",
        ]
    );
    assert_eq!(long.len() % 2, 0, "the same of a shorter thread and a longer one: {long:?}");
    assert!(!long.is_empty());
    for figure in &figures {
        for subject in ["one", "other"] {
            let runs = figure[subject].as_array().expect("runs");
            assert_eq!(runs.len(), 2, "{figure:#}");
            let counted = |run: &serde_json::Value| {
                run["n"].as_u64() > Some(0) || run["bytes"].is_number() || run["count"].is_number()
            };
            assert!(runs.iter().all(counted), "{figure:#}");
        }
    }
    let round_trips = &figures[2]["one"][0];
    assert!(round_trips["n"] == 64 && round_trips["cpu"].as_f64() > Some(0.0), "{round_trips}");
    let disk = report.notes().iter().find(|note| note.starts_with("one fdatasync"));
    assert!(disk.is_some_and(|note| note.contains(" us / ") || note.contains(" ms / ")), "{disk:?}");
    // Each goes first once.
    let first = |run: usize| said.iter().find(|what| what.starts_with(&format!("run {run}"))).cloned();
    assert_eq!(first(1).as_deref(), Some("run 1 of 2: start-up, one"));
    assert_eq!(first(2).as_deref(), Some("run 2 of 2: start-up, other"));
    guard.finish();
}

#[tokio::test]
async fn a_server_that_does_not_start_is_skipped_by_name_and_the_other_is_measured() {
    let guard = LeakGuard::new();
    let subjects = vec![subject("one", env!("CARGO_BIN_EXE_verger")), subject("broken", "false")];
    let report = bench(subjects, &[Step::ThreadStart]).run(|_| {}).await;
    let skipped = report.skipped();
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert!(skipped[0].starts_with("run 1: thread-start, broken: did not start: "), "{skipped:?}");
    let figure = &report.to_json()["figures"][0];
    assert!(figure["one"][1]["n"] == 2 && figure["ratio"].is_null(), "{figure:#}");
    guard.finish();
}
