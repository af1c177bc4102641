//! What a helper writes to its stdout.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use verger_fuzz::{cost, framing};

#[global_allocator]
static ALLOCATOR: cost::Counting = cost::Counting::system();
static RUNTIME: LazyLock<Runtime> = LazyLock::new(framing::runtime);

fuzz_target!(|input: &[u8]| framing::check(&ALLOCATOR, &RUNTIME, input));
