//! What goes wrong on the wire, whatever the mode does with processes.

use std::str::FromStr;

/// A way to fail a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Never answers `initialize`.
    HangInInit,
    /// Answers `initialize` with an error.
    RejectInit,
    /// Exits with status 3 when asked to initialize.
    ExitInInit,
    /// Exits with status 3 when a tool is called.
    ExitInCall,
}

const FAULTS: [(&str, Fault); 4] = [
    ("hang-in-init", Fault::HangInInit),
    ("reject-init", Fault::RejectInit),
    ("exit-in-init", Fault::ExitInInit),
    ("exit-in-call", Fault::ExitInCall),
];

impl Fault {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        FAULTS.iter().find(|(_, fault)| *fault == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = FAULTS.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        found.ok_or_else(|| {
            format!("no fault {name:?}; there are: {}", FAULTS.map(|(known, _)| known).join(" "))
        })
    }
}
