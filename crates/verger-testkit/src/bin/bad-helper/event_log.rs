//! The event log: one JSON line per event, appended in one write so that a family shares a file.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use rustix::{
    process::{getpid, getppid},
    time::{ClockId, clock_gettime},
};
use serde_json::{Value, json};

use crate::args::Args;

/// Where events go; nowhere without `--log`.
#[derive(Debug, Clone)]
pub(crate) struct EventLog {
    file: Option<PathBuf>,
    mode: &'static str,
    tag: Option<String>,
}

impl EventLog {
    pub(crate) fn new(args: &Args) -> Self {
        Self { file: args.log.clone(), mode: args.mode.name(), tag: args.tag.clone() }
    }

    /// Appends `{ev, pid, ppid, mode, tag, mono_ns, wall}` and the members of `more`. `mono_ns` is CLOCK_MONOTONIC,
    /// comparable across processes of one machine; `wall` is seconds since the epoch.
    pub(crate) fn event(&self, event: &str, more: Value) {
        let Some(file) = &self.file else { return };
        let mono = clock_gettime(ClockId::Monotonic);
        let wall = clock_gettime(ClockId::Realtime);
        let mut line = json!({
            "ev": event,
            "pid": getpid().as_raw_nonzero().get(),
            "ppid": getppid().map(|pid| pid.as_raw_nonzero().get()),
            "mode": self.mode,
            "tag": self.tag,
            "mono_ns": mono.tv_sec * 1_000_000_000 + mono.tv_nsec,
            "wall": wall.tv_sec as f64 + wall.tv_nsec as f64 / 1e9,
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        // Opened per event: a descriptor kept open would show up in the `fds` tool.
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("bad-helper: cannot write to {}: {error}", file.display());
        }
    }
}

/// This process's group and session, 0 where that lies outside of this PID namespace: a container, or CI. Read from
/// proc(5), since rustix takes a 0 from getpgid and getsid for impossible.
pub(crate) fn group_and_session() -> Option<(i32, i32)> {
    parse_stat(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 5 and 6 of a `stat` line; the name before them may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(i32, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_session_outside_of_the_namespace_is_zero() {
        assert_eq!(super::parse_stat("7 (a (b) c) S 1 0 0 0 -1 4194304"), Some((0, 0)));
        assert_eq!(super::parse_stat("7 (bad-helper) R 1 7 5 0 -1 4194304"), Some((7, 5)));
    }
}
