//! TERM, HUP and INT: ignored, or logged and then obeyed.

use std::thread;

use serde_json::json;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::event_log::EventLog;

/// From here on these signals leave only a line in the log.
pub(crate) fn ignore(log: &EventLog) {
    on_signal(log, |log, signal| log.event("signal-ignored", json!({ "signal": signal })));
}

/// From here on these signals are logged before they do what they always do.
pub(crate) fn log_then_die(log: &EventLog) {
    on_signal(log, |log, signal| {
        log.event("signal", json!({ "signal": signal }));
        emulate_default_handler(signal).expect("TERM, HUP and INT have a default action");
    });
}

fn on_signal(log: &EventLog, act: fn(&EventLog, i32)) {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT]).expect("these signals can be handled");
    let log = log.clone();
    // Ends with the process: it has nothing to finish.
    thread::spawn(move || signals.forever().for_each(|signal| act(&log, signal)));
}
