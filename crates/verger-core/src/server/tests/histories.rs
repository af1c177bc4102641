//! Random histories: long, with more of everything than the exhaustive search can hold.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::moves::{Move, Size};
use super::world::World;

struct Histories;

impl ReferenceStateMachine for Histories {
    type State = World;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<World> {
        let size = Size {
            connections: 9,
            threads: 3,
            servers: 2,
            cuts: true,
            edits: true,
            probes: true,
            jobs: true,
            requests: 60,
            calm: 20,
            mishaps: 6,
            idles: 6,
            waits: 12,
            crash_limit: 3,
            max_helpers: 4,
        };
        Just(World::with_saved_thread(size)).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Move> {
        let weighted = |step: Move| std::iter::repeat_n(step, weight(step));
        select(world.moves().into_iter().flat_map(weighted).collect::<Vec<_>>()).boxed()
    }

    fn preconditions(world: &World, step: &Move) -> bool {
        world.moves().contains(step)
    }

    fn apply(mut world: World, step: &Move) -> World {
        world.make(*step);
        world
    }
}

/// What ends things is rare, or every history would be over before it began.
fn weight(step: Move) -> usize {
    match step {
        Move::OwnerOpens(_) | Move::OwnerWants(..) | Move::HelperReady(_) => 12,
        Move::Start(..) | Move::Resume(..) | Move::BeginTurn(..) | Move::Connect(_) => 8,
        Move::OwnerEndsTurn(_) | Move::OwnerStops(_) | Move::HelperGone(_) | Move::Unsubscribe(..) => 4,
        Move::Vacate(..) => 3,
        Move::Disconnect(..) | Move::HelperFails(_) | Move::Reload | Move::Timeout => 2,
        _ => 1,
    }
}

impl StateMachineTest for Histories {
    type SystemUnderTest = World;
    type Reference = Self;

    fn init_test(world: &World) -> World {
        world.clone()
    }

    fn apply(mut sut: World, _: &World, step: Move) -> World {
        sut.make(step);
        sut
    }

    fn teardown(sut: World, _: World) {
        sut.run_out();
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 1000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn random_histories_keep_the_invariants(sequential 1..160 => Histories);
}
