//! From text to a configuration in force: the file, then what is set over it; errors and warnings with their place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::DeTable;
use verger_core::server::ServerName;
use verger_model::ProviderConfig;

use super::error::ConfigError;
use super::file::File;
use super::jobs::{MAX_PARALLEL_JOBS, Written, key_of};
use super::key::Key;
use super::mcp_servers::{EnvVar, McpServer};
use super::overrides::Overrides;
use super::shown::{Layer, Shown};
use super::unknown::Unread;
use super::warnings::{Warning, shorten};
use super::{Config, place, unknown};
use crate::{clock, jobs};

impl Config {
    /// Reads the file, and sets `overrides` over it. A file that does not exist is empty.
    ///
    /// # Errors
    /// A file that is not readable or no TOML, and values that are of the wrong type or mean nothing: with file, line and
    /// key, or with the flag or variable.
    pub fn read(path: &Path, overrides: &Arc<Overrides>) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(ConfigError::Unreadable { path: path.to_owned(), cause }),
        };
        Self::parse(&text, path, overrides)
    }

    /// The same with the file's text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path, overrides: &Arc<Overrides>) -> Result<Self, ConfigError> {
        let written = DeTable::parse(text).map_err(|error| ConfigError::Invalid {
            path: path.to_owned(),
            line: error.span().map(|span| place::line_at(text, span.start)),
            key: None,
            reason: error.message().to_owned(),
        })?;
        let written = written.into_inner();
        let mut merged = written.clone();
        overrides.apply(&mut merged)?;
        let unread = unknown::unread(&merged);
        let source = Text { text, path, written, overrides, unread: &unread };

        let warn = |unread: &Unread| source.warn(&unread.key, unread.reason.clone());
        let mut warnings: Vec<_> = unread.iter().map(warn).collect();
        let file: File = deserialize(merged).map_err(|(key, shown, reason)| {
            let mut error = source.refuse(&key, reason);
            if let ConfigError::Invalid { key, .. } = &mut error {
                *key = Some(shown).filter(|shown| shown != ".");
            }
            error
        })?;
        file.server.check().map_err(|(key, reason)| source.refuse(&["server", key].into(), reason))?;
        file.helpers.check().map_err(|(key, reason)| source.refuse(&["helpers", key].into(), reason))?;
        let model_providers = source.providers(&file)?;
        let mcp_servers = source.servers(&file, &mut warnings)?;
        if file.max_parallel_jobs == Some(0) {
            let reason = "0 would let no job run; write at least 1, or pause the jobs";
            return Err(source.refuse(&["max_parallel_jobs"].into(), reason));
        }
        let models = file.model_providers.iter().map(|(id, provider)| (id.clone(), provider.models.clone()));
        let models = models.collect();
        let providers = file.model_providers.values();
        let header_variables = providers.flat_map(|provider| provider.env_http_headers.values().cloned());
        let header_variables = header_variables.collect();
        let shown = Shown::new(json(&file), source.layers()?);
        let File {
            model,
            model_provider,
            model_context_window,
            model_auto_compact_token_limit,
            compact_prompt,
            model_reasoning_effort,
            model_reasoning_summary,
            approval_policy,
            sandbox_mode,
            server,
            threads,
            helpers,
            max_parallel_jobs,
            jobs,
            ..
        } = file;
        let mut config = Self {
            model,
            model_provider,
            model_context_window,
            model_auto_compact_token_limit,
            compact_prompt,
            model_reasoning_effort,
            model_reasoning_summary,
            approval_policy,
            sandbox_mode,
            server,
            threads,
            helpers,
            model_providers,
            mcp_servers,
            jobs: BTreeMap::new(),
            broken_jobs: BTreeMap::new(),
            max_parallel_jobs: max_parallel_jobs.unwrap_or(MAX_PARALLEL_JOBS),
            warnings: Vec::new(),
            path: path.to_owned(),
            overrides: Arc::clone(overrides),
            models,
            header_variables,
            shown: Arc::new(shown),
        };
        source.jobs(&jobs, &mut config, &mut warnings);
        config.warnings = shorten(warnings, path);
        Ok(config)
    }
}

/// Where the configuration comes from, to say what is wrong where.
struct Text<'a> {
    text: &'a str,
    path: &'a Path,
    written: DeTable<'a>,
    overrides: &'a Overrides,
    unread: &'a [Unread],
}

