//! The tests' own clocks: they time a system under test from outside.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Now, for limits of a test's own waiting.
#[expect(clippy::disallowed_methods, reason = "a test's own clock, outside any system under test")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// CLOCK_MONOTONIC, comparable with `mono_ns` in the events of bad-helper.
#[must_use]
pub fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the monotonic clock starts at zero");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("less than a second of nanoseconds"))
}

/// CLOCK_REALTIME in milliseconds since 1970, comparable with the server's `emittedAtMs` on the same machine.
pub(crate) fn unix_ms() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    let part = |value: i64| u64::try_from(value).expect("after 1970");
    part(time.tv_sec) * 1000 + part(time.tv_nsec) / 1_000_000
}
