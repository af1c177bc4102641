//! Dotted keys: `mcp_servers."a.b".command`.

use std::fmt;

use toml::de::DeTable;

/// The parts of a dotted key; a text that is no key is one part.
pub(crate) fn path_of(text: &str) -> Vec<String> {
    Key::parse(text).map_or_else(|| vec![text.to_owned()], |key| key.0)
}

/// The way from the top of the configuration to a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) Vec<String>);

impl Key {
    /// Reads a key as TOML writes it on the left of `=`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // A key is one line; and TOML itself knows best what quotes and dots mean in it.
        let line = format!("{text} = 0");
        let document = DeTable::parse(&line).ok().filter(|_| !text.contains(['\n', '[', '{']))?;
        let mut parts = Vec::new();
        let mut table = Some(document.get_ref());
        while let Some((name, value)) = table.and_then(|table| table.iter().next()) {
            parts.push(name.get_ref().to_string());
            table = value.get_ref().as_table();
        }
        Some(Self(parts))
    }

    /// This key with one more part.
    pub(super) fn join(&self, part: &str) -> Self {
        Self(self.0.iter().cloned().chain([part.to_owned()]).collect())
    }

    /// The name of a key that is in the table `other`.
    pub(super) fn below(&self, other: &Self) -> Option<&str> {
        let (name, table) = self.0.split_last()?;
        (!table.is_empty() && table == other.0).then_some(name)
    }

    /// Whether this is `other`, or a table that holds it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl<const N: usize> From<[&str; N]> for Key {
    fn from(parts: [&str; N]) -> Self {
        Self(parts.map(str::to_owned).to_vec())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        for (at, part) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "." })?;
            if is_bare(part) { f.write_str(part)? } else { write!(f, "{part:?}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_toml_reads_them() {
        for (text, shown) in [
            ("model", Some("model")),
            (" threads . orphan_grace ", Some("threads.orphan_grace")),
            ("mcp_servers.\"a.b\".command", Some("mcp_servers.\"a.b\".command")),
            ("mcp_servers.'a-b'.command", Some("mcp_servers.a-b.command")),
            ("", None),
            ("a..b", None),
            ("a b", None),
            ("[a]\nb", None),
            ("a # b", None),
        ] {
            assert_eq!(Key::parse(text).map(|key| key.to_string()).as_deref(), shown, "{text:?}");
        }
    }
}
