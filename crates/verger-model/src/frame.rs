//! Splits a byte stream into server-sent events, without copying them, and without holding what nobody needs.
//!
//! Providers repeat a whole text in the events that close it. Such an event can be cut: of one that has grown past
//! [`CUT_FROM`] the caller is shown the head, and when the caller knows the rest already, the rest is dropped as it
//! comes. A stream of 60 MB is read in a few hundred kB that way.
//!
//! Older llama.cpp servers tell of a failure in a field of their own, `error:`, which is read like `data:`.
//!
//! Lines end in LF or CR LF. The lone CR that the standard allows too is not known to be sent by anyone.

use std::borrow::Cow;
use std::ops::Range;

/// An unfinished event is offered for cutting from this size on: far beyond any that is not a repetition.
const CUT_FROM: usize = 64 << 10;
/// As much of it is shown.
const HEAD: usize = 1 << 10;
/// The largest event that is held: a closing event may be all there is of an answer, but no answer is this long.
const MAX_EVENT: usize = 128 << 20;
/// A buffer that grew past this is given back once it is empty.
const KEPT: usize = 1 << 20;

/// One event's data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// All of it.
    Whole(Cow<'a, str>),
    /// The beginning of one that was cut, as the lines came.
    Head(String),
}

/// Why a stream cannot be split.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("an event of more than {MAX_EVENT} bytes")]
    TooLong,
    #[error("an event that is not UTF-8")]
    NotUtf8,
}

/// An event that `find` found, until the next `push`.
#[derive(Debug)]
pub(crate) enum Found {
    Cut(String),
    /// Where the values of its data lines are: nearly always one.
    Data(Range<usize>, Vec<Range<usize>>),
}

/// Bytes in with `push`; then `find` events until there is none, and read each with `event`.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Where the current event begins.
    start: usize,
    /// No event ends before this.
    scanned: usize,
    /// The head of the current event, when the rest of it is being dropped.
    cut: Option<String>,
}

// === impl Framer ===

impl Framer {
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// Finds the next event that has data; `None` when more bytes are needed. `may_cut` is asked about the head of an
    /// event that is already large.
    ///
    /// # Errors
    /// The stream is not to be read any further.
    pub(crate) fn find(&mut self, may_cut: impl Fn(&str) -> bool) -> Result<Option<Found>, FrameError> {
        while let Some(block) = self.block() {
            if let Some(head) = self.cut.take() {
                return Ok(Some(Found::Cut(head)));
            }
            let mut lines = data_lines(&self.buffer, block);
            if let Some(first) = lines.next() {
                return Ok(Some(Found::Data(first, lines.collect())));
            }
        }
        let unfinished = &self.buffer[self.start..];
        if self.cut.is_none() && unfinished.len() >= CUT_FROM {
            let head = String::from_utf8_lossy(&unfinished[..HEAD]);
            if may_cut(&head) {
                self.cut = Some(head.into_owned());
            } else if unfinished.len() > MAX_EVENT {
                return Err(FrameError::TooLong);
            }
        }
        if self.cut.is_some() {
            self.start = self.scanned;
        }
        Ok(None)
    }

    /// Reads what was found.
    ///
    /// # Errors
    /// The event is not text.
    pub(crate) fn event(&self, found: Found) -> Result<Event<'_>, FrameError> {
        let text =
            |line: Range<usize>| std::str::from_utf8(&self.buffer[line]).map_err(|_| FrameError::NotUtf8);
        Ok(match found {
            Found::Cut(head) => Event::Head(head),
            Found::Data(only, rest) if rest.is_empty() => Event::Whole(text(only)?.into()),
            Found::Data(first, rest) => {
                let lines = [first].into_iter().chain(rest).map(text);
                Event::Whole(lines.collect::<Result<Vec<_>, _>>()?.join("\n").into())
            }
        })
    }

    /// The lines of the next finished event, which is passed.
    fn block(&mut self) -> Option<Range<usize>> {
        if self.cut.is_none() {
            let blank = self.buffer[self.start..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
            self.start += blank.count();
            self.scanned = self.scanned.max(self.start);
        }
        loop {
            let Some(found) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.buffer.len();
                return None;
            };
            // From here an event may end: stay until what follows is known.
            self.scanned += found;
            let next = match self.buffer[self.scanned + 1..] {
                [b'\n', ..] => self.scanned + 2,
                [b'\r', b'\n', ..] => self.scanned + 3,
                [] | [b'\r'] => return None,
                _ => {
                    self.scanned += 1;
                    continue;
                }
            };
            let block = self.start..self.scanned;
            (self.start, self.scanned) = (next, next);
            return Some(block);
        }
    }
}

