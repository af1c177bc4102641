//! The configured providers and their models, as clients choose among them.

use verger_model::{ProviderConfig, WireApi};
use verger_wire::RpcError;
use verger_wire::requests::{
    GatewayAuth, Model, ModelListParams, ModelListResponse, ModelProviderListResponse, ModelProviderSummary,
    ProviderSettings,
};

use crate::config::{Config, without_credentials};

/// What a model is said to do unless told; Verger leaves thinking to the model.
const EFFORT: &str = "medium";

/// `model/list`: the models of one provider, since choosing a model does not choose its provider. The first is the default.
pub(super) fn models(config: &Config, params: &ModelListParams) -> Result<ModelListResponse, RpcError> {
    let id = params.model_provider.as_deref().unwrap_or_else(|| config.default_provider());
    let provider = config.model_providers.get(id).ok_or_else(|| {
        let known = config.model_providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        RpcError::invalid_params(
            "modelProvider",
            format!("no provider '{id}' is configured; known are {known}"),
        )
    })?;
    let start = match &params.cursor {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| RpcError::invalid_cursor(cursor))?,
    };
    let limit = params.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut left = config.models(id).into_iter().enumerate().skip(start);
    let data: Vec<_> = left.by_ref().take(limit).map(|(at, name)| model(provider, name, at == 0)).collect();
    let next_cursor = left.next().map(|(at, _)| at.to_string());
    Ok(ModelListResponse { data, next_cursor })
}

fn model(provider: &ProviderConfig, name: String, is_default: bool) -> Model {
    Model {
        id: name.clone(),
        display_name: name.clone(),
        description: match provider.wire_api {
            WireApi::Offline => "Repeats what it is told; needs no network and no key".to_owned(),
            _ => format!("Asked at {}", provider.name),
        },
        model: name,
        hidden: false,
        supported_reasoning_efforts: Vec::new(),
        default_reasoning_effort: EFFORT.to_owned(),
        is_default,
    }
}

/// `modelProvider/list`. None can be edited from here: the file is a person's.
pub(super) fn providers(config: &Config) -> ModelProviderListResponse {
    let summary = |provider: &ProviderConfig| ModelProviderSummary {
        id: provider.id.clone(),
        name: provider.name.clone(),
        can_edit: false,
        base_url: Some(without_credentials(&provider.base_url)).filter(|address| !address.is_empty()),
        settings: ProviderSettings::CustomGateway {
            auth: match &provider.env_key {
                Some(env_key) => GatewayAuth::EnvironmentVariable { env_key: env_key.clone() },
                None if provider.http_headers.is_empty() && provider.query_params.is_empty() => {
                    GatewayAuth::None
                }
                None => GatewayAuth::ExternallyConfigured { env_key: None },
            },
        },
    };
    ModelProviderListResponse {
        data: config.model_providers.values().map(summary).collect(),
        default_provider_id: config.default_provider().to_owned(),
        can_change_default: false,
    }
}
