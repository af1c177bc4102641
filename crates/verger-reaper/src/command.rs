//! From a command as people write it to the absolute path of a program, with errors that say what was looked for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::{SpawnError, Spec};

/// Where commands are looked for when the helper's environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The program of `spec`. Relative paths are relative to the helper's working directory.
pub(crate) fn resolve(spec: &Spec) -> Result<PathBuf, SpawnError> {
    let cwd = working_directory(spec)?;
    if spec.command.as_bytes().contains(&b'/') {
        let path = cwd.join(&spec.command);
        return match judge(&path) {
            Verdict::Program => Ok(path),
            Verdict::NotExecutable => Err(SpawnError::NotExecutable(path)),
            Verdict::Missing => Err(SpawnError::NoSuchCommand(path)),
        };
    }
    let path_variable = spec.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.clone());
    let searched = path_variable.unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    let mut not_executable = None;
    for folder in std::env::split_paths(&searched) {
        let path = cwd.join(folder).join(&spec.command);
        match judge(&path) {
            Verdict::Program => return Ok(path),
            Verdict::NotExecutable => not_executable = not_executable.or(Some(path)),
            Verdict::Missing => {}
        }
    }
    Err(not_executable.map_or_else(|| not_on_path(&spec.command, &searched), SpawnError::NotExecutable))
}

fn not_on_path(command: &OsStr, searched: &OsStr) -> SpawnError {
    SpawnError::NotOnPath {
        command: command.to_string_lossy().into_owned(),
        searched: searched.to_string_lossy().into_owned(),
    }
}

fn working_directory(spec: &Spec) -> Result<PathBuf, SpawnError> {
    let here =
        || std::env::current_dir().map_err(|source| SpawnError::Resources { doing: "find the cwd", source });
    match &spec.cwd {
        None => here(),
        Some(cwd) => {
            let cwd = if cwd.is_absolute() { cwd.clone() } else { here()?.join(cwd) };
            if cwd.is_dir() { Ok(cwd) } else { Err(SpawnError::NoSuchCwd(cwd)) }
        }
    }
}

enum Verdict {
    Program,
    NotExecutable,
    Missing,
}

fn judge(path: &Path) -> Verdict {
    match path.metadata() {
        Err(_) => Verdict::Missing,
        // With the effective ids: those are what exec will use.
        Ok(meta) if meta.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok() => {
            Verdict::Program
        }
        Ok(_) => Verdict::NotExecutable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(command: &str, path: Option<&str>, cwd: Option<&str>) -> String {
        let mut spec = Spec::new("x", command);
        spec.env.extend(path.map(|path| ("PATH".into(), path.into())));
        spec.cwd = cwd.map(PathBuf::from);
        match resolve(&spec) {
            Ok(path) => path.display().to_string(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn commands_are_found_or_the_error_names_them() {
        assert_eq!(said("sh", Some("/nowhere:/bin"), None), "/bin/sh");
        assert_eq!(said("./sh", None, Some("/bin")), "/bin/./sh");
        assert_eq!(said("sh", Some("bin"), Some("/")), "/bin/sh");
        assert_eq!(said("uvx", Some("/nowhere"), None), "command 'uvx' is not on PATH (searched: /nowhere)");
        assert_eq!(said("/no/such", None, None), "command '/no/such' does not exist");
        assert_eq!(said("/etc/passwd", None, None), "'/etc/passwd' is not executable; try chmod +x");
        assert_eq!(said("/bin", None, None), "'/bin' is not executable; try chmod +x");
        assert_eq!(said("sh", None, Some("/z")), "cwd '/z' does not exist or is not a directory");
    }
}
