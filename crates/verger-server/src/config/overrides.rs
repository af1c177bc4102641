//! Keys set over the file: `--config KEY=VALUE` and `VERGER_*` variables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::key::Key;

const PREFIX: &str = "VERGER_";

/// Variables that are no keys: the home, the log, the program that clients start, and the mark on helpers' processes.
const NO_KEYS: &[&str] =
    &["VERGER_HOME", "VERGER_LOG", "VERGER_BIN", "VERGER_RUN_TOKEN", "VERGER_REAL_SERVERS"];

/// The same for whatever begins like this: settings of the project's own tests.
const NO_KEYS_BELOW: &str = "VERGER_TEST_";

/// What was set over the file: at most one value for each key, and none for a key of a table that was set as a whole
/// later. Plain data, in the order of the keys: it can be sent to another process and compared there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(Vec<Override>);

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Who set it.
    pub source: Source,
    /// Dotted, each part quoted where TOML needs that.
    pub key: String,
    /// In TOML, always written the same way.
    pub value: String,
}

/// Who set a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// `--config`.
    Flag,
    /// The environment variable of that name.
    Variable(String),
}

impl Source {
    /// For messages about `key`.
    pub(super) fn describe(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("--config {key}"),
            Self::Variable(name) => name.clone(),
        }
    }
}

impl Overrides {
    /// Takes the `VERGER_*` variables out of an environment, and the values of `--config` in the order in which they were
    /// given. Flags win over variables, later flags over earlier ones.
    ///
    /// A variable's name is `VERGER_` and the key in capitals, with `__` for each dot. A value is TOML, or a string where
    /// it is none. Empty variables count as not set.
    ///
    /// # Errors
    /// A flag without `=`, a key that is none, or a variable that is not UTF-8.
    pub fn new(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut set = BTreeMap::new();
        let variables: BTreeMap<_, _> = environment.into_iter().collect();
        for (name, value) in variables {
            let Some((name, key)) = name.to_str().and_then(|name| Some((name, key_of_variable(name)?)))
            else {
                continue;
            };
            let source = Source::Variable(name.to_owned());
            let Some(value) = value.to_str() else {
                return Err(ConfigError::of(&source, "", "not UTF-8"));
            };
            if !value.is_empty() {
                insert(&mut set, key, source, value);
            }
        }
        for flag in flags {
            let refuse = |reason: &str| ConfigError::of(&Source::Flag, flag, reason);
            let (key, value) =
                flag.split_once('=').ok_or_else(|| refuse("no '='; write --config KEY=VALUE"))?;
            let key = Key::parse(key).ok_or_else(|| {
                refuse("what stands before '=' is no key; write one like threads.orphan_grace")
            })?;
            insert(&mut set, key, Source::Flag, value);
        }
        let list = set.into_iter().map(|(key, (source, value))| Override {
            source,
            key: key.to_string(),
            value: value.to_string(),
        });
        Ok(Self(list.collect()))
    }

    /// All of them, in the order of their keys.
    pub fn as_slice(&self) -> &[Override] {
        &self.0
    }

    /// Whether the same keys have the same values, whoever set them.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let settings = |list: &Self| -> Vec<_> {
            list.0.iter().map(|set| (set.key.clone(), set.value.clone())).collect()
        };
        settings(self) == settings(other)
    }

    /// The one that set `key`, or a table that holds it.
    pub(super) fn holding(&self, key: &Key) -> Option<&Override> {
        self.find(|set| set.holds(key))
    }

    /// The one that set something below `key`.
    pub(super) fn below(&self, key: &Key) -> Option<&Override> {
        self.find(|set| key.holds(set))
    }

    fn find(&self, fits: impl Fn(&Key) -> bool) -> Option<&Override> {
        self.0.iter().find(|set| Key::parse(&set.key).is_some_and(|key| fits(&key)))
    }

    /// Sets them in a configuration. What is put in has no place in the file.
    pub(super) fn apply<'a>(&'a self, document: &mut DeTable<'a>) -> Result<(), ConfigError> {
        for set in &self.0 {
            let refuse = |reason: String| ConfigError::of(&set.source, &set.key, reason);
            let value = DeValue::parse(&set.value).map_err(|error| refuse(error.message().to_owned()))?;
            let parts = Key::parse(&set.key).map(|key| key.0).unwrap_or_default();
            let Some((last, tables)) = parts.split_last() else { continue };
            let mut table = &mut *document;
            for name in tables {
                let nothing = || Spanned::new(0..0, DeValue::Table(DeTable::new()));
                let next = table.entry(Spanned::new(0..0, Cow::Owned(name.clone()))).or_insert_with(nothing);
                table = match next.get_mut() {
                    DeValue::Table(table) => table,
                    _ => {
                        return Err(refuse(format!(
                            "'{name}' is not a table elsewhere in the configuration"
                        )));
                    }
                };
            }
            table
                .insert(Spanned::new(0..0, Cow::Owned(last.clone())), Spanned::new(0..0, value.into_inner()));
        }
        Ok(())
    }
}

