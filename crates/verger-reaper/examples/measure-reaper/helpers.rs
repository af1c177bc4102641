//! The programs that are kept: one that answers and leaves, one that is large and does not leave.

use std::io::Write;

/// Says one byte and ends.
pub(crate) const BYTE: &str = "printf x";

/// Ignores TERM, says one byte when it is up, and stays, whatever becomes of its stdin. `$0` is this program.
pub(crate) const STUBBORN: &str = r#"trap '' TERM; exec "$0" helper"#;

/// What `STUBBORN` has become: 2 MB of its own memory, each page of it written.
pub(crate) fn be_stubborn() -> ! {
    let ballast = vec![1_u8; 2_000_000];
    let mut stdout = std::io::stdout();
    stdout.write_all(b"x").and_then(|()| stdout.flush()).unwrap();
    loop {
        std::hint::black_box(&ballast);
        std::thread::park();
    }
}

/// `sh -c SCRIPT` with this program as `$0`.
pub(crate) fn arguments(script: &str) -> [String; 3] {
    let me = std::env::current_exe().unwrap();
    ["-c".to_owned(), script.to_owned(), me.to_str().unwrap().to_owned()]
}
