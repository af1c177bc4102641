//! Long histories: 10,000 steps from each of 20 seeds, with forks and crashes on the way. After every step the log tells exactly
//! what clients were told; the executor holds the machine to it.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::executor::Executor;
use super::histories::{Step, step, take};

const SEEDS: u8 = 20;
const STEPS: u32 = 10_000;
/// After so many steps, on average, the log gets another owner: half of them of a fork, half after a crash.
const STAY: u32 = 400;

/// Runs one seed; how many turns its threads had in all.
fn run(seed: u8) -> usize {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // A full disk ends what the log and the clients have in common; histories of their own tell of it.
    let steps = step().prop_filter("no full disk", |step| !matches!(step, Step::DiskFull));
    let changes = (0..STAY, proptest::bool::ANY);
    let mut thread = Executor::new();
    let mut sources = Vec::new();
    let mut turns = 0;
    for _ in 0..STEPS {
        let next = steps.new_tree(&mut runner).expect("most steps are no full disk").current();
        take(&mut thread, next);
        let (roll, is_fork) = changes.new_tree(&mut runner).expect("no filter").current();
        if roll > 0 {
            continue;
        }
        let next = thread.successor();
        let mut before = std::mem::replace(&mut thread, next);
        turns += before.first.turns.len();
        if is_fork {
            let log = before.log.clone();
            sources.push((before, log));
        } else {
            thread.takes_over(&mut before);
        }
    }
    // What a fork does is no business of its source's.
    for (mut source, log) in sources {
        assert_eq!(source.log, log, "a fork has changed its source");
        source.interrupt();
        source.catch_all_up();
    }
    thread.interrupt();
    thread.catch_all_up();
    turns + thread.first.turns.len()
}

#[test]
fn twenty_seeds_of_ten_thousand_steps() {
    let turns: Vec<usize> = (0..SEEDS).map(run).collect();
    let fewest = turns.iter().min().expect("there are seeds");
    assert!(*fewest > 50, "a seed in which little happens says little: {turns:?}");
}
