//! A WebSocket by hand, which can say anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::UPGRADE;

/// How long the server may take for its next byte before the test fails.
const LIMIT: Duration = Duration::from_secs(30);

/// An upgraded connection whose frames the test writes and reads itself.
#[derive(Debug)]
pub struct RawSocket(TcpStream);

/// A frame of the server's: its first byte, which holds the opcode, and its payload.
pub type RawFrame = (u8, Vec<u8>);

impl RawSocket {
    /// Upgrades a connection to the server at `address`.
    ///
    /// # Panics
    ///
    /// When nobody listens there, or the upgrade is refused.
    #[must_use]
    pub fn open(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let head = [&UPGRADE[..], &[&format!("Host: {address}")]].concat().join("\r\n");
        stream.write_all(format!("GET / HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).expect("connected");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it answers");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    /// The bytes of a masked frame with this first byte. The mask is zero, so that the payload is as it is.
    ///
    /// # Panics
    ///
    /// Never: the lengths fit.
    #[must_use]
    pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = match payload.len() {
            short @ 0..=125 => vec![0x80 | u8::try_from(short).expect("short")],
            long @ 126..=0xffff => {
                [&[0x80 | 126][..], &u16::try_from(long).expect("two bytes").to_be_bytes()].concat()
            }
            long => [&[0x80 | 127][..], &(long as u64).to_be_bytes()].concat(),
        };
        [&[first][..], &length, &[0; 4], payload].concat()
    }

    /// Sends a masked frame with this first byte.
    pub fn frame(&mut self, first: u8, payload: &[u8]) {
        self.raw(&Self::masked(first, payload));
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        // A server that has had enough may close before the end.
        self.0.write_all(bytes).ok();
    }

    /// The same socket once more, for a thread that writes while another reads.
    ///
    /// # Panics
    ///
    /// When there are no descriptors left.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self(self.0.try_clone().expect("a descriptor"))
    }

    /// The next frame; nothing at the end, or when none comes in 30 s.
    ///
    /// # Panics
    ///
    /// Never: what the server sends fits.
    pub fn heard(&mut self) -> Option<RawFrame> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).ok()?;
                u16::from_be_bytes(length).into()
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).ok()?;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("it fits")];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    /// Passes over what comes before the server's goodbye; the code of that, 1005 where it has none, and how many frames
    /// came first. Nothing where the connection ends without a goodbye.
    pub fn goodbye(&mut self) -> Option<(u16, usize)> {
        let mut passed = 0;
        loop {
            let (first, payload) = self.heard()?;
            if first & 15 == 8 {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                return Some((code, passed));
            }
            passed += 1;
        }
    }

    /// The code with which the server closes.
    pub fn close_code(&mut self) -> Option<u16> {
        self.goodbye().map(|(code, _)| code)
    }
}
