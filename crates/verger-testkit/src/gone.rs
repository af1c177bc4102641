//! Gone: pidfds of processes that a test saw alive, to ask the kernel which of them have ended.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::clock::now;

/// Processes that were alive when the watch began. Ended means exited: a zombie counts as ended.
#[derive(Debug)]
pub struct Gone(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    pid: i32,
    /// Nothing when the process had ended before it could be held.
    fd: Option<OwnedFd>,
}

// === impl Gone ===

impl Gone {
    /// Takes hold of each process. One that is gone already counts as ended.
    ///
    /// # Panics
    ///
    /// When the kernel refuses a pidfd for another reason than that the process is gone.
    #[must_use]
    pub fn watch(pids: impl IntoIterator<Item = i32>) -> Self {
        let hold = |pid: i32| match Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Ok(fd)) => Watched { pid, fd: Some(fd) },
            None | Some(Err(Errno::SRCH)) => Watched { pid, fd: None },
            Some(Err(error)) => panic!("pidfd_open({pid}): {error}"),
        };
        Self(pids.into_iter().map(hold).collect())
    }

    /// How many processes are watched, ended or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is watched, which makes every answer empty too: a test must not pass by that.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are alive at this moment.
    #[must_use]
    pub fn alive(&self) -> Vec<i32> {
        let (pids, mut fds) = self.open();
        poll_for(&mut fds, Duration::ZERO);
        pids.into_iter().zip(&fds).filter(|(_, fd)| fd.revents().is_empty()).map(|(pid, _)| pid).collect()
    }

    /// Blocks until all have ended.
    ///
    /// # Errors
    ///
    /// Those that are alive after `limit`.
    pub fn wait(&self, limit: Duration) -> Result<(), Vec<i32>> {
        let deadline = now() + limit;
        loop {
            let alive = self.alive();
            let left = deadline.saturating_duration_since(now());
            match alive.first() {
                None => return Ok(()),
                Some(_) if left.is_zero() => return Err(alive),
                // Any one will do: each round looks at all of them again.
                Some(first) => {
                    let held = self.0.iter().find(|watched| watched.pid == *first);
                    let fd = held.and_then(|watched| watched.fd.as_ref()).expect("alive ones are held");
                    poll_for(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], left);
                }
            }
        }
    }

    fn open(&self) -> (Vec<i32>, Vec<PollFd<'_>>) {
        let held = self.0.iter().filter_map(|watched| Some((watched.pid, watched.fd.as_ref()?)));
        held.map(|(pid, fd)| (pid, PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))).unzip()
    }
}

fn poll_for(fds: &mut [PollFd<'_>], limit: Duration) {
    let limit = Timespec::try_from(limit).expect("a test's limit fits a timespec");
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("poll on pidfds: {error}"),
    }
}