/// Where the values of a block's data lines are.
fn data_lines(buffer: &[u8], block: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut next = block.start;
    buffer[block].split(|byte| *byte == b'\n').filter_map(move |line| {
        let begin = next;
        next += line.len() + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = line.strip_prefix(b"data:").or_else(|| line.strip_prefix(b"error:"));
        let value = value.or((line == b"data").then_some(b""))?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let end = begin + line.len();
        Some(end - value.len()..end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All events of a stream that comes in these pieces.
    fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut framer, mut all) = (Framer::default(), Vec::new());
        for piece in pieces {
            framer.push(piece);
            while let Some(found) = framer.find(|_| false).unwrap() {
                match framer.event(found).unwrap() {
                    Event::Whole(data) => all.push(data.into_owned()),
                    Event::Head(head) => panic!("cut without leave: {head}"),
                }
            }
        }
        all
    }

    #[test]
    fn every_form_of_event_is_read() {
        let check = |stream: &str, want: &[&str]| assert_eq!(split([stream.as_bytes()]), want, "{stream:?}");
        check("data: a\n\n", &["a"]);
        check("event: x\ndata:a\nid: 1\n\ndata:  b\n\n", &["a", " b"]);
        check("event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
        check("data: a\ndata\ndata: b\n\n", &["a\n\nb"]);
        check(": ping\n\n\n\ndata: a\n\n: ping\n\nretry: 5\n\n", &["a"]);
        check("data: never finished\n", &[]);
        check("dat: a\ndatas: b\n\ndata: c\n\n", &["c"]);
        check("error: {}\n\ndata: [DONE]\n\n", &["{}", "[DONE]"]);
    }

    #[test]
    fn what_is_not_text_is_an_error() {
        let mut framer = Framer::default();
        framer.push(b"data: \xff\n\n");
        let found = framer.find(|_| false).unwrap().unwrap();
        assert_eq!(framer.event(found), Err(FrameError::NotUtf8));
    }

    #[test]
    fn a_large_event_is_cut_on_leave_and_never_held() {
        let mut framer = Framer::default();
        framer.push(b"data: small\n\nevent: big\ndata: {\"type\":\"big\",\"text\":\"");
        assert!(framer.find(|_| true).unwrap().is_some());
        for _ in 0..1_000 {
            framer.push(&[b'x'; 16 << 10]);
            assert!(framer.find(|head| head.contains("\"big\"")).unwrap().is_none());
        }
        assert!(framer.buffer.capacity() <= 2 * CUT_FROM, "{}", framer.buffer.capacity());
        let mut seen = Vec::new();
        for piece in ["x\"}\r", "\n\r", "\nda", "ta: after\n\n"] {
            framer.push(piece.as_bytes());
            while let Some(found) = framer.find(|_| true).unwrap() {
                seen.push(match framer.event(found).unwrap() {
                    Event::Head(head) => head[..30].to_owned(),
                    Event::Whole(data) => data.into_owned(),
                });
            }
        }
        assert_eq!(seen, ["event: big\ndata: {\"type\":\"big\"", "after"]);
        assert_eq!((framer.start, framer.cut), (framer.buffer.len(), None));
    }

    #[test]
    fn a_large_event_is_held_whole_without_leave_and_its_memory_given_back() {
        let mut framer = Framer::default();
        let data = "x".repeat(4 << 20);
        framer.push(format!("data: {data}\n\n").as_bytes());
        let found = framer.find(|_| false).unwrap().unwrap();
        assert_eq!(framer.event(found), Ok(Event::Whole(data.into())));
        framer.push(b"data: a");
        assert!(framer.buffer.capacity() < KEPT);
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_stream_do_not_matter(
            events in prop::collection::vec(("[a-zé \\r:]{0,20}", 0..4_usize), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = Vec::new();
            let mut want = Vec::new();
            for (data, form) in &events {
                // A value may not end in CR, which would belong to the line's end.
                let data = data.trim_end_matches('\r');
                let line_end = if form % 2 == 0 { "\n" } else { "\r\n" };
                if form / 2 == 1 {
                    stream.extend_from_slice(format!(": note{line_end}{line_end}").as_bytes());
                }
                stream.extend_from_slice(format!("event: e{line_end}data: {data}{line_end}{line_end}").as_bytes());
                want.push(data.to_owned());
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(split(cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]])), want.clone());
            prop_assert_eq!(split(stream.chunks(1)), want);
        }
    }
}
