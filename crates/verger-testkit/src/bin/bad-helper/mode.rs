//! The misbehaviours, one mode each.

use std::str::FromStr;

use crate::fault::Fault;

macro_rules! modes {
    ($($(#[doc = $doc:literal])+ $name:literal => $variant:ident,)+) => {
        /// What this process does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mode { $($(#[doc = $doc])+ $variant,)+ }

        impl Mode {
            /// As on the command line.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl FromStr for Mode {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("no mode {name:?}; there are: {}", [$($name),+].join(" "))),
                }
            }
        }
    };
}

modes! {
    /// Answers, and exits when stdin ends.
    "polite" => Polite,
    /// Ignores the end of stdin; TERM ends it.
    "ignore-eof" => IgnoreEof,
    /// Ignores the end of stdin and TERM, HUP, INT: only KILL ends it.
    "stubborn" => Stubborn,
    /// Starts a server of mode PARAMETER (polite) on its own stdio and waits for it, like a shell script does.
    "wrapper" => Wrapper,
    /// As `wrapper`, around a stubborn server; the wrapper itself dies of TERM.
    "wrapper-stubborn" => WrapperStubborn,
    /// Starts a `wrapper` around a server of mode PARAMETER (polite): a chain of three, as package runners make them.
    "wrapper-chain" => WrapperChain,
    /// Polite, with a child in its process group that ignores TERM and holds stdout open.
    "grandchild" => Grandchild,
    /// Polite, with a grandchild in its process group whose own parent has exited.
    "orphan" => Orphan,
    /// Polite, with a child alone in a process group of its own.
    "own-group" => OwnGroup,
    /// Polite, with a daemon: double-forked, own session, nothing of stdio.
    "setsid" => Setsid,
    /// As `setsid`, and the daemon has an empty environment, so that no token can be found in it.
    "daemon-empty-env" => DaemonEmptyEnv,
    /// As `daemon-empty-env`, and the daemon is not dumpable: most of its `/proc` belongs to root.
    "daemon-undumpable" => DaemonUndumpable,
    /// Stops itself (SIGSTOP) after the first `tools/list` is answered.
    "stopped" => Stopped,
    /// Stops itself (SIGSTOP) before it serves anything.
    "stopped-now" => StoppedNow,
    /// Answers `initialize` after PARAMETER milliseconds (5000).
    "slow-init" => SlowInit,
    /// Never answers `initialize`; exits when stdin ends.
    "never-init" => NeverInit,
    /// Answers `initialize` with an error.
    "reject-init" => RejectInit,
    /// Accepts `initialize` if it could create the file PARAMETER, so once; rejects it ever after.
    "reject-reinit" => RejectReinit,
    /// Exits with status 3 when asked to initialize.
    "exit-in-init" => ExitInInit,
    /// Exits with status 3 when a tool is called.
    "exit-in-call" => ExitInCall,
    /// Writes lines that are not JSON, or not JSON-RPC, before every answer.
    "garbage-stdout" => GarbageStdout,
    /// Writes every message in two halves, 2 ms apart, and ends on half a line.
    "half-lines" => HalfLines,
    /// Writes one line of PARAMETER MB (100) before it answers its first tool call.
    "long-line" => LongLine,
    /// Answers every tool call with PARAMETER MB (100) of text, in one line.
    "long-answer" => LongAnswer,
    /// Writes 10 MB to stderr at start and before it answers each tool call.
    "stderr-flood" => StderrFlood,
    /// Kills its parent if that is a `verger-shim`, having cleared its own parent-death signal; then stubborn.
    "kill-shim" => KillShim,
    /// Stops its parent (SIGSTOP) if that is a `verger-shim`; then stubborn.
    "stop-shim" => StopShim,
    /// Polite, with a daemon that kills the `verger-shim` which adopts it.
    "daemon-kill-shim" => DaemonKillShim,
    /// As `daemon-kill-shim`, and the daemon has an empty environment.
    "daemon-empty-env-kill-shim" => DaemonEmptyEnvKillShim,
    /// Polite, with a process that starts its successor in a new session and exits, PARAMETER times (20000).
    "forking-chain" => ForkingChain,
    /// Polite, with four such chains at once: sessions come and go as fast as the machine can start programs.
    "forking-storm" => ForkingStorm,
    /// Polite, with PARAMETER (200) sleepers: in its group, in own groups, in own sessions, daemonised.
    "many" => Many,
    /// Opens 100 descriptors at start and 10 more in each tool call, and closes none.
    "leak-fds" => LeakFds,
    /// Opens ten descriptors a second until it may have no more, and closes none.
    "leak-fds-steadily" => LeakFdsSteadily,
    /// Holds PARAMETER MiB (64) of touched memory before it serves.
    "alloc" => Alloc,
    /// Serves, and holds 10 MiB more of touched memory every 10 ms, up to PARAMETER MiB (2048).
    "alloc-unbounded" => AllocUnbounded,
}

impl Mode {
    /// TERM, HUP and INT do nothing to this process.
    pub(crate) fn ignores_signals(self) -> bool {
        matches!(self, Self::Stubborn | Self::KillShim | Self::StopShim)
    }

    /// How this mode fails its client of itself.
    pub(crate) fn fault(self) -> Option<Fault> {
        Some(match self {
            Self::NeverInit => Fault::HangInInit,
            Self::RejectInit | Self::RejectReinit => Fault::RejectInit,
            Self::ExitInInit => Fault::ExitInInit,
            Self::ExitInCall => Fault::ExitInCall,
            _ => return None,
        })
    }

    /// The end of stdin does nothing to this process.
    pub(crate) fn ignores_eof(self) -> bool {
        self.ignores_signals() || self == Self::IgnoreEof
    }
}
