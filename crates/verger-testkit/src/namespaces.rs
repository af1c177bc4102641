//! Whether this machine lets a test, or a user without rights, have PID namespaces.

use std::process::{Command, Stdio};

/// Whether `unshare` can make a PID namespace with its own `/proc`, with a user namespace around it or without.
///
/// # Panics
///
/// When there is no `unshare`.
#[must_use]
pub fn namespaces_can_be_had() -> bool {
    [&["--user", "--map-root-user"][..], &[]].iter().any(|user| {
        #[expect(clippy::disallowed_methods, reason = "waited for here, and alone in what it makes")]
        let mut unshare = Command::new("unshare");
        let unshare = unshare.args(["--pid", "--fork", "--mount-proc"]).args(*user).arg("true");
        unshare.stderr(Stdio::null()).status().expect("unshare is part of util-linux").success()
    })
}
