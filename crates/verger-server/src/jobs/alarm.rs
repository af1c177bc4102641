//! A timer on the clock that people set: it knows of sleep, and of being set.
//!
//! Tokio's timers count the time that this machine was awake for, whatever its clock says meanwhile. A job that is due at nine is
//! due when the clock shows nine.

use std::io;
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One timer. Rings once for each time that it was set.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set: Option<Timestamp>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// The kernel gives no timer, as when there are too many open files.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an OwnedFd in a private field is never another descriptor"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer: AsyncFd::new(timer)?, set: None })
    }

    /// Lets it ring at `at`, at once if that is past, or not at all.
    pub(super) fn set(&mut self, at: Option<Timestamp>) {
        if self.set == at {
            return;
        }
        self.arm(at);
    }

    fn arm(&mut self, at: Option<Timestamp>) {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        // All zeros would turn it off; what is before 1970 is past.
        let value = at.map_or(none, |at| Timespec {
            tv_sec: at.as_second().max(0),
            tv_nsec: i64::from(at.subsec_nanosecond()).max(1),
        });
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        let set =
            timerfd_settime(self.timer.get_ref(), flags, &Itimerspec { it_interval: none, it_value: value });
        match set {
            Ok(_) => self.set = at,
            // Forgotten, so that it is tried again when it is next set.
            Err(error) => {
                tracing::error!(%error, ?at, "the timer of jobs could not be set");
                self.set = None;
            }
        }
    }

    /// Waits until it rings, or the clock was set: then whoever waits looks at the clock again.
    pub(super) async fn rung(&mut self) {
        loop {
            let ready = match self.timer.readable().await {
                Ok(mut ready) => ready
                    .try_io(|timer| rustix::io::read(timer.get_ref(), &mut [0; 8]).map_err(io::Error::from)),
                Err(error) => {
                    tracing::error!(%error, "the timer of jobs cannot be waited for");
                    return std::future::pending().await;
                }
            };
            match ready {
                // Somebody had it between the two.
                Err(_would_block) => {}
                Ok(Err(error)) if error.raw_os_error() != Some(Errno::CANCELED.raw_os_error()) => {
                    tracing::error!(%error, "the timer of jobs cannot be read");
                    return std::future::pending().await;
                }
                Ok(_) => {
                    self.set = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::Alarm;

    #[tokio::test]
    async fn it_rings_when_its_time_has_come_and_not_before() {
        let mut alarm = Alarm::new().unwrap();
        let at = Timestamp::now() + SignedDuration::from_millis(30);
        alarm.set(Some(at));
        alarm.rung().await;
        assert!(Timestamp::now() >= at);
        // What is past rings at once.
        alarm.set(Some(Timestamp::UNIX_EPOCH));
        alarm.rung().await;
        alarm.set(Some(at));
        alarm.rung().await;
    }

    #[tokio::test]
    async fn one_that_is_turned_off_does_not_ring() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Timestamp::UNIX_EPOCH));
        alarm.set(None);
        let rung = tokio::time::timeout(std::time::Duration::from_millis(50), alarm.rung()).await;
        assert!(rung.is_err());
    }
}
