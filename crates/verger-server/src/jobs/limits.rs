//! What ends a job run that does not end by itself: its time, silence, and whoever says so.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use verger_core::ids::ThreadId;
use verger_store::End;

use super::client::Heard;
use super::plan::JobPlan;
use super::work::{Outcome, STOPPED, Stop, is_of};

/// A limit that is never reached.
const NEVER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What ends a run that does not end by itself.
pub(super) struct Limits {
    whole: Pin<Box<Sleep>>,
    idle: Pin<Box<Sleep>>,
    timeout: Duration,
    inactivity: Duration,
    stop: watch::Receiver<Option<Stop>>,
}

impl Limits {
    pub(super) fn new(plan: &JobPlan, stop: watch::Receiver<Option<Stop>>) -> Self {
        let (timeout, inactivity) = (plan.timeout, plan.inactivity_timeout.unwrap_or(NEVER));
        Self {
            whole: Box::pin(sleep(timeout.min(NEVER))),
            idle: Box::pin(sleep_until(Instant::now() + inactivity.min(NEVER))),
            timeout,
            inactivity,
            stop,
        }
    }

    /// Something has been heard: if it is of the run's thread, the run is not idle. Everybody hears of every thread's status.
    pub(super) fn hear(&mut self, thread: ThreadId, heard: &Heard) {
        let is_ours = match heard {
            Heard::Notification { params, .. } | Heard::Question { params, .. } => is_of(params, thread),
            Heard::Answer { .. } => true,
        };
        if is_ours {
            self.idle.as_mut().reset(Instant::now() + self.inactivity.min(NEVER));
        }
    }

    /// Waits for a limit, and says how a run ends that has reached it. A turn goes on through a shutdown: the house says how long.
    pub(super) async fn reached(&mut self, of_turn: bool) -> Outcome {
        let is_meant = |stop: &Option<Stop>| match stop {
            Some(Stop::Shutdown) => !of_turn,
            stop => stop.is_some(),
        };
        let stopped = async {
            // Its sender is kept as long as the run is: a closed channel asks for nothing.
            match self.stop.wait_for(is_meant).await.ok().and_then(|stop| stop.clone()) {
                Some(Stop::Cancelled) => Outcome::new(End::Cancelled, "it was cancelled"),
                Some(Stop::Shutdown) => Outcome::new(End::Cancelled, STOPPED),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = stopped => end,
            () = self.whole.as_mut() => Outcome::new(End::TimedOut, format!("it took longer than {:?}", self.timeout)),
            () = self.idle.as_mut() => {
                Outcome::new(End::TimedOut, format!("nothing happened for {:?}", self.inactivity))
            }
        }
    }
}
