//! The last words of a helper: a bounded ring of its stderr.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Keeps the newest bytes of a stream, and a count of the others. Clones share it.
#[derive(Debug, Clone)]
pub struct StderrRing {
    capacity: usize,
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    bytes: VecDeque<u8>,
    dropped: u64,
}

impl StderrRing {
    /// A ring of at most `capacity` bytes. They are taken as they are needed: a silent helper costs nothing.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ring: Arc::default() }
    }

    /// Reads `stderr` to its end, always at once and never waiting for anyone, so that no helper blocks on it.
    ///
    /// # Errors
    ///
    /// When `stderr` cannot be read. What was read so far stays.
    pub async fn follow(&self, mut stderr: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut chunk = vec![0; 4096];
        loop {
            match stderr.read(&mut chunk).await? {
                0 => return Ok(()),
                count => self.push(&chunk[..count]),
            }
        }
    }

    /// What is kept, as text, beginning with a whole line where anything was dropped before it.
    #[must_use]
    pub fn text(&self) -> String {
        let ring = self.ring();
        let (front, back) = ring.bytes.as_slices();
        let bytes = [front, back].concat();
        let cut = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(newline) if ring.dropped > 0 => newline + 1,
            _ => 0,
        };
        String::from_utf8_lossy(&bytes[cut..]).into_owned()
    }

    /// The last `count` lines that are not blank, for an error message.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let mut lines: Vec<String> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(count)
            .map(str::to_owned)
            .collect();
        lines.reverse();
        lines
    }

    /// Bytes that went through and are not kept any more.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.ring().dropped
    }

    fn push(&self, chunk: &[u8]) {
        let mut ring = self.ring();
        ring.bytes.extend(chunk);
        let excess = ring.bytes.len().saturating_sub(self.capacity);
        ring.bytes.drain(..excess);
        ring.dropped += excess as u64;
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it holds the lock; a poisoned ring would still be whole.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_bytes_stay_and_begin_with_a_whole_line() {
        let ring = StderrRing::new(20);
        let text = "first line\nsecond line\nlast line\n\n";
        ring.follow(text.as_bytes()).await.unwrap();
        assert_eq!(ring.text(), "last line\n\n");
        assert_eq!(ring.dropped(), text.len() as u64 - 20);
        assert_eq!(ring.last_lines(1), ["last line"]);
    }

    #[tokio::test]
    async fn one_endless_line_is_cut_not_lost() {
        let ring = StderrRing::new(5);
        ring.follow(&b"0123456789"[..]).await.unwrap();
        assert_eq!(ring.text(), "56789");
    }

    #[tokio::test]
    async fn megabytes_cost_no_more_than_the_capacity() {
        let ring = StderrRing::new(1000);
        ring.follow(tokio::io::repeat(b'x').take(10_000_000)).await.unwrap();
        assert!(ring.ring().bytes.capacity() < 20_000, "{}", ring.ring().bytes.capacity());
        assert_eq!(ring.dropped(), 9_999_000);
    }
}
