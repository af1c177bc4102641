//! The token that TCP clients of `verger serve` present.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::daemon::DaemonError;

/// Bytes of randomness in a token.
const BYTES: usize = 32;

/// Reads the token, or makes one that only its owner can read.
pub(crate) fn read_or_make(path: &Path) -> Result<String, DaemonError> {
    let failed = |doing| move |cause| DaemonError::Home { path: path.to_owned(), doing, cause };
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match open {
        Ok(mut file) => {
            let token = make().map_err(failed("make a token"))?;
            file.write_all(token.as_bytes()).map_err(failed("write the token"))?;
            Ok(token)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut token = String::new();
            let mut file = std::fs::File::open(path).map_err(failed("open the token"))?;
            file.read_to_string(&mut token).map_err(failed("read the token"))?;
            let token = token.trim().to_owned();
            if token.len() < BYTES {
                let cause = std::io::Error::other(
                    "it is too short to protect anything; delete it, and a new one is made",
                );
                return Err(failed("read the token")(cause));
            }
            Ok(token)
        }
        Err(error) => Err(failed("make the token's file")(error)),
    }
}

fn make() -> std::io::Result<String> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
