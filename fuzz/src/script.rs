//! What up to three clients of one daemon do, line by line, in a form that people can read, write and keep.
//!
//! ```text
//! a {"id":1,"method":"thread/start","params":{}}    client a writes this line
//! a?                                                waits until a has all of its answers
//! b~{"id":2,"meth                                   b writes this and does not end the line
//! b.                                                b says that it is done, and hears out the server
//! a!                                                a is gone
//! ```
//!
//! A client connects with its first line, and again with the first one after it left. In what is written, `$t0` stands
//! for the first thread that any client heard of, `$u0` for the first turn, `$c0` for the first cursor.

/// Clients are told apart by `a`, `b` and `c`.
pub const CLIENTS: usize = 3;

/// Steps of a script that are played; the rest would be more of the same.
const MAX_STEPS: usize = 64;

/// One client's next move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which client, below [`CLIENTS`].
    pub client: usize,
    /// Its move.
    pub act: Act,
}

/// What a client can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write a line.
    Say(Vec<u8>),
    /// Write a piece of a line.
    Mumble(Vec<u8>),
    /// Wait for every answer that is due.
    Wait,
    /// Write no more, and read to the end.
    Leave,
    /// Neither write nor read any more.
    Vanish,
}

/// Reads a script. What makes no sense is left out, so that any bytes are one.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Step> {
    bytes.split(|&byte| byte == b'\n').filter_map(step).take(MAX_STEPS).collect()
}

fn step(line: &[u8]) -> Option<Step> {
    let (&letter, line) = line.split_first()?;
    let client = usize::from(letter.checked_sub(b'a')?);
    let (sign, rest) = line.split_first()?;
    let act = match sign {
        b' ' => Act::Say(rest.to_vec()),
        b'~' if !rest.is_empty() => Act::Mumble(rest.to_vec()),
        b'?' => Act::Wait,
        b'.' => Act::Leave,
        b'!' => Act::Vanish,
        _ => return None,
    };
    (client < CLIENTS).then_some(Step { client, act })
}

/// Writes a script that [`parse`] reads as `steps`: as many as are played, and fit in `room` bytes.
#[must_use]
pub fn print(steps: &[Step], room: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for Step { client, act } in steps.iter().take(MAX_STEPS) {
        let (sign, said): (u8, &[u8]) = match act {
            Act::Say(said) => (b' ', said),
            Act::Mumble(said) => (b'~', said),
            Act::Wait => (b'?', b""),
            Act::Leave => (b'.', b""),
            Act::Vanish => (b'!', b""),
        };
        if text.len() + said.len() + 3 > room {
            break;
        }
        text.push(b"abc"[*client]);
        text.push(sign);
        text.extend(said);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_was_read() {
        let text = b"a {\"id\":1}\nb~half\nb \na?\nc.\na!\n";
        let steps = parse(text);
        assert_eq!(steps.len(), 6);
        assert_eq!(print(&steps, 100), text);
        assert_eq!(print(&steps, 13), b"a {\"id\":1}\n");
        assert_eq!(parse(b"\nd.\n \na\xff\nz\nb?"), [Step { client: 1, act: Act::Wait }]);
    }
}
