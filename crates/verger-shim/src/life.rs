//! When a helper's tree is asked to leave and when it is killed: a pure state machine over monotonic time.

use std::time::Duration;

use crate::protocol::{Graces, Stop};

/// Monotonic time since some fixed point.
pub(crate) type Now = Duration;

/// What the supervisor has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    /// SIGTERM to the whole tree.
    Term,
    /// SIGKILL to the whole tree until it is empty. What is found alive is reported as strays if so marked.
    Kill {
        strays: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// stdin was closed: the helper may leave by itself.
    Stdin(Now),
    /// The leader is gone: the rest may leave by itself.
    Leaving(Now),
    /// TERM was sent.
    Term(Now),
    Killing,
}

/// Where a helper is in its life.
#[derive(Debug)]
pub(crate) struct Life {
    graces: Graces,
    phase: Phase,
    leader_exited: bool,
}

impl Life {
    pub(crate) fn new(graces: Graces) -> Self {
        Self { graces, phase: Phase::Running, leader_exited: false }
    }

    /// The owner said stop.
    pub(crate) fn handle_stop(&mut self, how: Stop, now: Now) -> Act {
        match (how, self.phase) {
            (Stop::Orderly, Phase::Running) => {
                self.phase = Phase::Stdin(now.saturating_add(self.graces.stdin));
                Act::Nothing
            }
            // It is ending already, and no later than it would by this order.
            (Stop::Orderly, _) | (Stop::Kill, Phase::Killing) => Act::Nothing,
            (Stop::Kill, _) => self.kill(false),
        }
    }

    /// The owner is gone.
    pub(crate) fn handle_lifeline_lost(&mut self) -> Act {
        self.kill(false)
    }

    /// The leader has exited.
    pub(crate) fn handle_leader_exited(&mut self, now: Now) {
        self.leader_exited = true;
        if let Phase::Running | Phase::Stdin(_) = self.phase {
            self.phase = Phase::Leaving(now.saturating_add(self.graces.leave));
        }
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Now) -> Act {
        match self.phase {
            Phase::Stdin(until) if now >= until => {
                self.phase = Phase::Term(now.saturating_add(self.graces.term));
                Act::Term
            }
            Phase::Leaving(until) | Phase::Term(until) if now >= until => self.kill(self.leader_exited),
            _ => Act::Nothing,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Now> {
        match self.phase {
            Phase::Stdin(until) | Phase::Leaving(until) | Phase::Term(until) => Some(until),
            Phase::Running | Phase::Killing => None,
        }
    }

    fn kill(&mut self, strays: bool) -> Act {
        self.phase = Phase::Killing;
        Act::Kill { strays }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Now = Duration::from_secs(1000);
    const KILL: Act = Act::Kill { strays: false };
    const KILL_STRAYS: Act = Act::Kill { strays: true };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn life() -> Life {
        Life::new(Graces::default())
    }

    #[test]
    fn stubborn_helper_gets_stdin_grace_then_term_then_kill() {
        let mut life = life();
        assert_eq!(life.poll_timeout(), None);
        assert_eq!(life.handle_stop(Stop::Orderly, T0), Act::Nothing);
        assert_eq!(life.poll_timeout(), Some(T0 + ms(500)));
        assert_eq!(life.handle_timeout(T0 + ms(499)), Act::Nothing);
        assert_eq!(life.handle_timeout(T0 + ms(500)), Act::Term);
        assert_eq!(life.handle_timeout(T0 + ms(1999)), Act::Nothing);
        assert_eq!(life.handle_timeout(T0 + ms(2000)), KILL);
    }

    #[test]
    fn leader_that_leaves_alone_gives_the_rest_a_short_grace() {
        let mut life = life();
        life.handle_leader_exited(T0);
        assert_eq!(life.handle_timeout(T0 + ms(49)), Act::Nothing);
        assert_eq!(life.handle_timeout(T0 + ms(50)), KILL_STRAYS);
    }

    #[test]
    fn leader_that_leaves_in_the_stdin_phase_shortens_it() {
        let mut life = life();
        life.handle_stop(Stop::Orderly, T0);
        life.handle_leader_exited(T0 + ms(10));
        assert_eq!(life.handle_timeout(T0 + ms(60)), KILL_STRAYS);
    }

    #[test]
    fn leader_that_obeys_term_leaves_the_rest_what_remains() {
        let mut life = life();
        life.handle_stop(Stop::Orderly, T0);
        life.handle_timeout(T0 + ms(500));
        life.handle_leader_exited(T0 + ms(510));
        assert_eq!(life.handle_timeout(T0 + ms(1999)), Act::Nothing);
        assert_eq!(life.handle_timeout(T0 + ms(2000)), KILL_STRAYS);
    }

    #[test]
    fn kill_cuts_every_wait_short() {
        for advance in [0, 500, 600] {
            let mut life = life();
            life.handle_stop(Stop::Orderly, T0);
            life.handle_timeout(T0 + ms(advance));
            assert_eq!(life.handle_stop(Stop::Kill, T0 + ms(advance)), KILL);
            assert_eq!(life.handle_stop(Stop::Kill, T0 + ms(advance)), Act::Nothing);
        }
    }

    #[test]
    fn a_second_orderly_stop_does_not_extend_the_first() {
        let mut life = life();
        life.handle_stop(Stop::Orderly, T0);
        life.handle_stop(Stop::Orderly, T0 + ms(400));
        assert_eq!(life.poll_timeout(), Some(T0 + ms(500)));
        life.handle_leader_exited(T0 + ms(410));
        life.handle_stop(Stop::Orderly, T0 + ms(420));
        assert_eq!(life.poll_timeout(), Some(T0 + ms(460)));
    }

    #[test]
    fn a_lost_lifeline_kills_at_once_in_every_phase() {
        assert_eq!(life().handle_lifeline_lost(), KILL);
        let mut stopping = life();
        stopping.handle_stop(Stop::Orderly, T0);
        assert_eq!(stopping.handle_lifeline_lost(), KILL);
    }

    #[test]
    fn an_endless_grace_is_endless_and_does_not_overflow() {
        let graces = Graces { stdin: Duration::MAX, ..Graces::default() };
        let mut life = Life::new(graces);
        life.handle_stop(Stop::Orderly, T0);
        assert_eq!(life.handle_timeout(T0 + ms(u64::from(u32::MAX))), Act::Nothing);
    }
}
