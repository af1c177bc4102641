//! A provider's key: from the environment or from a file, read again for each request, so that a new key needs no restart.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use crate::error::ModelError;
use crate::provider::ProviderConfig;

/// No key is longer.
const MAX_KEY: u64 = 64 << 10;
/// A file system that takes longer is not there.
const LIMIT: Duration = Duration::from_secs(5);

/// The provider's key, where it has one.
///
/// # Errors
/// A variable that is not set; a file that is missing, empty, or open to others.
pub(crate) async fn read(provider: &ProviderConfig) -> Result<Option<String>, ModelError> {
    let id = || provider.id.clone();
    if let Some(var) = &provider.env_key {
        let key = std::env::var(var).map(|key| key.trim().to_owned()).unwrap_or_default();
        if key.is_empty() {
            return Err(ModelError::MissingKey { provider: id(), var: var.clone() });
        }
        return Ok(Some(key));
    }
    let Some(path) = &provider.key_file else { return Ok(None) };
    let key = on_its_own(path.clone()).await;
    key.map(Some).map_err(|cause| ModelError::KeyFile { provider: id(), path: path.clone(), cause })
}

/// Reads where nobody else has to wait: a home may be far away.
async fn on_its_own(path: PathBuf) -> Result<String, String> {
    let reading = tokio::task::spawn_blocking(move || from_file(&path));
    match timeout(LIMIT, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => Err(format!("cannot be read: {error}")),
        Err(_) => Err(format!("cannot be read: no answer for {} s", LIMIT.as_secs())),
    }
}

fn from_file(path: &Path) -> Result<String, String> {
    let unreadable =
        |error: std::io::Error| format!("cannot be read: {error}; put the key there, or set `key_file`");
    // Looked at before it is opened, as opening a pipe waits for a writer.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err("is not a file; set `key_file` to the file that holds the key".to_owned());
    }
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
        return Err(format!("is open to other users: run `chmod 600 {}`", path.display()));
    }
    let mut key = String::new();
    file.take(MAX_KEY).read_to_string(&mut key).map_err(unreadable)?;
    let key = key.trim();
    if key.is_empty() {
        return Err("is empty; put the key there".to_owned());
    }
    Ok(key.to_owned())
}
