//! One plain HTTP request to a server under test, written by hand so that no client library improves it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, 101, ...
    pub status: u16,
    /// Everything that came: head and body.
    pub text: String,
}

/// Headers of a WebSocket upgrade, apart from `Host`.
pub const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// `GET path` with exactly these headers. Reads as many bytes of the body as the head announces.
///
/// # Errors
///
/// The socket's; an answer without a status line.
pub fn get(address: &str, path: &str, headers: &[&str]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{head}\r\n").as_bytes())?;
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| body.len() >= announced(head));
        if read == 0 || whole {
            break;
        }
    }
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line in {text:?}")))?;
    Ok(Answer { status, text })
}

/// `content-length`, 0 where there is none: a 101 has no body, and a server under test does not chunk its refusals.
fn announced(head: &str) -> usize {
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.unwrap_or(0)
}
