//! What a step yields: named samples, each of one run of one server.

use std::time::Duration;

use crate::load::latency::Latency;

/// One figure's name and what one run found for it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// A row of the table.
    pub name: String,
    /// What was found.
    pub figure: Figure,
}

/// What can be found.
#[derive(Debug, Clone)]
pub enum Figure {
    /// How long each operation took, and the server's processor time for all of them where it makes sense.
    Times {
        /// One entry for each.
        latency: Latency,
        /// Of all threads that lived from the first operation to the last, helpers not counted.
        cpu: Option<Duration>,
    },
    /// An amount of memory.
    Bytes(f64),
    /// How often something was seen.
    Count(f64),
}

// === impl Sample ===

impl Sample {
    pub(super) fn times(name: impl Into<String>, (latency, cpu): (Latency, Duration)) -> Self {
        Self { name: name.into(), figure: Figure::Times { latency, cpu: Some(cpu) } }
    }

    pub(super) fn starts(name: impl Into<String>, latency: Latency) -> Self {
        Self { name: name.into(), figure: Figure::Times { latency, cpu: None } }
    }

    pub(super) fn bytes(name: impl Into<String>, bytes: f64) -> Self {
        Self { name: name.into(), figure: Figure::Bytes(bytes) }
    }

    pub(super) fn count(name: impl Into<String>, count: f64) -> Self {
        Self { name: name.into(), figure: Figure::Count(count) }
    }
}

// === impl Figure ===

impl Figure {
    /// The one number that two servers' runs are compared by: the median in seconds, bytes, or a count.
    #[must_use]
    pub fn typical(&self) -> f64 {
        match self {
            Self::Times { latency, .. } => latency.quantile(0.5).as_secs_f64(),
            Self::Bytes(amount) | Self::Count(amount) => *amount,
        }
    }
}
