//! What a provider does wrong, and what a client is told of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::wires::act::{Act, ONCE, Wire};

pub(in crate::wires) async fn a_refusal_that_passes_after_a_wait(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 1\n").await;
    let told = act.turn("FAIL status=429 times=1 retry_after=1").await;
    told.answers("ok");
    told.retried_after(&json!(429), "answered 429");
    let requests = act.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1), "it was asked to wait");
    act.end().await;
}

pub(in crate::wires) async fn a_failure_that_passes(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 1\n").await;
    let told = act.turn("FAIL status=500 times=1").await;
    told.answers("ok");
    told.retried_after(&json!(500), "answered 500");
    act.end().await;
}

pub(in crate::wires) async fn a_refusal_that_stays(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("FAIL status=429").await;
    told.fails(&json!({ "responseTooManyFailedAttempts": { "httpStatusCode": 429 } }));
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_budget_that_is_spent(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 3\n").await;
    act.turn("FAIL status=429 code=insufficient_quota").await.fails(&json!("usageLimitExceeded"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.end().await;
}

pub(in crate::wires) async fn a_model_that_is_not_there(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 3\n").await;
    act.turn("FAIL status=404 code=model_not_found")
        .await
        .fails(&json!({ "httpConnectionFailed": { "httpStatusCode": 404 } }));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.end().await;
}

pub(in crate::wires) async fn a_provider_without_room(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    act.turn("FAIL status=503").await.fails(&json!({ "httpConnectionFailed": { "httpStatusCode": 503 } }));
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_stream_that_breaks_before_its_first_word(wire: &Wire<'_>) {
    let act = Act::begin(wire, "stream_max_retries = 1\n").await;
    let told = act.turn("DROP after=0 times=1").await;
    told.answers("ok");
    told.retried_after(&Value::Null, "broke off");
    act.end().await;
}

pub(in crate::wires) async fn a_stream_that_breaks_after_some_words(wire: &Wire<'_>) {
    let act = Act::begin(wire, "stream_max_retries = 5\nrequest_max_retries = 5\n").await;
    let told = act.turn("DROP after=2").await;
    told.fails(&json!("other"));
    assert_eq!(told.text(), "000000 .000001 .", "what was said was said");
    assert_eq!(act.times_asked(), 1, "and is not said twice");
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn an_answer_that_is_cut(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("INCOMPLETE").await;
    let message = told.fails(&json!("other"));
    let reason = if act.is_chat() { "length" } else { "max_output_tokens" };
    assert!(message.contains(reason), "{message}");
    assert_eq!(told.text(), "half");
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_conversation_that_is_too_long(wire: &Wire<'_>) {
    let act = Act::begin(wire, "request_max_retries = 3\n").await;
    let told = act.turn("FAIL status=400 code=context_length_exceeded").await;
    told.fails(&json!("contextWindowExceeded"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_conversation_that_is_too_long_says_the_stream(wire: &Wire<'_>) {
    let act = Act::begin(wire, "stream_max_retries = 3\n").await;
    act.turn("ABORT code=context_length_exceeded").await.fails(&json!("contextWindowExceeded"));
    assert_eq!(act.times_asked(), 1, "asking again would not help");
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_page_in_the_place_of_an_answer(wire: &Wire<'_>) {
    let act = Act::begin(wire, ONCE).await;
    let told = act.turn("PAGE").await;
    let message = told.fails(&json!("other"));
    assert!(message.contains("text/html") && message.contains("wire_api"), "{message}");
    act.goes_on().await;
    act.end().await;
}

pub(in crate::wires) async fn a_provider_that_falls_silent(wire: &Wire<'_>) {
    let act = Act::begin(wire, &format!("{ONCE}stream_idle_timeout_ms = 300\n")).await;
    let told = act.turn("SLEEP s=600").await;
    let message = told.fails(&json!("other"));
    assert!(message.contains("0.3 s") && message.contains("stream_idle_timeout_ms"), "{message}");
    act.is_given_up().await;
    act.goes_on().await;
    act.end().await;
}
