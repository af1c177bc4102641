//! Every interleaving of a small world: two clients, one saved thread, one helper, a crash.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::moves::Size;
use super::world::World;

/// Visits every state that `depth` moves can reach, breadth first, and lets each last one run out.
fn visit(start: World, depth: usize) -> usize {
    // States are told apart by a 64-bit hash: at a million of them a collision, which would only skip one, is unlikely.
    let hash = |world: &World| BuildHasherDefault::<DefaultHasher>::default().hash_one(world);
    let mut seen = HashSet::from([hash(&start)]);
    let mut front = vec![start];
    for level in 0..depth {
        let mut next = Vec::new();
        for world in front {
            for step in world.moves() {
                let mut after = world.clone();
                after.make(step);
                if seen.insert(hash(&after)) {
                    if level + 1 == depth {
                        after.run_out();
                    } else {
                        next.push(after);
                    }
                }
            }
        }
        front = next;
    }
    seen.len()
}

const SMALL: Size = Size {
    connections: 1,
    threads: 1,
    servers: 1,
    cuts: false,
    edits: false,
    probes: false,
    jobs: false,
    requests: 4,
    calm: 0,
    mishaps: 1,
    idles: 0,
    waits: 0,
    crash_limit: 2,
    max_helpers: 2,
};

#[test]
fn every_interleaving_of_two_clients_one_thread_one_helper_and_a_crash() {
    let size = Size { connections: 2, ..SMALL };
    let states = visit(World::with_saved_thread(size), 9);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_one_client_and_a_new_thread() {
    let size = SMALL;
    let states = visit(World::new(size), 12);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_edits_endings_and_a_resume() {
    let size = Size { connections: 2, edits: true, servers: 0, mishaps: 0, ..SMALL };
    let states = visit(World::with_saved_thread(size), 8);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_a_fork_and_the_end_of_its_source() {
    let size = Size { threads: 2, servers: 0, requests: 3, ..SMALL };
    let states = visit(World::with_saved_thread(size), 10);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_two_probes_and_a_shutdown() {
    let size = Size { threads: 0, probes: true, requests: 3, idles: 1, ..SMALL };
    let states = visit(World::new(size), 12);
    assert!(states > 1_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_a_question_a_client_and_a_shutdown() {
    let size = Size { connections: 2, servers: 0, requests: 3, waits: 2, ..SMALL };
    let states = visit(World::with_saved_thread(size), 10);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_calls_and_an_idle_helper() {
    let size = Size { requests: 5, mishaps: 0, idles: 2, ..SMALL };
    let states = visit(World::with_saved_thread(size), 10);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_clients_that_are_cut_and_come_back() {
    let size = Size { connections: 3, cuts: true, servers: 0, mishaps: 0, ..SMALL };
    let states = visit(World::with_saved_thread(size), 9);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}

#[test]
fn every_interleaving_of_a_job_run_and_who_looks_at_it() {
    let size = Size { connections: 2, jobs: true, mishaps: 0, ..SMALL };
    let states = visit(World::with_saved_thread(size), 9);
    assert!(states > 10_000, "the search is too small to mean anything: {states} states");
}
