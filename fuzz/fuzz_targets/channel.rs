//! Bytes on the channel between a shim and its owner.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verger_fuzz::{channel, cost};

#[global_allocator]
static ALLOCATOR: cost::Counting = cost::Counting::system();

fuzz_target!(|input: &[u8]| channel::check(&ALLOCATOR, input));
