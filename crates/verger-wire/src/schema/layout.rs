//! Which folder a name is in: the peer's choice, which its clients import from.

/// JSON Schema: what servers ask and clients answer.
const JSON_ROOT: [&str; 4] = [
    "DynamicToolCallParams",
    "DynamicToolCallResponse",
    "McpServerElicitationRequestParams",
    "McpServerElicitationRequestResponse",
];

/// TypeScript: messages, and what the peer's two versions share.
const TYPESCRIPT_ROOT: [&str; 16] = [
    "ClientInfo",
    "ClientNotification",
    "ClientRequest",
    "ImageDetail",
    "InitializeCapabilities",
    "InitializeParams",
    "InitializeResponse",
    "McpServerInfo",
    "MessagePhase",
    "Personality",
    "ReasoningSummary",
    "RequestId",
    "ServerNotification",
    "ServerNotificationEnvelope",
    "ServerRequest",
    "SessionSource",
];

/// The file of a parameter, result or notification type.
pub(super) fn json(name: &str) -> String {
    match name {
        "InitializeParams" | "InitializeResponse" => format!("v1/{name}.json"),
        _ if JSON_ROOT.contains(&name) => format!("{name}.json"),
        _ => format!("v2/{name}.json"),
    }
}

/// The folder of a type, with its `/`.
pub(super) fn typescript(name: &str) -> &'static str {
    match name {
        "JsonValue" => "serde_json/",
        _ if TYPESCRIPT_ROOT.contains(&name) => "",
        _ => "v2/",
    }
}
