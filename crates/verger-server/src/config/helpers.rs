//! `[helpers]`: how many there may be, and when they are started again that failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use verger_core::server::{Restarts, Rules};

use super::duration::Period;

/// How many helpers there may be, and when a server is started again that failed: that could not be started, exited by
/// itself, or was ended for what it used. Failures are counted for each server in each thread. Read at the start of the
/// server only.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Helpers {
    /// How many helpers may have processes at once, those included that are being ended. A start over it is refused, and
    /// nothing else is touched.
    #[schemars(example = 50)]
    max_helpers: usize,
    /// How long after its first failure a server is not started again. It doubles with each further failure; up to half of
    /// it is left out at random, so that helpers which failed together do not come back together. A call that comes
    /// meanwhile waits, if its server's `startup_timeout_sec` is longer than what is left; else it fails at once.
    #[schemars(example = &"1s")]
    restart_delay: Period,
    /// What `restart_delay` does not grow beyond.
    #[schemars(example = &"10m")]
    restart_delay_limit: Period,
    /// How long a helper must have been ready to have made up for the failures before it.
    #[schemars(example = &"5m")]
    healthy_after: Period,
    /// With so many failures within `crash_window` a server is crashed: it is not started any more, until `verger helper
    /// restart` or a reload of the configuration says so.
    #[schemars(example = 3)]
    crash_limit: usize,
    /// How long a failure counts.
    #[schemars(example = &"10m")]
    crash_window: Period,
}

impl Default for Helpers {
    fn default() -> Self {
        let Rules { max_helpers, restarts, .. } = Rules::default();
        let Restarts { delay, delay_limit, healthy_after, crash_limit, crash_window, seed: _ } = restarts;
        Self {
            max_helpers,
            restart_delay: Period(delay),
            restart_delay_limit: Period(delay_limit),
            healthy_after: Period(healthy_after),
            crash_limit,
            crash_window: Period(crash_window),
        }
    }
}

impl Helpers {
    /// What is wrong, if anything is: the key below `helpers`, and a reason with the remedy.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.max_helpers == 0 {
            return Err((
                "max_helpers",
                "0 would let no helper start; write at least 1, or disable servers with enabled = false",
            ));
        }
        if self.crash_limit == 0 {
            return Err(("crash_limit", "0 would call a server crashed that never failed; write at least 1"));
        }
        Ok(())
    }

    /// How many helpers there may be, and when they are started again, as the core takes them. `seed` is any number.
    pub fn rules(&self, seed: u64) -> (usize, Restarts) {
        let Self {
            max_helpers,
            restart_delay,
            restart_delay_limit,
            healthy_after,
            crash_limit,
            crash_window,
        } = *self;
        let restarts = Restarts {
            delay: restart_delay.0,
            delay_limit: restart_delay_limit.0,
            healthy_after: healthy_after.0,
            crash_limit,
            crash_window: crash_window.0,
            seed,
        };
        (max_helpers, restarts)
    }
}
