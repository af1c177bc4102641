//! Bytes that claim to be a message.

#![no_main]

use std::sync::LazyLock;

use fastrand::Rng;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use verger_fuzz::shapes::Shapes;
use verger_fuzz::{cost, decoding, garble};

#[global_allocator]
static ALLOCATOR: cost::Counting = cost::Counting::system();
static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::default);

fuzz_target!(|frame: &[u8]| decoding::check(&ALLOCATOR, frame));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = Rng::with_seed(seed.into());
    // To be shortened is libFuzzer's own affair.
    let garbled =
        (size <= max_size).then(|| garble::garble(&mut data[..max_size], size, &SHAPES, &mut rng)).flatten();
    garbled.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
