//! Lines of a helper's stdout, however long, broken or binary.
//!
//! One line is held in memory at a time, and never more of it than the limit: a longer one is skipped to its
//! newline, keeping a few bytes of its head and tail.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Bytes kept of each end of a line that is too long.
const KEPT: usize = 256;

/// After a line bigger than this, the buffer's memory is given back.
const KEEP_CAPACITY: usize = 64 * 1024;

/// Reads lines of at most `limit` bytes.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
    line: Vec<u8>,
    tail: Vec<u8>,
}

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// All of it. The last line of a stream may lack its newline.
    Whole(&'a [u8]),
    /// Longer than the limit: its length and both its ends.
    TooLong { bytes: u64, head: &'a [u8], tail: &'a [u8] },
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(16 * 1024, reader),
            limit,
            line: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// The next line that is not empty, or nothing at the end of the stream. Not cancel-safe: a dropped call loses
    /// what it had of its line.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.forget();
            let bytes = self.read_line().await?;
            match bytes {
                None => return Ok(None),
                Some(bytes) if bytes > self.limit as u64 => {
                    return Ok(Some(Line::TooLong { bytes, head: &self.line, tail: &self.tail }));
                }
                Some(_) if self.line.trim_ascii().is_empty() => {}
                Some(_) => return Ok(Some(Line::Whole(&self.line))),
            }
        }
    }

    fn forget(&mut self) {
        self.line.clear();
        self.tail.clear();
        if self.line.capacity() > KEEP_CAPACITY {
            self.line = Vec::new();
        }
    }

    /// Takes one line off the stream; its length without the newline, or nothing at the end.
    async fn read_line(&mut self) -> io::Result<Option<u64>> {
        let mut bytes = 0;
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((bytes > 0).then_some(bytes));
            }
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            bytes += part.len() as u64;
            if bytes <= self.limit as u64 {
                self.line.extend_from_slice(part);
            } else {
                keep_ends(&mut self.line, &mut self.tail, part);
            }
            let taken = part.len() + usize::from(newline.is_some());
            self.reader.consume(taken);
            if newline.is_some() {
                return Ok(Some(bytes));
            }
        }
    }
}

/// Cuts `line` down to its head, and moves the end of what came since into `tail`.
fn keep_ends(line: &mut Vec<u8>, tail: &mut Vec<u8>, part: &[u8]) {
    if line.len() > KEPT {
        tail.extend_from_slice(&line[line.len() - KEPT..]);
        line.truncate(KEPT);
        line.shrink_to_fit();
    }
    tail.extend_from_slice(&part[part.len().saturating_sub(KEPT)..]);
    tail.drain(..tail.len().saturating_sub(KEPT));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], limit: usize) -> Vec<String> {
        let mut lines = Lines::new(input, limit);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong { bytes, .. } => format!("<{bytes}>"),
            });
        }
        seen
    }

    #[tokio::test]
    async fn lines_end_with_newline_or_the_stream_and_empty_ones_are_nothing() {
        assert_eq!(all(b"a\n\n \r\nb\r\nc", 10).await, ["a", "b\r", "c"]);
    }

    #[tokio::test]
    async fn a_line_at_the_limit_passes_and_one_past_it_is_skipped() {
        assert_eq!(all(b"12345\n123456\nok\n", 5).await, ["12345", "<6>", "ok"]);
    }

    #[tokio::test]
    async fn a_huge_line_keeps_its_ends_and_costs_no_memory() {
        let mut input = b"HEAD".to_vec();
        input.extend(std::iter::repeat_n(b'x', 3_000_000));
        input.extend_from_slice(b"TAIL\nnext\n");
        let mut lines = Lines::new(&input[..], 100_000);
        let Some(Line::TooLong { bytes, head, tail }) = lines.next().await.unwrap() else {
            panic!("too long")
        };
        assert_eq!(bytes, 3_000_008);
        assert!(head.starts_with(b"HEAD") && head.len() == KEPT);
        assert!(tail.ends_with(b"xTAIL") && tail.len() == KEPT);
        assert!(lines.line.capacity() + lines.tail.capacity() < 50_000);
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole(b"next")));
    }
}
