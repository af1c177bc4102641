//! A conversation with a running server over its Unix socket, one line a message.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

/// A connection to a server of this user.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<UnixStream>,
    last_id: u64,
}

/// Why a request had no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinesError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("its answer is not readable: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// In the server's words.
    #[error("{0}")]
    Refused(String),
}

impl Lines {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(socket)?), last_id: 0 })
    }

    /// Asks, and waits for the answer; what the server says besides is passed over.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, LinesError> {
        self.last_id += 1;
        let request = json!({ "id": self.last_id, "method": method, "params": params });
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        loop {
            let mut answer = self.next()?;
            if answer["id"] != json!(self.last_id) {
                continue;
            }
            return match answer["error"]["message"].as_str() {
                None => Ok(answer["result"].take()),
                Some(refusal) => Err(LinesError::Refused(refusal.to_owned())),
            };
        }
    }

    /// The next message, of whatever kind.
    pub(crate) fn next(&mut self) -> Result<Value, LinesError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// The connection, and what of it has been read but not looked at.
    pub(crate) fn into_stream(self) -> BufReader<UnixStream> {
        self.stream
    }
}
