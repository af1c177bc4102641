//! Plays a script in the voice of a wire.

use std::io;

use serde_json::json;
use tokio::time::sleep;

use super::http::Output;
use super::script::{Call, Script};

/// The events of one wire. Each method gives the text of one chunk of the stream; an empty one is not sent.
pub(super) trait Voice: Send + Sync {
    /// Before anything else.
    fn begin(&self) -> String;
    fn begin_text(&self) -> String {
        String::new()
    }
    fn delta(&self, delta: &str) -> String;
    fn end_text(&self, _whole: &str) -> String {
        String::new()
    }
    fn thought(&self, text: &str) -> String;
    /// Calls, each whole.
    fn calls(&self, calls: &[Call]) -> Vec<String>;
    /// The same in pieces, those of several calls between each other.
    fn calls_in_pieces(&self, calls: &[Call]) -> Vec<String>;
    /// The model gives up.
    fn failed(&self, code: &str) -> String;
    /// The answer is cut.
    fn incomplete(&self) -> String;
    /// The answer is whole; `called`: it ends in calls.
    fn complete(&self, called: bool) -> String;
}

/// Writes one answer. `false`: the connection is to be cut.
///
/// # Errors
/// The client is gone.
pub(super) async fn play(script: Script, voice: &dyn Voice, to: &mut Output) -> io::Result<bool> {
    match script {
        Script::NotFound => return to.whole(404, None, &json!({})).await,
        Script::Fail { status, retry_after, code, message } => {
            let error = json!({"error": {"code": code, "message": message}});
            return to.whole(status, retry_after.as_deref(), &error).await;
        }
        Script::Page => return to.page("<html>not here</html>").await,
        _ => {}
    }
    to.begin().await?;
    send(to, voice.begin()).await?;
    let mut called = false;
    match script {
        Script::Text { n, text, size, delay } => {
            let mut whole = String::new();
            send(to, voice.begin_text()).await?;
            for i in 0..n {
                if i > 0 && !delay.is_zero() {
                    sleep(delay).await;
                }
                let delta = if size == 0 { text.to_owned() } else { numbered(i, size) };
                whole.push_str(&delta);
                send(to, voice.delta(&delta)).await?;
            }
            send(to, voice.end_text(&whole)).await?;
        }
        Script::Think { thought, pause, calls } => {
            send(to, voice.thought(&thought)).await?;
            sleep(pause).await;
            called = !calls.is_empty();
            for chunk in voice.calls(&calls) {
                send(to, chunk).await?;
            }
            if !called {
                send(to, voice.begin_text()).await?;
                send(to, voice.delta("ok")).await?;
                send(to, voice.end_text("ok")).await?;
            }
        }
        Script::Sleep(time) => {
            send(to, voice.begin_text()).await?;
            sleep(time).await;
            send(to, voice.delta("ok")).await?;
            send(to, voice.end_text("ok")).await?;
        }
        Script::Calls { calls, in_pieces } => {
            called = true;
            let chunks = if in_pieces { voice.calls_in_pieces(&calls) } else { voice.calls(&calls) };
            for chunk in chunks {
                send(to, chunk).await?;
            }
        }
        Script::Abort { code } => {
            send(to, voice.failed(&code)).await?;
            return to.end().await;
        }
        Script::Drop { after } => {
            send(to, voice.begin_text()).await?;
            for i in 0..after {
                send(to, voice.delta(&numbered(i, 8))).await?;
            }
            return Ok(false);
        }
        Script::Incomplete => {
            send(to, voice.begin_text()).await?;
            send(to, voice.delta("half")).await?;
            send(to, voice.incomplete()).await?;
            return to.end().await;
        }
        Script::NotFound | Script::Fail { .. } | Script::Page => {
            unreachable!("answered above, without a stream")
        }
    }
    send(to, voice.complete(called)).await?;
    to.end().await
}

async fn send(to: &mut Output, chunk: String) -> io::Result<()> {
    if chunk.is_empty() { Ok(()) } else { to.chunk(&chunk).await }
}

/// `i` in six digits, then as many dots as it takes.
fn numbered(i: usize, size: usize) -> String {
    let mut text = format!("{i:06} ");
    text.extend(std::iter::repeat_n('.', size.saturating_sub(text.len())));
    text.truncate(size);
    text
}

/// A text in pieces of three characters.
pub(super) fn pieces(text: &str) -> Vec<String> {
    text.chars().collect::<Vec<_>>().chunks(3).map(|piece| piece.iter().collect()).collect()
}
