//! The command line.

use std::{fs::OpenOptions, path::PathBuf};

use crate::{family::Role, fault::Fault, mode::Mode};

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub(crate) mode: Mode,
    /// The mode's parameter, if given: milliseconds, a count, megabytes or a file.
    pub(crate) parameter: Option<String>,
    /// Beside the mode's own.
    pub(crate) fault: Option<Fault>,
    /// Who creates this file is spared the fault.
    pub(crate) once: Option<PathBuf>,
    /// A named pipe: what attacks the shim waits for a byte in it.
    pub(crate) attack_on: Option<PathBuf>,
    pub(crate) tag: Option<String>,
    pub(crate) log: Option<PathBuf>,
    /// Set for the processes that this program starts of itself.
    pub(crate) role: Option<Role>,
}

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Self {
            mode: Mode::Polite,
            parameter: None,
            fault: None,
            once: None,
            attack_on: None,
            tag: None,
            log: None,
            role: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--mode" => args.mode = value()?.parse()?,
                "--fault" => args.fault = Some(value()?.parse()?),
                "--once" => args.once = Some(value()?.into()),
                "--attack-on" => args.attack_on = Some(value()?.into()),
                "--tag" => args.tag = Some(value()?),
                "--log" => args.log = Some(value()?.into()),
                "--role" => args.role = Some(value()?.parse()?),
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                _ => args.parameter = Some(word),
            }
        }
        Ok(args)
    }

    /// The fault from now on. Asked once, since asking may create the file that spares it.
    pub(crate) fn due_fault(&self) -> Option<Fault> {
        let fault = self.fault.or(self.mode.fault())?;
        let file = match self.mode {
            Mode::RejectReinit => Some(self.parameter.as_deref().expect("reject-reinit takes a file").into()),
            _ => self.once.clone(),
        };
        let is_spared =
            file.is_some_and(|file| OpenOptions::new().write(true).create_new(true).open(file).is_ok());
        (!is_spared).then_some(fault)
    }

    /// The parameter as a mode, polite when there is none.
    pub(crate) fn inner_mode(&self) -> Mode {
        let inner = self.parameter.as_deref().map(str::parse);
        inner.map_or(Mode::Polite, |mode| mode.unwrap_or_else(|problem| panic!("{problem}")))
    }

    /// The parameter as a number, or `default` when there is none.
    pub(crate) fn number(&self, default: u64) -> u64 {
        match &self.parameter {
            None => default,
            Some(text) => {
                text.parse().unwrap_or_else(|_| panic!("{} takes a number, not {text:?}", self.mode.name()))
            }
        }
    }
}
