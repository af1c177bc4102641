//! JSON lines, as on stdio and the Unix socket: one message per line.

use std::io;

use axum::extract::ws::Utf8Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder};
use verger_wire::{DecodeError, Fault, Incoming, decode_bytes};

use super::MAX_FRAME;
use super::transport::{Receive, Transmit};
use crate::listen::Progress;
use crate::outbox::Closed;

/// What a buffer may keep once its line is done, in bytes.
const BUFFER: usize = 8 << 10;

/// Lines that come in.
#[derive(Debug)]
pub(crate) struct LinesIn<R> {
    from: R,
    buffer: BytesMut,
    codec: AnyDelimiterCodec,
    ended: bool,
}

/// Lines that go out.
#[derive(Debug)]
pub(crate) struct LinesOut<W>(W);

impl<R> LinesIn<R> {
    pub(crate) fn new(from: R) -> Self {
        let codec = AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), MAX_FRAME);
        Self { from, buffer: BytesMut::with_capacity(BUFFER), codec, ended: false }
    }

    /// The next whole line of what has been read; the rest of a line that is too long is passed over.
    fn line(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let line = match self.ended {
            false => self.codec.decode(&mut self.buffer),
            true => self.codec.decode_eof(&mut self.buffer),
        };
        line.map_err(|error| {
            let fault = match error {
                AnyDelimiterCodecError::MaxChunkLengthExceeded => Fault::TooLong(MAX_FRAME),
                AnyDelimiterCodecError::Io(error) => Fault::NotJson(error.to_string()),
            };
            DecodeError { id: None, fault }
        })
    }

    /// One large line must not cost its memory for the rest of the connection.
    fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER {
            self.buffer = BytesMut::with_capacity(BUFFER);
        }
    }
}

impl<R: AsyncRead + Unpin + Send> Receive for LinesIn<R> {
    async fn receive(&mut self) -> Option<Result<Incoming, DecodeError>> {
        loop {
            match self.line() {
                Ok(Some(line)) => {
                    // Blank lines are how people end what they type.
                    if line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    let message = decode_bytes(&line);
                    drop(line);
                    self.shrink();
                    return Some(message);
                }
                Ok(None) if self.ended => return None,
                Ok(None) => match self.from.read_buf(&mut self.buffer).await {
                    Ok(0) => self.ended = true,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a client's lines broke off");
                        return None;
                    }
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<W> LinesOut<W> {
    pub(crate) fn new(to: W) -> Self {
        Self(to)
    }
}

impl<W: AsyncWrite + Unpin + Send> Transmit for LinesOut<W> {
    /// Who reads lines is a process of the same person, and is waited for.
    fn progress(&self) -> Option<Progress> {
        None
    }

    async fn transmit(&mut self, text: Utf8Bytes) -> io::Result<()> {
        self.0.write_all_buf(&mut Bytes::from(text).chain(&b"\n"[..])).await?;
        self.0.flush().await
    }

    async fn ping(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn finish(mut self, _why: Closed) {
        if let Err(error) = self.0.shutdown().await {
            tracing::debug!(%error, "a client's lines were closed before their end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive_all(input: &[u8]) -> Vec<Result<String, Fault>> {
        let mut lines = LinesIn::new(input);
        let mut all = Vec::new();
        while let Some(message) = lines.receive().await {
            all.push(match message {
                Ok(Incoming::Notification { method, .. }) => Ok(method),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.fault),
            });
        }
        assert!(lines.buffer.capacity() <= BUFFER, "{}", lines.buffer.capacity());
        all
    }

    #[tokio::test]
    async fn blank_lines_are_nothing_and_the_last_needs_no_end() {
        let said = receive_all(b"\n{\"method\":\"a\"}\r\n  \n{\"method\":\"b\"}").await;
        assert_eq!(said, [Ok("a".to_owned()), Ok("b".to_owned())]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over_and_the_next_is_heard() {
        let mut input = vec![b'x'; MAX_FRAME + 10];
        input.extend(b"\n{\"method\":\"next\"}\n");
        assert_eq!(receive_all(&input).await, [Err(Fault::TooLong(MAX_FRAME)), Ok("next".to_owned())]);
    }

    #[tokio::test]
    async fn a_line_that_is_no_text_is_named() {
        let said = receive_all(b"{\"\xff\"}\n{\"method\":\"next\"}\n").await;
        assert_eq!(said, [Err(Fault::NotUtf8(2)), Ok("next".to_owned())]);
    }
}
