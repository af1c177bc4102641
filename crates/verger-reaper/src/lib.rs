//! Who lives: starts, watches and ends process trees, and sweeps what a crash left.
//!
//! A [`Reaper`] starts each helper under a shim of its own (see `verger_shim`) and, where it can, in a cgroup of its
//! own. A [`Custody`] is the right to end that helper; when the last clone is dropped, the helper's whole tree is
//! killed. [`Custody::gone`] answers only after the kernel has proven the tree empty.
//!
//! A [`Run`] is one life of the owning process. Should it be killed, its shims end their trees; whatever escapes even
//! them is found by the next run's [`sweep`].
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adopt;
mod cgroup;
mod channel;
mod command;
mod custody;
mod error;
mod failure;
mod helper;
mod pidns;
mod process;
mod ready;
mod reaper;
mod remains;
mod run;
mod shim;
mod spec;
mod strangers;
mod sweep;
mod task;
mod token;
mod usage;
mod with_reaper;

pub use custody::{Custody, Gone, Helper};
pub use error::{ReaperError, SpawnError, Unproven};
pub use reaper::{Options, Reaper};
pub use run::{LiveRun, Run, RunState, live_runs, run_state};
pub use spec::{HelperInfo, HelperState, Level, Spec};
pub use sweep::{Killed, SweepReport, SweptRun, sweep};
pub use token::TOKEN_VARIABLE;
pub use usage::{Tree, Usage};
pub use verger_shim::protocol::{Exit, Graces, Stage, Stop};
pub use with_reaper::with_reaper;