/// The key that a variable stands for, if it stands for one.
fn key_of_variable(name: &str) -> Option<Key> {
    if NO_KEYS.contains(&name) || name.starts_with(NO_KEYS_BELOW) {
        return None;
    }
    let parts: Vec<_> = name.strip_prefix(PREFIX)?.split("__").map(str::to_ascii_lowercase).collect();
    Some(Key(parts)).filter(|key| key.0.iter().all(|part| !part.is_empty()))
}

/// The variable that stands for a key; none where the key has parts that variables cannot spell.
pub(super) fn variable_of_key(key: &Key) -> Option<String> {
    let name = format!("{PREFIX}{}", key.0.join("__").to_ascii_uppercase());
    key_of_variable(&name).filter(|spelled| spelled == key).map(|_| name)
}

/// Sets a key; what was set of it or in it before is forgotten.
fn insert(set: &mut BTreeMap<Key, (Source, toml::Value)>, key: Key, source: Source, value: &str) {
    set.retain(|earlier, _| !key.holds(earlier));
    let value = value.trim();
    let parsed: Option<toml::Value> = DeValue::parse(value)
        .ok()
        .and_then(|value| Deserialize::deserialize(toml::de::ValueDeserializer::from(value)).ok());
    set.insert(key, (source, parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(variables: &[(&str, &str)], flags: &[&str]) -> Result<Vec<String>, String> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let set = Overrides::new(variables, &flags).map_err(|error| error.to_string())?;
        Ok(set.0.iter().map(|o| format!("{} = {} ({})", o.key, o.value, o.source.describe(&o.key))).collect())
    }

    #[test]
    fn flags_win_over_variables_and_later_flags_over_earlier_ones() {
        let set = overrides(
            &[
                ("VERGER_MODEL", "a"),
                ("VERGER_THREADS__ORPHAN_GRACE", "1m"),
                ("VERGER_HOME", "/h"),
                ("HOME", "/u"),
            ],
            &["model=b", "model = 'c'", "server.allowed_hosts=[\"x\", \"y\"]"],
        );
        assert_eq!(
            set.unwrap(),
            [
                "model = \"c\" (--config model)",
                "server.allowed_hosts = [\"x\", \"y\"] (--config server.allowed_hosts)",
                "threads.orphan_grace = \"1m\" (VERGER_THREADS__ORPHAN_GRACE)",
            ]
        );
    }

    #[test]
    fn a_table_set_as_a_whole_forgets_what_was_set_in_it() {
        let set = overrides(
            &[("VERGER_THREADS__DRAIN_LIMIT", "1s")],
            &["threads={orphan_grace=\"2s\"}", "threads.orphan_grace=3s"],
        );
        assert_eq!(
            set.unwrap(),
            [
                "threads = { orphan_grace = \"2s\" } (--config threads)",
                "threads.orphan_grace = \"3s\" (--config threads.orphan_grace)"
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_a_string() {
        assert_eq!(
            overrides(&[("VERGER_A", "")], &["a=1", "b=x y", "c=true", "d="]).unwrap(),
            [
                "a = 1 (--config a)",
                "b = \"x y\" (--config b)",
                "c = true (--config c)",
                "d = \"\" (--config d)",
            ]
        );
    }

    #[test]
    fn errors_name_the_flag() {
        for (flag, expected) in [
            ("model", "--config model: no '='"),
            ("=x", "--config =x: what stands before '=' is no key"),
            ("a..b=x", "--config a..b=x: what stands before '=' is no key"),
        ] {
            let error = overrides(&[], &[flag]).unwrap_err();
            assert!(error.starts_with(expected), "{flag:?} gave {error:?}");
        }
    }

    #[test]
    fn who_set_a_key_does_not_matter_for_agreement() {
        let by_flag = Overrides::new([], &["model=a".to_owned()]).unwrap();
        let by_variable = Overrides::new([("VERGER_MODEL".into(), "\"a\"".into())], &[]).unwrap();
        assert!(by_flag.agrees_with(&by_variable));
        assert_ne!(by_flag, by_variable);
        assert!(!by_flag.agrees_with(&Overrides::default()));
        let sent = serde_json::to_string(&by_flag).unwrap();
        assert_eq!(serde_json::from_str::<Overrides>(&sent).unwrap(), by_flag);
    }

    #[test]
    fn keys_have_variables_where_these_can_spell_them() {
        assert_eq!(
            variable_of_key(&["threads", "orphan_grace"].into()).as_deref(),
            Some("VERGER_THREADS__ORPHAN_GRACE")
        );
        assert_eq!(variable_of_key(&["mcp_servers", "My-Server", "command"].into()), None);
    }
}
