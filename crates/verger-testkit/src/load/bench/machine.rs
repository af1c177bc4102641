//! The machine's own mood while the bench ran: what no server can be faster than, and who else wanted the processors.

use std::fs::File;
use std::io::{self, Write as _};
use std::thread::available_parallelism;

use super::table::times;
use crate::clock::now;
use crate::load::latency::Latency;

/// A page, as a database writes it.
const BLOCK: [u8; 4096] = [1; 4096];

/// Looks at the machine, one per run.
#[derive(Debug, Default)]
pub(super) struct Machine {
    syncs: Latency,
    loads: Vec<String>,
}

// === impl Machine ===

impl Machine {
    /// Makes `count` blocks durable where homes are made, one after another, and notes the load average.
    pub(super) fn look(&mut self, count: usize) -> io::Result<()> {
        let mut file: File = tempfile::tempfile()?;
        for _ in 0..count {
            let begun = now();
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            self.syncs.record(now().duration_since(begun));
        }
        let load = std::fs::read_to_string("/proc/loadavg")?;
        self.loads.extend(load.split(' ').next().map(str::to_owned));
        Ok(())
    }

    /// For the reader.
    pub(super) fn notes(&self) -> Vec<String> {
        let cores = available_parallelism().map_or("?".into(), |cores| cores.to_string());
        vec![
            format!("{cores} cores; load average as each run began: {}", self.loads.join(", ")),
            format!("one fdatasync of 4 kB where the homes are, no server: {}", times(&self.syncs)),
        ]
    }
}
