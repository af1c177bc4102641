//! Slow calls run beside the others, so that answers leave out of order, and can be cancelled.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{event_log::EventLog, output::Output, tools};

/// Calls that are sleeping, by the text of their request id.
#[derive(Debug, Default)]
pub(crate) struct SlowCalls(HashMap<String, mpsc::Sender<()>>);

impl SlowCalls {
    /// Answers `id` after `seconds`, unless cancelled first. The thread ends with the process.
    pub(crate) fn start(&mut self, id: &Value, seconds: f64, out: &Arc<Output>, log: &EventLog) {
        let (cancel, cancelled) = mpsc::channel();
        self.0.insert(id.to_string(), cancel);
        let (id, out, log) = (id.clone(), Arc::clone(out), log.clone());
        thread::spawn(move || match cancelled.recv_timeout(Duration::from_secs_f64(seconds)) {
            Ok(()) => log.event("call-cancelled", json!({ "id": id })),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                out.result(&id, tools::text("ok"))
            }
        });
    }

    /// Ends the call `id` without an answer; a call that is not sleeping is left alone.
    pub(crate) fn cancel(&mut self, id: &Value, log: &EventLog) {
        let running = self.0.remove(&id.to_string());
        if running.is_some_and(|cancel| cancel.send(()).is_err()) {
            log.event("cancelled-too-late", json!({ "id": id }));
        }
    }
}
