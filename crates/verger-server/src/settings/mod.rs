//! What clients ask about settings, answered as by a server that is local and has no accounts: from the configuration
//! alone, so that no answer waits for anything.

mod absent;
mod models;
mod per_thread;

use serde_json::{Value, json};
use verger_wire::requests::{
    ClientRequest, ConfigReadParams, ConfigReadResponse, ConfigRequirementsReadResponse, GetAccountResponse,
};

use crate::config::{Config, Layer, Warning};
use crate::event::Event;
use crate::outbox::Outbox;
use crate::replier::Replier;
use crate::shared::Shared;

pub(crate) use per_thread::{beyond, settle};

/// Answers a request about settings, and hands back any other. `folder` is the client's, where it is not this process's own.
pub(crate) fn answer(
    replier: Replier,
    request: ClientRequest,
    config: &Config,
    folder: Option<&str>,
) -> Option<(Replier, ClientRequest)> {
    match request {
        ClientRequest::AccountRead(_) => replier.ok(&account()),
        ClientRequest::ModelList(params) => replier.with(models::models(config, &params)),
        ClientRequest::ModelProviderList(_) => replier.ok(&models::providers(config)),
        ClientRequest::HooksList(params) => replier.ok(&absent::hooks(params, folder)),
        ClientRequest::SkillsList(params) => replier.ok(&absent::skills(params, folder)),
        ClientRequest::ConfigRead(params) => replier.ok(&shown(config, &params)),
        ClientRequest::ConfigRequirementsRead(_) => replier.ok(&requirements()),
        other => return Some((replier, other)),
    }
    None
}

/// `account/read`: nobody is signed in, and nobody need be.
fn account() -> GetAccountResponse {
    GetAccountResponse { account: None, user_id: None, requires_openai_auth: false }
}

/// `configRequirements/read`: no administrator limits anything.
fn requirements() -> ConfigRequirementsReadResponse {
    ConfigRequirementsReadResponse { requirements: None }
}

/// `config/read`: what is in force, which is the same in every folder. Secrets are named, not told.
fn shown(config: &Config, params: &ConfigReadParams) -> ConfigReadResponse {
    let shown = config.shown();
    ConfigReadResponse {
        config: shown.config.clone(),
        origins: shown.origins(),
        layers: params.include_layers.then(|| shown.layers.iter().map(layer).collect()),
    }
}

fn layer(layer: &Layer) -> Value {
    json!({ "name": layer.name, "version": layer.version, "config": layer.config, "disabledReason": null })
}

/// Tells a client that has just introduced itself what is wrong with the configuration.
pub(crate) fn warn(shared: &Shared, outbox: &Outbox) {
    for warning in &shared.config().warnings {
        outbox.notice(&Event::notice(warning.to_wire(), shared.clock.unix_ms()));
    }
}

/// Tells the log, and every client, what is wrong with a configuration that has just been read.
pub(crate) fn announce_warnings(shared: &Shared) {
    let config = shared.config();
    log_warnings(&config.warnings);
    config.warnings.iter().for_each(|warning| shared.announce(warning.to_wire()));
}

/// Tells the log.
pub(crate) fn log_warnings(warnings: &[Warning]) {
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}
