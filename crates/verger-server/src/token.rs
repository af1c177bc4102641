//! The secrets that clients over TCP are held to: files that their owner alone can read.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::daemon::DaemonError;

/// Bytes of randomness in a token that is made here.
const BYTES: usize = 32;

/// No secret is longer.
const MAX_SECRET: u64 = 64 << 10;

/// Reads the home's token, or makes one.
pub(crate) fn read_or_make(path: &Path) -> std::result::Result<String, DaemonError> {
    let failed = |doing| move |cause| DaemonError::Home { path: path.to_owned(), doing, cause };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let token = make().map_err(failed("make a token"))?;
            file.write_all(token.as_bytes()).map_err(failed("write the token"))?;
            Ok(token)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let token = read(path).map_err(failed("read the token"))?;
            if token.len() < BYTES {
                let why = "it is too short to protect anything; delete it, and a new one is made";
                return Err(failed("read the token")(Error::other(why)));
            }
            Ok(token)
        }
        Err(error) => Err(failed("make the token's file")(error)),
    }
}

/// What is in a file that a person made, without the white space around it.
pub(crate) fn read(path: &Path) -> Result<String> {
    // Looked at before it is opened, as opening a pipe waits for a writer.
    if !path.metadata()?.is_file() {
        return Err(Error::other("it is not a file; name the file that holds the secret"));
    }
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        let why = format!("it is open to other users: run `chmod 600 {}`", path.display());
        return Err(Error::new(ErrorKind::PermissionDenied, why));
    }
    let mut secret = String::new();
    file.take(MAX_SECRET).read_to_string(&mut secret)?;
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(Error::other("it is empty; put the secret there"));
    }
    Ok(secret.to_owned())
}

fn make() -> Result<String> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