impl Text<'_> {
    fn providers(&self, file: &File) -> Result<BTreeMap<String, ProviderConfig>, ConfigError> {
        let mut providers = BTreeMap::from([("offline".to_owned(), ProviderConfig::offline())]);
        for (id, provider) in &file.model_providers {
            let resolved = provider.resolve(id, |name| std::env::var(name).ok());
            let config = resolved.map_err(|reason| self.refuse(&["model_providers", id].into(), reason))?;
            providers.insert(id.clone(), config);
        }
        if let Some(id) = file.model_provider.as_ref().filter(|id| !providers.contains_key(*id)) {
            let known = providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let reason = format!("no provider '{id}' is configured; known are {known}");
            return Err(self.refuse(&["model_provider"].into(), reason));
        }
        Ok(providers)
    }

    fn servers(
        &self,
        file: &File,
        warnings: &mut Vec<Warning>,
    ) -> Result<BTreeMap<ServerName, Arc<McpServer>>, ConfigError> {
        let mut servers = BTreeMap::new();
        for (name, server) in &file.mcp_servers {
            let key = Key::from(["mcp_servers", name]);
            let can_start = server.check().map_err(|(below, reason)| {
                self.refuse(&if below.is_empty() { key.clone() } else { key.join(below) }, reason)
            })?;
            let is_remote = |var: &EnvVar| matches!(var, EnvVar::Sourced { source: Some(source), .. } if source != "local");
            if let Some(var) = server.env_vars.iter().find(|var| is_remote(var)) {
                let reason =
                    format!("{} is taken from this server's own environment: there is no other", var.name());
                warnings.push(self.warn(&key.join("env_vars"), reason));
            }
            if can_start {
                servers.insert(ServerName::from(name.as_str()), Arc::new(server.clone()));
            } else if server.enabled {
                let reason = format!(
                    "remote servers are not supported yet: '{name}' is left out; give it a command, or set enabled = false"
                );
                warnings.push(self.warn(&key.join("url"), reason));
            }
        }
        Ok(servers)
    }

    /// Takes up the jobs that are sound. What is wrong with one is no reason to refuse the file: the others are waited for.
    fn jobs(&self, written: &BTreeMap<String, Written>, config: &mut Config, warnings: &mut Vec<Warning>) {
        for (name, written) in written {
            let checked = match written {
                Written::Wrong { key, reason, .. } => Err((key.clone(), reason.clone())),
                Written::Job(job) => {
                    let definition = job.definition();
                    let checked = jobs::check(name, &definition, config);
                    checked
                        .map(|plan| (plan, definition))
                        .map_err(|fault| (key_of(fault.field), fault.reason))
                }
            };
            let at = |below: &Key| {
                Key(["jobs", name].map(str::to_owned).into_iter().chain(below.0.clone()).collect())
            };
            match checked {
                Ok((plan, definition)) => {
                    if let Err(fault) = plan.has_slot_after(clock::moment()) {
                        warnings.push(self.warn(&at(&key_of(fault.field)), fault.reason));
                    }
                    config.jobs.insert(name.clone(), Arc::new(definition));
                }
                Err((key, reason)) => {
                    let problem = if key.0.is_empty() { reason.clone() } else { format!("{key}: {reason}") };
                    config.broken_jobs.insert(name.clone(), problem);
                    let reason = format!("{reason} (job '{name}' does not run)");
                    warnings.push(self.warn(&at(&key), reason));
                }
            }
        }
    }

    fn layers(&self) -> Result<Vec<Layer>, ConfigError> {
        let mut set = DeTable::new();
        self.overrides.apply(&mut set)?;
        let file = Layer::of_file(self.path, table(self.written.clone()));
        let overrides = (!self.overrides.as_slice().is_empty()).then(|| Layer::of_overrides(table(set)));
        Ok(overrides.into_iter().chain([file]).collect())
    }

    /// An error about `key`, with the place that set it. What a table lacks may be in it under a name that is misspelled.
    fn refuse(&self, key: &Key, reason: impl Into<String>) -> ConfigError {
        let slip = self.unread.iter().find_map(|unread| Some((unread.key.below(key)?, &unread.reason)));
        let reason = match slip {
            Some((name, why)) => format!("{} ({name}: {why})", reason.into()),
            None => reason.into(),
        };
        let is_written = place::find(&self.written, key).is_some_and(|(_, is_whole)| is_whole);
        let below = || self.overrides.below(key).filter(|_| !is_written);
        if let Some(set) = self.overrides.holding(key).or_else(below) {
            return ConfigError::of(&set.source, &set.key, reason);
        }
        ConfigError::Invalid {
            path: self.path.to_owned(),
            line: place::find(&self.written, key).map(|(at, _)| place::line_at(self.text, at.start)),
            key: Some(key.to_string()),
            reason,
        }
    }

    fn warn(&self, key: &Key, reason: String) -> Warning {
        if let Some(set) = self.overrides.holding(key).or_else(|| self.overrides.below(key)) {
            return Warning { place: None, key: set.source.describe(&set.key), reason };
        }
        let at = place::find(&self.written, key);
        let place = at.map(|(at, _)| (self.path.to_owned(), place::range(self.text, at)));
        Warning { place, key: key.to_string(), reason }
    }
}

/// The types' own complaint: the key, the key as people read it, and what is wrong with it.
fn deserialize(merged: DeTable<'_>) -> Result<File, (Key, String, String)> {
    let source = toml::de::Deserializer::from(Spanned::new(0..0, merged));
    serde_path_to_error::deserialize(source).map_err(|error| {
        let names = error.path().iter().map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        });
        (Key(names.collect()), error.path().to_string(), error.inner().message().to_owned())
    })
}

fn json(file: &File) -> serde_json::Value {
    serde_json::to_value(file).expect("plain data with string keys always encodes")
}

/// A parsed table as JSON; times become texts.
fn table(table: DeTable<'_>) -> serde_json::Value {
    let source = toml::de::Deserializer::from(Spanned::new(0..0, table));
    serde_json::Value::deserialize(source).unwrap_or_default()
}
