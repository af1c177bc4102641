//! The one task of a session: reads the helper's stdout, writes its stdin, keeps the catalog fresh.
//!
//! Reading and writing go on side by side, so that a helper which answers before it reads on, or does not read at
//! all, blocks nothing but its own writes. The task owns both pipes: when it ends, they are closed.

use std::{future, io, sync::Arc};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{
    CallError, MAX_LINE,
    lines::{Line, Lines},
    message::{self, Incoming},
    oversized,
    shared::Shared,
};

/// Serves the session until it is told to close, or stdout ends. Its owner awaits it, or drops it.
pub(crate) async fn run<R, W>(shared: Arc<Shared>, stdout: R, stdin: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let _end = End(&shared);
    let sending = async {
        tokio::join!(write(&shared, stdin), refresh(&shared));
        // A helper that closed its stdin may still have something to say.
        future::pending::<()>().await;
    };
    // The pipes close here, when the futures that own them drop, whatever they were doing.
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => tracing::debug!(server = %shared.server, "session closed"),
        () = sending => {}
        ended = read(&shared, stdout) => match ended {
            Ok(()) => tracing::debug!(server = %shared.server, "stdout ended"),
            Err(error) => tracing::warn!(server = %shared.server, %error, "cannot read stdout; session ended"),
        },
    }
}

/// However the task ends, aborted too, no caller waits on.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ledger.close();
        self.0.ended.cancel();
    }
}

async fn write(shared: &Shared, mut stdin: impl AsyncWrite + Unpin) {
    loop {
        let outbound = shared.ledger.next_line().await;
        let written = async {
            stdin.write_all(&outbound.line).await?;
            stdin.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(server = %shared.server, %error, "cannot write to stdin");
            return shared.ledger.stop_writing(outbound.request);
        }
    }
}

async fn refresh(shared: &Shared) {
    loop {
        shared.tools_changed.notified().await;
        match shared.refresh_tools().await {
            Ok(()) => tracing::debug!(server = %shared.server, "tools changed"),
            Err(CallError::HelperGone { .. } | CallError::Ended { .. } | CallError::NotSent { .. }) => return,
            Err(error) => {
                tracing::warn!(server = %shared.server, %error, "tools changed but cannot be listed")
            }
        }
    }
}

async fn read(shared: &Arc<Shared>, stdout: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut lines = Lines::new(stdout, MAX_LINE);
    while let Some(line) = lines.next().await? {
        match line {
            Line::Whole(line) => match message::decode(line) {
                Some(messages) => messages.into_iter().for_each(|message| take(shared, message)),
                None => shared.noise(line),
            },
            Line::TooLong { bytes, head, tail } => {
                tracing::warn!(server = %shared.server, bytes, "skipped a line on stdout, over {MAX_LINE} bytes");
                match oversized::answer_id(head, tail) {
                    Some(id) if shared.ledger.too_large(id, bytes) => {}
                    _ => shared.noise(head),
                }
            }
        }
    }
    Ok(())
}

fn take(shared: &Arc<Shared>, message: Incoming) {
    let server = &shared.server;
    match message {
        Incoming::Answer { id, outcome } => {
            if !shared.ledger.answer(id, outcome) {
                tracing::debug!(%server, id, "an answer that nobody waits for");
            }
        }
        Incoming::Complaint(error) => {
            if !shared.ledger.complaint(error.clone()) {
                tracing::warn!(%server, code = error.code, message = error.message, "an error without an id");
            }
        }
        Incoming::Request { id, method, params } => {
            // A ping is answered, a question passed on where somebody takes it, everything else declined.
            let (pong, declined) = (json!({}), message::not_offered(&method));
            let outcome = if method == "ping" { Ok(&pong) } else { Err(&declined) };
            if let Err(id) = shared.take_question(id, &method, params)
                && !shared.ledger.reply(&id, outcome)
            {
                tracing::warn!(%server, method, "does not read the answers to its own requests; dropped one");
            }
        }
        Incoming::Notification { method, params } => notified(shared, &method, &params),
    }
}

fn notified(shared: &Shared, method: &str, params: &Value) {
    let server = &shared.server;
    match method {
        "notifications/cancelled" => shared.questions.withdraw(&params["requestId"]),
        "notifications/tools/list_changed" => shared.tools_changed.notify_one(),
        "notifications/message" => {
            tracing::debug!(%server, level = %params["level"], data = %params["data"], "log")
        }
        _ => tracing::trace!(%server, method, "notification"),
    }
}
