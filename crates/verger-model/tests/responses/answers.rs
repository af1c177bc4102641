//! What a model says, and what it was sent.

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use verger_model::{InputItem, ModelEvent, ModelRequest, Models, ProviderConfig, ToolSpec, Usage, resolve};
use verger_testkit::fake_model::FakeModel;

use crate::hearing::{LIMIT, asking, hear, provider};

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
async fn a_long_text_ends_once_though_its_end_is_cut() {
    let fake = FakeModel::start().unwrap();
    let heard = hear(&Models::new(), &provider(&fake), asking("STREAM n=100 size=10000")).await;
    assert!(heard.is_complete(), "{:?}", heard.error);
    assert_eq!(heard.text().len(), 1_000_000);
    let at = heard.events.iter().position(|event| matches!(event, ModelEvent::TextDone { .. }));
    assert_eq!(at, Some(101));
    assert_eq!(heard.events.len(), 104);
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
async fn headers_parameters_and_key_go_out() {
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
}

#[tokio::test]
async fn the_offline_model_answers_through_the_same_door() {
    let request = asking("/call clock now {}");
    let heard = hear(&Models::new(), &ProviderConfig::offline(), request).await;
    assert!(heard.is_complete());
    assert!(matches!(&heard.events[0], ModelEvent::ToolCall { name, .. } if name == "now"));
}
