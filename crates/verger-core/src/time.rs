//! Time as an input: the core never reads a clock.

use std::time::Duration;

/// A moment on the executor's monotonic clock, in milliseconds since an origin of its choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(pub u64);

impl Time {
    /// The moment `delay` after this one; saturates, so that "never" can be written as a huge delay.
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `now` until this moment; zero when it has passed.
    pub fn from(self, now: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }
}
