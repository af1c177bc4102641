//! How long one kind of operation took, as a distribution.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations, kept to three significant digits in memory that does not grow with their number.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

// === impl Latency ===

impl Latency {
    /// Nothing measured yet.
    ///
    /// # Panics
    ///
    /// Never: three digits are a valid precision.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are between 0 and 5"))
    }

    /// Adds one.
    ///
    /// # Panics
    ///
    /// Never on a machine of 64 bits.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Not `saturating_record`: it cuts values down to what has been seen so far, instead of growing.
        self.0.record(nanos).expect("a histogram that resizes itself takes every value");
    }

    /// Adds all of another's.
    ///
    /// # Panics
    ///
    /// Never: both grow as needed.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that resizes itself takes every value");
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value that the share `quantile` of all, 0 to 1, does not exceed; zero where nothing was measured.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_parts_tell_what_the_whole_tells() {
        let (mut whole, mut odd, mut even) = (Latency::new(), Latency::new(), Latency::new());
        for micros in 1..=1000 {
            let took = Duration::from_micros(micros);
            whole.record(took);
            if micros % 2 == 0 { even.record(took) } else { odd.record(took) }
        }
        odd.merge(&even);
        assert_eq!((odd.count(), odd.quantile(0.5), odd.max()), (1000, whole.quantile(0.5), whole.max()));
        let median = whole.quantile(0.5).as_secs_f64();
        assert!((median / 500e-6 - 1.0).abs() < 0.002, "{median}");
        assert_eq!(Latency::new().quantile(0.99), Duration::ZERO);
    }
}
