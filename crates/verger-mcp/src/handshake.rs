//! `initialize`, as every MCP version up to 2025-11-25 begins.

use rmcp::model::{ClientCapabilities, Implementation, InitializeRequestParams, ProtocolVersion};
use serde_json::{Value, json};

use crate::{ConnectError, shared::Shared};

/// What the server said of itself. Kept as it came: servers put more in there than the types know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Welcome(Value);

impl Welcome {
    pub(crate) fn server_info(&self) -> &Value {
        &self.0["serverInfo"]
    }

    pub(crate) fn capabilities(&self) -> &Value {
        &self.0["capabilities"]
    }

    pub(crate) fn instructions(&self) -> Option<&str> {
        self.0["instructions"].as_str()
    }

    pub(crate) fn version(&self) -> &str {
        self.0["protocolVersion"].as_str().unwrap_or_default()
    }

    pub(crate) fn has_tools(&self) -> bool {
        self.capabilities()["tools"].is_object()
    }
}

/// Introduces Verger and hears what the server is; declares that it may ask where somebody takes its questions, and no
/// other capability of a client's, so that nothing is asked of it that it would have to decline.
pub(crate) async fn introduce(shared: &Shared, client_version: &str) -> Result<Welcome, ConnectError> {
    let client = Implementation::new("verger", client_version);
    let params = InitializeRequestParams::new(ClientCapabilities::default(), client)
        .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE);
    let mut params = serde_json::to_value(params).expect("texts and empty objects always serialize");
    if shared.questions.are_taken() {
        params["capabilities"]["elicitation"] = json!({ "form": {}, "url": {} });
    }
    let welcome =
        shared.ask("initialize", &params).await.map_err(|error| error.while_connecting("initialize"))?;
    let welcome = Welcome(welcome);
    accept_version(shared, welcome.version())?;
    shared.ledger.notify("notifications/initialized", None);
    Ok(welcome)
}

/// Takes every version that begins with `initialize`, older ones too. A text that is no date passes with a
/// warning: such servers exist, and other clients talk to them.
fn accept_version(shared: &Shared, version: &str) -> Result<(), ConnectError> {
    let newest = ProtocolVersion::LATEST_WITH_INITIALIZE;
    let is_date = version.len() == newest.as_str().len() && version.starts_with("20");
    if version.is_empty() {
        let problem = "it names no protocolVersion".to_owned();
        return Err(ConnectError::Malformed {
            server: shared.server.clone(),
            request: "initialize",
            problem,
        });
    }
    if is_date && version > newest.as_str() {
        let (server, version) = (shared.server.clone(), version.to_owned());
        return Err(ConnectError::Version { server, version, newest: newest.to_string() });
    }
    if !is_date {
        tracing::warn!(server = %shared.server, version, "unknown MCP version; going on as with {newest}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Questions;

    #[test]
    fn versions_that_begin_with_initialize_are_taken() {
        let shared = Shared::new("git".into(), Questions::new(None));
        for version in ["2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "draft"] {
            assert_eq!(accept_version(&shared, version), Ok(()), "{version}");
        }
        for version in ["2026-07-28", "2099-01-01"] {
            let refused = accept_version(&shared, version).expect_err("there is no initialize in it");
            assert_eq!(
                refused.to_string(),
                format!(
                    "server 'git' answered initialize with MCP version '{version}'; verger speaks up to {} here",
                    ProtocolVersion::LATEST_WITH_INITIALIZE
                )
            );
        }
    }
}
