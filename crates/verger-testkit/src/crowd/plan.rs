//! How large a crowd is, and what it may meet.

/// Of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// Clients, besides the scribes.
    pub members: usize,
    /// Threads at once.
    pub threads: usize,
    /// Steps that members take in all.
    pub steps: usize,
    /// How many steps are taken between one comparison and the next.
    pub between: usize,
    /// A thread with more turns than this is left for a new one.
    pub turns: usize,
    /// Connections may end for reasons that the crowd does not know: the network cuts them, or the server is killed.
    pub rough: bool,
    /// Helpers that fail, besides `helper`, which does not.
    pub failing: Vec<&'static str>,
}

impl Plan {
    /// The form that is run for hours.
    #[must_use]
    pub fn full(seed: u64) -> Self {
        let (members, threads, steps) = (50, 8, 10_000);
        Self { seed, members, threads, steps, between: 250, turns: 40, rough: false, failing: Vec::new() }
    }

    /// The form that is run with every change.
    #[must_use]
    pub fn short(seed: u64) -> Self {
        Self { members: 12, threads: 4, steps: 600, between: 100, ..Self::full(seed) }
    }

    /// The same over a bad network.
    #[must_use]
    pub fn rough(self) -> Self {
        Self { rough: true, ..self }
    }
}
