//! The one place where time is read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use verger_core::time::Time;

/// The process's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Monotonic, for the core.
    pub(crate) fn now(&self) -> Time {
        Time(u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX))
    }

    /// Since [`Self::start`].
    pub(crate) fn uptime(&self) -> Duration {
        self.origin.elapsed()
    }

    /// When `at` will be, for a timer.
    pub(crate) fn instant(&self, at: Time) -> tokio::time::Instant {
        // A time past the end of the clock is "never"; a day is close enough, since timers are looked at again.
        let delay = Duration::from_millis(at.0);
        let never = self.uptime() + Duration::from_secs(24 * 3600);
        tokio::time::Instant::from_std(self.origin + delay.min(never))
    }

    /// What the clock shows that people set.
    pub(crate) fn timestamp(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.unix_ms()).unwrap_or(jiff::Timestamp::MAX)
    }

    /// Unix milliseconds.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Unix microseconds.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn unix_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Unix seconds.
    pub(crate) fn unix_sec(&self) -> i64 {
        self.unix_ms().div_euclid(1000)
    }
}

/// The moment that it is, for what happens rarely and without a [`Clock`].
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn moment() -> jiff::Timestamp {
    jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::MAX)
}
