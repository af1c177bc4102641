//! The Responses API over real sockets, against the fake model: answers, failures, attempts, and letting go.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use verger_model::{
    InputItem, ModelError, ModelEvent, ModelRequest, Models, ProviderConfig, ToolSpec, Usage, resolve,
};
use verger_testkit::fake_model::FakeModel;

/// Longer than anything here takes, so that a failure is not a hang.
const LIMIT: Duration = Duration::from_secs(20);

fn provider(fake: &FakeModel) -> ProviderConfig {
    let base = ProviderConfig::responses("fake", fake.base_url());
    ProviderConfig { request_max_retries: 0, stream_max_retries: 0, ..base }
}

fn asking(text: &str) -> ModelRequest {
    ModelRequest { model: "m".into(), input: vec![InputItem::user(text)], ..ModelRequest::default() }
}

/// Everything that came, and how it ended.
struct Heard {
    events: Vec<ModelEvent>,
    error: Option<ModelError>,
}

impl Heard {
    fn text(&self) -> String {
        let delta = |event: &ModelEvent| match event {
            ModelEvent::TextDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        self.events.iter().filter_map(delta).collect()
    }

    fn retries(&self) -> Vec<(u32, Duration)> {
        let retry = |event: &ModelEvent| match event {
            ModelEvent::Retrying { attempt, delay, .. } => Some((*attempt, *delay)),
            _ => None,
        };
        self.events.iter().filter_map(retry).collect()
    }

    fn is_complete(&self) -> bool {
        self.error.is_none() && self.events.last() == Some(&ModelEvent::Completed)
    }

    #[track_caller]
    fn error(self) -> ModelError {
        let events = self.events;
        self.error.unwrap_or_else(|| panic!("no error after {events:?}"))
    }
}

async fn hear(models: &Models, provider: &ProviderConfig, request: ModelRequest) -> Heard {
    let mut stream = Box::pin(models.stream(provider, request));
    let mut heard = Heard { events: Vec::new(), error: None };
    while let Some(item) = timeout(LIMIT, stream.next()).await.expect("the stream hangs") {
        assert!(heard.error.is_none(), "{item:?} after the error");
        match item {
            Ok(event) => heard.events.push(event),
            Err(error) => heard.error = Some(error),
        }
    }
    heard
}

#[tokio::test]
async fn a_text_comes_with_its_usage_and_its_end() {
    let fake = FakeModel::start().unwrap();
    let heard = hear(&Models::new(), &provider(&fake), asking("hello")).await;
    let id = verger_model::OutputId::from("msg");
    let usage = Usage {
        input_tokens: 10,
        cached_input_tokens: 4,
        output_tokens: 5,
        reasoning_output_tokens: 2,
        total_tokens: 15,
    };
    assert_eq!(
        heard.events,
        [
            ModelEvent::TextStarted { id: id.clone() },
            ModelEvent::TextDelta { id: id.clone(), delta: "ok".into() },
            ModelEvent::TextDone { id },
            ModelEvent::Usage(usage),
            ModelEvent::Completed,
        ]
    );
}

#[tokio::test]
async fn deltas_come_whole_once_and_in_order() {
    let fake = FakeModel::start().unwrap();
    let heard = hear(&Models::new(), &provider(&fake), asking("STREAM n=3000 size=200")).await;
    assert!(heard.is_complete(), "{:?}", heard.error);
    let text = heard.text();
    let numbers: Vec<usize> = text
        .as_bytes()
        .chunks(200)
        .map(|chunk| std::str::from_utf8(&chunk[..6]).unwrap().parse().unwrap())
        .collect();
    assert!(numbers.iter().copied().eq(0..3000), "{numbers:?}");
}

#[tokio::test]
async fn deltas_come_as_they_are_sent_not_at_the_end() {
    let fake = FakeModel::start().unwrap();
    let mut stream =
        Box::pin(Models::new().stream(&provider(&fake), asking("STREAM n=2 size=8 delay_ms=600000")));
    let mut next = async || timeout(LIMIT, stream.next()).await.expect("held back").unwrap().unwrap();
    assert!(matches!(next().await, ModelEvent::TextStarted { .. }));
    assert!(matches!(next().await, ModelEvent::TextDelta { .. }));
}

#[tokio::test]
async fn a_tool_is_called_and_its_output_given_back_with_and_without_a_namespace() {
    let tools = [ToolSpec {
        server: "git".into(),
        tool: "log".into(),
        description: "history".into(),
        input_schema: json!({"type": "object"}),
    }];
    for (line, namespace, name) in [
        ("CALL mcp__git log {\"n\": 3}", Some("mcp__git"), "log"),
        ("CALL - mcp__git__log {\"n\": 3}", None, "mcp__git__log"),
    ] {
        let fake = FakeModel::start().unwrap();
        let models = Models::new();
        let mut request = ModelRequest { tools: tools.to_vec(), ..asking(line) };
        let heard = hear(&models, &provider(&fake), request.clone()).await;
        assert!(heard.is_complete());
        let call = ModelEvent::ToolCall {
            call_id: "call_1".into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
            arguments: "{\"n\": 3}".into(),
        };
        assert_eq!(heard.events[0], call);
        assert_eq!(resolve(&tools, namespace, name), Some(("git", "log")));

        request.input.push(InputItem::ToolCall {
            call_id: "call_1".into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
            arguments: "{\"n\": 3}".into(),
        });
        request.input.push(InputItem::tool_output("call_1", "three commits"));
        assert_eq!(hear(&models, &provider(&fake), request).await.text(), "done");

        let seen = fake.requests();
        assert_eq!(seen[0].body["tools"][0]["name"], "mcp__git__log");
        assert_eq!(seen[1].body["input"][1]["namespace"].as_str(), namespace);
        assert_eq!(
            seen[1].body["input"][2],
            json!({"type": "function_call_output", "call_id": "call_1", "output": "three commits"})
        );
    }
}

#[tokio::test]
async fn headers_parameters_and_key_go_out_and_stay_secret() {
    let fake = FakeModel::start().unwrap();
    let mut provider = provider(&fake);
    // Set by cargo for every test, so that nothing has to be set here.
    provider.env_key = Some("CARGO_PKG_NAME".into());
    provider.http_headers.insert("x-team".into(), "blue".into());
    provider.query_params.insert("api-version".into(), "a b".into());
    assert!(hear(&Models::new(), &provider, asking("hello")).await.is_complete());
    let seen = fake.requests().remove(0);
    assert_eq!(seen.path, "/v1/responses?api-version=a+b");
    let header =
        |name: &str| seen.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(header("authorization"), Some(concat!("Bearer ", env!("CARGO_PKG_NAME"))));
    assert_eq!(header("x-team"), Some("blue"));
    assert_eq!(header("accept"), Some("text/event-stream"));
    assert!(header("user-agent").unwrap().starts_with("verger/"));

    let secret = env!("CARGO_PKG_NAME");
    let error = hear(&Models::new(), &provider, asking(&format!("ABORT code={secret}"))).await.error();
    assert!(!error.to_string().contains(secret), "{error}");
}

#[tokio::test]
async fn a_missing_key_is_named_before_anything_is_sent() {
    let fake = FakeModel::start().unwrap();
    let provider = ProviderConfig { env_key: Some("VERGER_NO_SUCH_KEY".into()), ..provider(&fake) };
    let error = hear(&Models::new(), &provider, asking("hello")).await.error();
    assert!(matches!(&error, ModelError::MissingKey { var, .. } if var == "VERGER_NO_SUCH_KEY"), "{error}");
    assert!(error.to_string().contains("VERGER_NO_SUCH_KEY"));
    assert_eq!(fake.counts().connections, 0);
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    for (base_url, want) in [("127.0.0.1/v1", "base_url"), ("ftp://127.0.0.1", "http://"), ("", "base_url")] {
        let provider = ProviderConfig::responses("p", base_url);
        let error = hear(&Models::new(), &provider, asking("hello")).await.error().to_string();
        assert!(error.contains("p: base_url") && error.contains(want), "{error}");
    }
    let mut provider = ProviderConfig::responses("p", "http://127.0.0.1:1");
    provider.http_headers.insert("bad name".into(), "x".into());
    let error = hear(&Models::new(), &provider, asking("hello")).await.error().to_string();
    assert!(error.contains("http_headers.bad name"), "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_the_provider_said() {
    let fake = FakeModel::start().unwrap();
    let error = hear(&Models::new(), &provider(&fake), asking("FAIL status=401")).await.error();
    assert_eq!(error.to_string(), "provider fake: answered 401: told to fail with 401");
    assert!(!error.is_retryable());
    let error = hear(&Models::new(), &provider(&fake), asking("FAIL status=503")).await.error();
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_again_as_often_as_allowed() {
    let fake = FakeModel::start().unwrap();
    let patient = ProviderConfig { request_max_retries: 2, ..provider(&fake) };
    let heard = hear(&Models::new(), &patient, asking("FAIL status=503 times=2")).await;
    assert!(heard.is_complete());
    assert_eq!(heard.text(), "ok");
    assert_eq!(heard.retries().iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(fake.counts().requests, 3);

    let heard = hear(&Models::new(), &patient, asking("FAIL status=503 times=3")).await;
    assert_eq!(heard.retries().len(), 2);
    assert!(matches!(heard.error(), ModelError::Status { status: 503, .. }));
    assert_eq!(fake.counts().requests, 6);

    let heard = hear(&Models::new(), &patient, asking("FAIL status=400")).await;
    assert!(heard.retries().is_empty());
    assert_eq!(fake.counts().requests, 7);
}

#[tokio::test]
async fn retry_after_is_kept_and_too_long_a_one_is_an_error_at_once() {
    let fake = FakeModel::start().unwrap();
    let patient = ProviderConfig { request_max_retries: 1, ..provider(&fake) };
    let heard = hear(&Models::new(), &patient, asking("FAIL status=429 times=1 retry_after=1")).await;
    assert!(heard.is_complete());
    assert_eq!(heard.retries(), [(1, Duration::from_secs(1))]);
    let seen = fake.requests();
    let waited = seen[1].at - seen[0].at;
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");

    let heard = hear(&Models::new(), &patient, asking("FAIL status=429 retry_after=3600")).await;
    assert!(heard.retries().is_empty());
    assert_eq!(heard.error().retry_after(), Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_word_is_asked_for_again() {
    let fake = FakeModel::start().unwrap();
    let patient = ProviderConfig { stream_max_retries: 2, ..provider(&fake) };
    for line in ["DROP after=0 times=2", "ABORT times=2"] {
        let heard = hear(&Models::new(), &patient, asking(line)).await;
        assert!(heard.is_complete(), "{line}: {:?}", heard.error);
        assert_eq!(heard.text(), "ok");
        assert_eq!(heard.retries().len(), 2);
    }
    assert_eq!(fake.counts().requests, 6);
    let heard = hear(&Models::new(), &patient, asking("ABORT code=context_length_exceeded")).await;
    assert!(heard.retries().is_empty());
    assert!(
        matches!(heard.error(), ModelError::Failed { code: Some(code), .. } if code == "context_length_exceeded")
    );
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_word_is_an_error_and_never_said_twice() {
    let fake = FakeModel::start().unwrap();
    let patient = ProviderConfig { stream_max_retries: 5, request_max_retries: 5, ..provider(&fake) };
    let heard = hear(&Models::new(), &patient, asking("DROP after=2 times=1")).await;
    assert_eq!(heard.text(), "000000 .000001 .");
    assert!(heard.retries().is_empty());
    assert!(matches!(heard.error(), ModelError::BrokenOff { .. }));
    assert_eq!(fake.counts().requests, 1);
}

#[tokio::test]
async fn a_cut_answer_says_why_after_what_there_is_of_it() {
    let fake = FakeModel::start().unwrap();
    let heard = hear(&Models::new(), &provider(&fake), asking("INCOMPLETE")).await;
    assert_eq!(heard.text(), "half");
    assert!(matches!(heard.events.last(), Some(ModelEvent::Usage(_))), "{:?}", heard.events);
    assert!(matches!(heard.error(), ModelError::Incomplete { reason, .. } if reason == "max_output_tokens"));
}

#[tokio::test]
async fn nobody_there_is_an_error_that_says_where() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let provider = ProviderConfig {
        request_max_retries: 1,
        ..ProviderConfig::responses("p", format!("http://127.0.0.1:{port}/v1"))
    };
    let heard = hear(&Models::new(), &provider, asking("hello")).await;
    assert_eq!(heard.retries().len(), 1);
    let error = heard.error().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn silence_has_a_limit() {
    let fake = FakeModel::start().unwrap();
    let hasty = ProviderConfig { stream_idle_timeout: Duration::from_millis(100), ..provider(&fake) };
    let start = Instant::now();
    let error = hear(&Models::new(), &hasty, asking("SLEEP s=600")).await.error();
    assert!(matches!(error, ModelError::Silent { .. }), "{error}");
    assert!(error.to_string().contains("0.1 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    timeout(LIMIT, fake.wait_until(|counts| counts.abandoned == 1)).await.expect("the connection stays open");

    // The limit is on silence, not on the answer: this one takes four times as long.
    let hasty = ProviderConfig { stream_idle_timeout: Duration::from_millis(500), ..provider(&fake) };
    assert!(hear(&Models::new(), &hasty, asking("STREAM n=20 delay_ms=100")).await.is_complete());
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let fake = FakeModel::start().unwrap();
    let models = Models::new();
    let mut stream = Box::pin(models.stream(&provider(&fake), asking("STREAM n=2 delay_ms=600000")));
    timeout(LIMIT, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(fake.counts().abandoned, 0);
    drop(stream);
    timeout(LIMIT, fake.wait_until(|counts| counts.abandoned == 1)).await.expect("the connection stays open");
}

#[tokio::test]
async fn dropping_the_stream_before_the_answer_began_closes_the_connection() {
    // A listener that takes the request and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = ProviderConfig::responses("p", format!("http://{}/v1", listener.local_addr().unwrap()));
    let mut stream = Box::pin(Models::new().stream(&provider, asking("hello")));
    let (mut socket, _) = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        _ = stream.next() => panic!("nobody has answered"),
    };
    drop(stream);
    let mut all = Vec::new();
    let end = socket.read_to_end(&mut all);
    timeout(LIMIT, end).await.expect("the connection stays open").unwrap();
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_said_to_be_none() {
    let body = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = ProviderConfig::responses("p", format!("http://{}", listener.local_addr().unwrap()));
    let answer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert_ne!(socket.read(&mut request).await.unwrap(), 0);
        socket.write_all(body).await.unwrap();
        socket
    };
    let models = Models::new();
    let (heard, _socket) = tokio::join!(hear(&models, &provider, asking("hello")), answer);
    let error = heard.error().to_string();
    assert!(error.contains("text/html") && error.contains("wire_api"), "{error}");
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let fake = FakeModel::start().unwrap();
    let models = Models::new();
    for _ in 0..20 {
        assert!(hear(&models, &provider(&fake), asking("hello")).await.is_complete());
    }
    let counts = fake.counts();
    assert_eq!(counts.requests, 20);
    assert!(counts.connections <= 3, "{counts:?}");
}

#[tokio::test]
async fn the_offline_model_answers_through_the_same_door() {
    let request = asking("/call clock now {}");
    let heard = hear(&Models::new(), &ProviderConfig::offline(), request).await;
    assert!(heard.is_complete());
    assert!(matches!(&heard.events[0], ModelEvent::ToolCall { name, .. } if name == "now"));
}
