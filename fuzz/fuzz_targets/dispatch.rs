//! Clients that ask a whole daemon for anything, in any order.

#![no_main]

use std::sync::LazyLock;

use fastrand::Rng;
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target};
use verger_fuzz::play::Player;
use verger_fuzz::shapes::Shapes;
use verger_fuzz::vary;

static PLAYER: LazyLock<Player> = LazyLock::new(Player::start);
static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::default);

fuzz_target!(|script: &[u8]| PLAYER.play(script));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = Rng::with_seed(seed.into());
    let script = vary::vary(&data[..size], max_size, &SHAPES, &mut rng);
    data[..script.len()].copy_from_slice(&script);
    script.len()
});

fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    let script = vary::cross(one, other, out.len(), &mut Rng::with_seed(seed.into()));
    out[..script.len()].copy_from_slice(&script);
    script.len()
});
