//! "Always allow": the one thing that the server itself writes into `config.toml`, where people see it and take it back.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml_edit::{DocumentMut, TableLike, value};
use verger_core::server::ServerName;

use super::mcp_servers::{ToolApproval, ToolSettings};
use super::{Config, McpServer};

/// Why an approval was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// The server is in no file, but set by a flag or a variable.
    #[error("{}: [mcp_servers.{server}] is not written there; add approval_mode = \"approve\" where it is set", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// The server.
        server: String,
    },
    /// The file has changed to what is no TOML, or no table is where one has to be.
    #[error("{}: {cause}; mend it, and add approval_mode = \"approve\" in [mcp_servers.{server}.tools.{tool}]", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The server.
        server: String,
        /// Its tool.
        tool: String,
        /// What is wrong.
        cause: String,
    },
    /// The file could not be read or written.
    #[error("{}: {cause}; make it writable, or add approval_mode = \"approve\" in [mcp_servers.{server}.tools.{tool}]", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The server.
        server: String,
        /// Its tool.
        tool: String,
        /// Why.
        cause: std::io::Error,
    },
}

impl Config {
    /// The same with a tool that nobody is asked for any more.
    #[must_use]
    pub(crate) fn approving(&self, server: &ServerName, tool: &str) -> Self {
        let mut config = self.clone();
        if let Some(definition) = config.mcp_servers.get_mut(server) {
            let definition: &mut McpServer = Arc::make_mut(definition);
            let approve = ToolSettings { approval_mode: Some(ToolApproval::Approve) };
            definition.tools.insert(tool.to_owned(), approve);
        }
        config
    }

    /// The file that people write.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes `approval_mode = "approve"` for one tool, and leaves all else of the file as it is. Blocking.
///
/// # Errors
/// [`KeepError`]; then the file is as it was.
pub(crate) fn keep(path: &Path, server: &str, tool: &str) -> Result<(), KeepError> {
    let named = || (path.to_owned(), server.to_owned(), tool.to_owned());
    let io = |cause| {
        let (path, server, tool) = named();
        KeepError::Io { path, server, tool, cause }
    };
    let unreadable = |cause: String| {
        let (path, server, tool) = named();
        KeepError::Unreadable { path, server, tool, cause }
    };
    // Through links: whoever keeps the file elsewhere goes on doing so.
    let path = path.canonicalize().map_err(io)?;
    let text = std::fs::read_to_string(&path).map_err(io)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| unreadable(error.message().to_owned()))?;
    let servers = document.get_mut("mcp_servers").and_then(|servers| servers.as_table_like_mut());
    let written = servers.and_then(|servers| servers.get_mut(server)?.as_table_like_mut());
    let Some(written) = written else {
        let (path, server, _) = named();
        return Err(KeepError::NotWritten { path, server });
    };
    let no_table = || unreadable("'tools' is no table".to_owned());
    let tools = below(written, "tools").ok_or_else(no_table)?;
    let settings = below(tools, tool).ok_or_else(no_table)?;
    settings.insert("approval_mode", value("approve"));
    replace(&path, &document.to_string()).map_err(io)
}

/// The table of that name, made if it is not there. `None` if something else is.
fn below<'a>(table: &'a mut dyn TableLike, name: &str) -> Option<&'a mut dyn TableLike> {
    if !table.contains_key(name) {
        let mut new = toml_edit::Table::new();
        // [mcp_servers.NAME.tools.TOOL] needs no line of its own for what is above it.
        new.set_implicit(true);
        table.insert(name, toml_edit::Item::Table(new));
    }
    table.get_mut(name)?.as_table_like_mut()
}

/// Whole or not at all, with the rights that it has.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(before: &str, server: &str, tool: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, before).unwrap();
        let result = keep(&path, server, tool).map_err(|error| error.to_string());
        let after = std::fs::read_to_string(&path).unwrap();
        if result.is_err() {
            assert_eq!(after, before, "what fails changes nothing");
        }
        result.map(|()| after)
    }

    #[test]
    fn an_approval_is_added_and_all_else_stays_as_it_was_written() {
        let before = "# mine\nmodel = \"m\" # ours\n\n[mcp_servers.git]\ncommand = 'uvx'\n\n[threads]\norphan_grace = \"1s\"\n";
        let after = kept(before, "git", "commit").unwrap();
        assert!(after.contains("[mcp_servers.git.tools.commit]\napproval_mode = \"approve\"\n"), "{after}");
        assert!(
            after.starts_with("# mine\nmodel = \"m\" # ours\n\n[mcp_servers.git]\ncommand = 'uvx'\n"),
            "{after}"
        );
        assert!(after.contains("[threads]\norphan_grace = \"1s\"\n"), "{after}");
        let twice = kept(&after, "git", "push it").unwrap();
        assert!(
            twice.contains("[mcp_servers.git.tools.\"push it\"]\napproval_mode = \"approve\"\n"),
            "{twice}"
        );
        assert!(twice.contains("[mcp_servers.git.tools.commit]"), "{twice}");
    }

    #[test]
    fn an_inline_table_is_added_to() {
        let after = kept("mcp_servers = { git = { command = \"uvx\" } }\n", "git", "commit").unwrap();
        let read: toml::Table = after.parse().unwrap();
        let mode = &read["mcp_servers"]["git"]["tools"]["commit"]["approval_mode"];
        assert_eq!(mode.as_str(), Some("approve"), "{after}");
    }

    #[test]
    fn what_cannot_be_kept_says_where_to_write_it() {
        let error = kept("[mcp_servers.other]\ncommand = \"x\"\n", "git", "commit").unwrap_err();
        assert!(error.contains("[mcp_servers.git] is not written there"), "{error}");
        let error = kept("[mcp_servers.git]\ntools = 3\n", "git", "commit").unwrap_err();
        assert!(error.contains("'tools' is no table; mend it"), "{error}");
        let error = kept("not toml", "git", "commit").unwrap_err();
        assert!(error.contains("[mcp_servers.git.tools.commit]"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn rights_and_links_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("config.toml"));
        std::fs::write(&real, "[mcp_servers.git]\ncommand = \"x\"\n").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        keep(&link, "git", "commit").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&real).unwrap().contains("approve"));
    }
}
