//! The tiny supervisor that stands between an owner (Verger's reaper, or any program) and one helper process tree.
//!
//! A shim is the owner's own image, executed with argv0 `verger-shim`. Its stdin is a socket: control channel and
//! lifeline in one. It starts the helper, adopts every descendant the helper leaves behind, and when the owner says
//! stop, or disappears, or the helper's leader exits, it ends the whole tree and reports `Empty` only after the kernel
//! has answered ECHILD: there is no descendant left.
//!
//! ```no_run
//! # #![allow(clippy::needless_doctest_main)]
//! fn main() {
//!     if verger_shim::is_shim() {
//!         verger_shim::main() // never returns
//!     }
//!     // Only now threads and runtimes: not `#[tokio::main]`, whose threads are there before this line.
//! }
//! ```
//!
//! Linux 5.11 or later, with `/proc` mounted. This is the one crate of the workspace that contains unsafe code.

pub mod protocol;

mod channel;
mod init;
mod launch;
mod life;
mod setup;
mod supervise;
mod sys;
mod tree;

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The argv0 that turns a program into a shim.
pub const ARGV0: &str = "verger-shim";

/// What the kernel calls the init of a helper's PID namespace, a fork of its shim.
pub const INIT_NAME: &CStr = c"verger-init";

/// Whether this process was started as a shim: the file name in its argv0 is [`ARGV0`].
pub fn is_shim() -> bool {
    std::env::args_os()
        .next()
        .and_then(|argv0| Path::new(&argv0).file_name().map(|name| name.as_bytes() == ARGV0.as_bytes()))
        .unwrap_or(false)
}

/// Supervises one helper as told on stdin, and exits when its tree is empty: 0 after a whole life or when the owner
/// left before anything ran, 70 when the shim could not be set up or was sent something it does not understand. Either
/// way nothing that it started is alive.
///
/// To be called before any thread is started and before anything else looks at file descriptors; with threads, the
/// owner is told so and nothing is started.
pub fn main() -> ! {
    let code = match supervise::run() {
        Ok(()) => 0,
        // Nobody reads a shim's stderr: the owner learns of it from a lifeline that closes without `Empty`.
        Err(_) => 70,
    };
    std::process::exit(code)
}
