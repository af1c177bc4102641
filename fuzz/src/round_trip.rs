//! Whatever decodes is encoded again, and that decodes to the same.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use verger_wire::requests as r;
use verger_wire::{
    ClientRequest, Incoming, Notification, RequestId, ServerRequest, StreamPosition, decode, notification_at,
};

/// A message as JSON text again, by the encoders that both ends use.
pub(crate) fn encode(message: &Incoming) -> String {
    #[derive(Serialize)]
    struct Call<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        method: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<&'a RawValue>,
    }
    let call = |id, method, params| {
        serde_json::to_string(&Call { id, method, params }).expect("strings and raw JSON always encode")
    };
    match message {
        Incoming::Request { id, method, params } => call(Some(id), method, params.as_deref()),
        Incoming::Notification { method, params } => call(None, method, params.as_deref()),
        Incoming::Response { id, result } => verger_wire::reply(id, result),
        Incoming::Error { id, error } => verger_wire::error(Some(id), error),
    }
}

/// A message as its frame, without what it is about.
pub(crate) fn frame(text: &str, message: &Incoming) {
    let again = encode(message);
    let decoded = decode(&again).unwrap_or_else(|error| panic!("{text}\nbecame {again}\nand that: {error}"));
    let (before, after) = (format!("{message:?}"), format!("{decoded:?}"));
    assert_eq!(before, after, "{text}\nbecame {again}");
}

/// A request that the server understood, as a client of ours would have written it.
pub(crate) fn request(id: &RequestId, request: &ClientRequest) {
    #[derive(Serialize)]
    struct Asked<'a> {
        id: &'a RequestId,
        #[serde(flatten)]
        request: &'a ClientRequest,
    }
    let text = serde_json::to_string(&Asked { id, request }).expect("requests always encode");
    let Ok(Incoming::Request { id: id_again, method, params }) = decode(&text) else {
        panic!("{request:?}\nbecame {text}\nand that is no request");
    };
    let again = ClientRequest::decode(&method, params.as_deref());
    assert_eq!((&id_again, again.as_ref()), (id, Ok(request)), "{text}");
}

/// A message that a client of ours reads as an event of the server.
pub(crate) fn notification(text: &str) {
    let Ok(event) = serde_json::from_str::<Notification>(text) else { return };
    let position = StreamPosition::Durable { log_epoch: "\"".into(), seq: u64::MAX, r#gen: 0 };
    for position in [None, Some(&position)] {
        let again = notification_at(&event, i64::MIN, position);
        let decoded = serde_json::from_str::<Notification>(&again);
        let decoded = decoded.unwrap_or_else(|error| panic!("{event:?}\nbecame {again}\nand that: {error}"));
        assert_eq!(decoded, event, "{again}");
        assert!(decode(&again).is_ok(), "{again}");
    }
}

/// A message that a client of ours reads as a question of the server.
pub(crate) fn question(id: &RequestId, text: &str) {
    let Ok(question) = serde_json::from_str::<ServerRequest>(text) else { return };
    let again = verger_wire::server_request(id, &question);
    let decoded = serde_json::from_str::<ServerRequest>(&again);
    let decoded = decoded.unwrap_or_else(|error| panic!("{question:?}\nbecame {again}\nand that: {error}"));
    assert_eq!(decoded, question, "{again}");
    assert!(matches!(decode(&again), Ok(Incoming::Request { id: again, .. }) if again == *id), "{again}");
}

/// A result that a client of ours reads as the answer to one of its requests: to which, says the id.
pub(crate) fn answer(id: &RequestId, result: &RawValue) {
    let RequestId::Integer(number) = id else { return };
    let which = usize::try_from(number.unsigned_abs()).unwrap_or(0) % ANSWERS.len();
    ANSWERS[which].1(id, result.get());
}

/// The id of an answer that is read as `shape`.
pub(crate) fn id_for(shape: &str) -> Option<usize> {
    ANSWERS.iter().position(|(name, _)| *name == shape)
}

macro_rules! answers {
    ($($result:ident)+) => {
        /// Every type of answer, by its name in the schema.
        const ANSWERS: &[(&str, fn(&RequestId, &str))] = &[$((stringify!($result), typed::<r::$result>)),+];
    };
}

answers! {
    InitializeResponse ThreadStartResponse ThreadResumeResponse ThreadForkResponse ThreadReadResponse ThreadListResponse ThreadLoadedListResponse ThreadTurnsListResponse ThreadItemsListResponse ThreadUnsubscribeResponse ThreadArchiveResponse ThreadUnarchiveResponse ThreadDeleteResponse ThreadSetNameResponse ThreadMetadataUpdateResponse ThreadRevertResponse TurnStartResponse TurnSteerResponse TurnInterruptResponse McpServerToolCallResponse McpResourceReadResponse ListMcpServerStatusResponse McpServerRefreshResponse GetAccountResponse ModelListResponse ModelProviderListResponse SkillsListResponse HooksListResponse ConfigReadResponse ConfigRequirementsReadResponse PsResponse Empty
}

fn typed<T: DeserializeOwned + Serialize + PartialEq + Debug>(id: &RequestId, text: &str) {
    let Ok(result) = serde_json::from_str::<T>(text) else { return };
    let again = verger_wire::reply(id, &result);
    let Ok(Incoming::Response { result: raw, .. }) = decode(&again) else {
        panic!("{result:?}\nbecame {again}\nand that is no answer");
    };
    let decoded = serde_json::from_str::<T>(raw.get());
    let decoded = decoded.unwrap_or_else(|error| panic!("{result:?}\nbecame {again}\nand that: {error}"));
    assert_eq!(decoded, result, "{again}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_type() {
        for method in ClientRequest::TABLE {
            let name = method.result.expect("every request is answered").name();
            assert!(id_for(name).is_some(), "{name}, the answer to {}", method.name);
        }
    }
}
