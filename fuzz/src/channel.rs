//! What a shim and its owner promise of any bytes at all on their channel.

use verger_shim::protocol::{Inbox, Order, PREFIX, ProtocolError, Report, Start};

use crate::cost::{Counting, in_proportion};

/// The first byte of an input says how large the pieces are in which the rest arrives.
///
/// # Panics
/// When a decoder or the inbox does not keep its word.
pub fn check(allocator: &'static Counting, input: &[u8]) {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let expected = frames(bytes);
    assert_eq!(cut(bytes, usize::from(piece).max(1)), expected, "in pieces of {piece}");
    for frame in &expected.0 {
        short(frame);
    }
    let start = in_proportion(allocator, bytes.len(), || Start::decode(bytes));
    if let Ok(start) = start {
        let encoded = start.encode().expect("what was decoded is no longer than what can be");
        assert_eq!(Start::decode(&encoded[PREFIX..]), Ok(start));
    }
    short(bytes);
}

/// What a frame means to either side: whatever is understood is written as it was.
fn short(frame: &[u8]) {
    if let Ok(order) = Order::decode(frame) {
        assert_eq!(&order.encode().as_bytes()[PREFIX..], frame, "{order:?}");
    }
    if let Ok(report) = Report::decode(frame) {
        assert_eq!(&report.encode().as_bytes()[PREFIX..], frame, "{report:?}");
        // To kill(2) 0 is a whole group.
        assert!(!matches!(report, Report::Forked { pid: 0, .. }), "a helper without a pid");
    }
}

/// Whole frames, and why there are no more of them.
type Frames = (Vec<Vec<u8>>, Option<ProtocolError>);

/// As the inbox cuts them when bytes arrive in such pieces.
fn cut(mut bytes: &[u8], piece: usize) -> Frames {
    let (mut inbox, mut frames) = (Inbox::default(), Vec::new());
    loop {
        match inbox.next_frame() {
            Ok(Some(frame)) => frames.push(frame.to_vec()),
            Err(error) => return (frames, Some(error)),
            Ok(None) if bytes.is_empty() => return (frames, None),
            Ok(None) => {
                let space = inbox.space();
                let read = piece.min(space.len()).min(bytes.len());
                assert!(read > 0, "an inbox without a frame and without room");
                space[..read].copy_from_slice(&bytes[..read]);
                bytes = &bytes[read..];
                inbox.filled(read);
            }
        }
    }
}

/// The same, by the protocol's own words.
fn frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() {
        let len = u32::from_le_bytes(*prefix) as usize;
        if len == 0 || len > verger_shim::protocol::MAX_SHORT {
            return (frames, Some(ProtocolError::Length(len)));
        }
        let Some(frame) = rest.get(..len) else { break };
        frames.push(frame.to_vec());
        bytes = &rest[len..];
    }
    (frames, None)
}
