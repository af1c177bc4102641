//! What a job may not name: each field on its own, and held against the configuration.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use verger_core::server::ServerName;
use verger_wire::types::{JobCall, JobDefinition};

use super::{Fault, Work, fault};
use crate::config::{Config, nearest_key};

pub(super) fn name(name: &str) -> Result<(), Fault> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    let name: String = name.chars().take(80).collect();
    Err(fault("name", format!("'{name}' is no name for a job; write 1 to 64 letters, digits, '-' and '_'")))
}

pub(super) fn period(field: &'static str, text: &str) -> Result<Duration, Fault> {
    let period = text.parse::<jiff::SignedDuration>().ok();
    period.and_then(|period| Duration::try_from(period).ok()).ok_or_else(|| {
        fault(field, format!("'{text}' is not a duration; write one like \"30s\", \"15m\" or \"1h 30m\""))
    })
}

/// The zone of that name; the system's without one.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, Fault> {
    let Some(name) = name else {
        return match TimeZone::try_system() {
            Ok(zone) => Ok(zone),
            // As the C library takes a machine that says nothing.
            Err(_) if std::env::var_os("TZ").is_none() => Ok(TimeZone::UTC),
            Err(cause) => {
                let reason = format!("the machine's own zone is not known ({cause}); name one, or mend TZ");
                Err(fault("timezone", reason))
            }
        };
    };
    TimeZone::get(name).map_err(|_| {
        let meant = nearest_zone(name).map(|near| format!("did you mean {near}?"));
        let meant = meant.unwrap_or_else(|| "write one like \"Europe/Berlin\"".to_owned());
        fault("timezone", format!("there is no time zone '{name}'; {meant}"))
    })
}

/// One that is spelled nearly so, or is a place of that name.
fn nearest_zone(name: &str) -> Option<String> {
    let all = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect::<Vec<_>>();
    let is_there =
        |zone: &&String| zone.rsplit('/').next().is_some_and(|place| place.eq_ignore_ascii_case(name));
    all.iter().find(is_there).cloned().or_else(|| {
        let names = all.iter().map(String::as_str).collect::<Vec<_>>();
        nearest_key(name, &names).map(str::to_owned)
    })
}

pub(super) fn servers(definition: &JobDefinition, config: &Config) -> Result<Option<Vec<ServerName>>, Fault> {
    let named =
        definition.servers.as_ref().map(|servers| servers.iter().map(|name| server("servers", name, config)));
    named.map(Iterator::collect).transpose()
}

fn server(field: &'static str, name: &str, config: &Config) -> Result<ServerName, Fault> {
    let server = ServerName::from(name);
    if config.mcp_server(&server).is_some() {
        return Ok(server);
    }
    if config.mcp_servers.contains_key(&server) {
        return Err(fault(field, format!("MCP server '{name}' is disabled; set enabled = true for it")));
    }
    let there = config.enabled_servers().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Err(fault(field, format!("no MCP server '{name}' is configured; there is: {there}")))
}

pub(super) fn model(definition: &JobDefinition, config: &Config) -> Result<(), Fault> {
    let provider = definition.model_provider.as_deref().unwrap_or(config.default_provider());
    if !config.model_providers.contains_key(provider) {
        let known = config.model_providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let reason = format!("no provider '{provider}' is configured; known are {known}");
        return Err(fault("modelProvider", reason));
    }
    let offered = config.named_models(provider);
    match &definition.model {
        Some(model) if !offered.is_empty() && !config.models(provider).contains(model) => {
            let offered = offered.join(", ");
            Err(fault("model", format!("provider '{provider}' has no model '{model}'; it has: {offered}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn folder(definition: &JobDefinition) -> Result<Option<PathBuf>, Fault> {
    match definition.cwd.as_deref().map(PathBuf::from) {
        Some(folder) if !folder.is_absolute() => {
            Err(fault("cwd", format!("'{}' is not absolute; write the whole path", folder.display())))
        }
        folder => Ok(folder),
    }
}

pub(super) fn work(definition: &JobDefinition, config: &Config) -> Result<Work, Fault> {
    match (&definition.prompt, &definition.call) {
        (Some(prompt), None) if prompt.trim().is_empty() => {
            Err(fault("prompt", "it says nothing; write what the model is to do"))
        }
        (Some(prompt), None) => Ok(Work::Prompt(prompt.clone())),
        (None, Some(call)) => call_of(call, definition, config),
        (None, None) => Err(fault("prompt", "there is nothing to do; write a prompt or a call")),
        (Some(_), Some(_)) => Err(fault("call", "prompt and call exclude each other; remove one of them")),
    }
}

fn call_of(call: &JobCall, definition: &JobDefinition, config: &Config) -> Result<Work, Fault> {
    let name = server("call.server", &call.server, config)?;
    if definition.servers.as_ref().is_some_and(|servers| !servers.contains(&call.server)) {
        let reason = format!("'{name}' is not among the job's servers; add it there, or leave servers out");
        return Err(fault("call.server", reason));
    }
    if call.tool.is_empty() {
        return Err(fault("call.tool", "no tool; write the name of one"));
    }
    if config.mcp_server(&name).is_some_and(|server| !server.offers(&call.tool)) {
        let reason = format!(
            "tool '{}' of '{name}' is not enabled; see enabled_tools and disabled_tools of that server",
            call.tool
        );
        return Err(fault("call.tool", reason));
    }
    let arguments = call.arguments.clone().unwrap_or_default();
    Ok(Work::Call { server: name, tool: call.tool.clone(), arguments })
}

/// An address that can be posted to.
pub(super) fn address(url: &str) -> Result<String, Fault> {
    let is_http = |uri: &axum::http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    match url.parse::<axum::http::Uri>() {
        Ok(uri) if is_http(&uri) => Ok(url.to_owned()),
        // Not quoted: what is in it may be a credential.
        _ => Err(fault(
            "notify.url",
            "this is no address of http or https; write one like \"https://bell.example/ring\"",
        )),
    }
}
