//! Cursors of a thread's turns and items: places in its log, opaque to clients. They stay right while the thread grows,
//! since what comes is kept behind what is there.

use verger_core::ids::{Seq, ThreadId};
use verger_wire::RpcError;

/// A turn's or an item's place: where the turn's first record is, and the item's index in the turn (0 for a turn).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) turn: Seq,
    pub(super) index: usize,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Turns,
    Items,
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) place: Place,
    /// What is there is listed too: for who turns round, and may have missed what became of it.
    pub(super) with: bool,
}

impl Cursor {
    pub(super) fn parse(text: &str, listed: Listed, thread: ThreadId) -> Result<Self, RpcError> {
        let parsed = || {
            let mut parts = text.split('.');
            let mut part = || parts.next();
            let (kind, of) = (part()?, part()?);
            let (turn, index) = (part()?.parse().ok()?, part()?.parse().ok()?);
            let with = match part()? {
                "with" => true,
                "after" => false,
                _ => return None,
            };
            let fits = kind == listed.tag() && of == thread.0.simple().to_string() && part().is_none();
            fits.then_some(Self { place: Place { turn: Seq(turn), index }, with })
        };
        parsed().ok_or_else(|| RpcError::invalid_cursor(text))
    }

    pub(super) fn encode(self, listed: Listed, thread: ThreadId) -> String {
        let Place { turn, index } = self.place;
        let with = if self.with { "with" } else { "after" };
        format!("{}.{}.{turn}.{index}.{with}", listed.tag(), thread.0.simple())
    }
}

impl Listed {
    fn tag(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Items => "items",
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cursor_fits_its_own_list_alone() {
        let (thread, other) = (ThreadId(Uuid::from_u128(1)), ThreadId(Uuid::from_u128(2)));
        for with in [true, false] {
            let cursor = Cursor { place: Place { turn: Seq(7), index: 3 }, with };
            let text = cursor.encode(Listed::Items, thread);
            assert_eq!(Cursor::parse(&text, Listed::Items, thread), Ok(cursor));
            assert!(Cursor::parse(&text, Listed::Turns, thread).is_err());
            assert!(Cursor::parse(&text, Listed::Items, other).is_err());
            assert!(Cursor::parse(&format!("{text}.x"), Listed::Items, thread).is_err());
        }
        for text in ["", "items", "items..1.1.with", "turns.x.y.z.after"] {
            let refused = Cursor::parse(text, Listed::Turns, thread);
            assert_eq!(refused, Err(RpcError::invalid_cursor(text)));
        }
    }
}
