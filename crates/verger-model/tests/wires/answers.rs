//! What a model says, and what it was sent.

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use verger_model::{
    InputItem, ModelEvent, ModelRequest, Models, Part, ProviderConfig, Reasoning, ToolSpec, Usage, WireApi,
    resolve,
};
use verger_testkit::fake_model::FakeModel;

use crate::hearing::{LIMIT, WIRES, asking, hear, provider};

#[tokio::test]
async fn a_text_comes_with_its_usage_and_its_end() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let heard = hear(&Models::new(), &provider(wire, &fake), asking("hello")).await;
        let id = verger_model::OutputId::from(if wire == WireApi::Chat { "text" } else { "msg" });
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
}

#[tokio::test]
async fn deltas_come_whole_once_and_in_order() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let heard = hear(&Models::new(), &provider(wire, &fake), asking("STREAM n=3000 size=200")).await;
        assert!(heard.is_complete(), "{:?}", heard.error);
        let text = heard.text();
        let numbers: Vec<usize> = text
            .as_bytes()
            .chunks(200)
            .map(|chunk| std::str::from_utf8(&chunk[..6]).unwrap().parse().unwrap())
            .collect();
        assert!(numbers.iter().copied().eq(0..3000), "{numbers:?}");
    }
}

#[tokio::test]
async fn a_long_text_ends_once_though_its_end_is_cut() {
    // Only this wire repeats a text at its end.
    let wire = WireApi::Responses;
    let fake = FakeModel::start().unwrap();
    let heard = hear(&Models::new(), &provider(wire, &fake), asking("STREAM n=100 size=10000")).await;
    assert!(heard.is_complete(), "{:?}", heard.error);
    assert_eq!(heard.text().len(), 1_000_000);
    let at = heard.events.iter().position(|event| matches!(event, ModelEvent::TextDone { .. }));
    assert_eq!(at, Some(101));
    assert_eq!(heard.events.len(), 104);
}

#[tokio::test]
async fn deltas_come_as_they_are_sent_not_at_the_end() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let mut stream = Box::pin(
            Models::new().stream(&provider(wire, &fake), asking("STREAM n=2 size=8 delay_ms=600000")),
        );
        let mut next = async || timeout(LIMIT, stream.next()).await.expect("held back").unwrap().unwrap();
        assert!(matches!(next().await, ModelEvent::TextStarted { .. }));
        assert!(matches!(next().await, ModelEvent::TextDelta { .. }));
    }
}

fn git_log() -> ToolSpec {
    ToolSpec {
        source: verger_model::ToolSource::Server("git".into()),
        tool: "log".into(),
        description: "history".into(),
        input_schema: json!({"type": "object"}),
    }
}

fn call(call_id: &str, namespace: Option<&str>, name: &str, arguments: &str) -> ModelEvent {
    ModelEvent::ToolCall {
        call_id: call_id.into(),
        namespace: namespace.map(str::to_owned),
        name: name.into(),
        arguments: arguments.into(),
    }
}

/// A call as the next request gives it back.
fn given_back(event: &ModelEvent) -> InputItem {
    match event.clone() {
        ModelEvent::ToolCall { call_id, namespace, name, arguments } => {
            InputItem::ToolCall { call_id, namespace, name, arguments }
        }
        other => panic!("{other:?} is no call"),
    }
}

#[tokio::test]
async fn a_tool_is_called_and_its_output_given_back_with_and_without_a_namespace() {
    for (wire, line, namespace, name) in [
        (WireApi::Responses, "CALL mcp__git log {\"n\": 3}", Some("mcp__git"), "log"),
        (WireApi::Responses, "CALL - mcp__git__log {\"n\": 3}", None, "mcp__git__log"),
        (WireApi::Chat, "CALL mcp__git log {\"n\": 3}", None, "mcp__git__log"),
    ] {
        let fake = FakeModel::start().unwrap();
        let models = Models::new();
        let mut request = ModelRequest { tools: vec![git_log()], ..asking(line) };
        let heard = hear(&models, &provider(wire, &fake), request.clone()).await;
        assert!(heard.is_complete());
        assert_eq!(heard.events[0], call("call_1", namespace, name, "{\"n\": 3}"));
        assert_eq!(resolve(&request.tools, namespace, name), Some(("git", "log")));

        request.input.push(given_back(&heard.events[0]));
        request.input.push(InputItem::tool_output("call_1", "three commits"));
        assert_eq!(hear(&models, &provider(wire, &fake), request).await.text(), "done");

        let seen = fake.requests();
        if wire == WireApi::Chat {
            assert_eq!(seen[0].body["tools"][0]["function"]["name"], "mcp__git__log");
            let function = json!({"name": "mcp__git__log", "arguments": "{\"n\": 3}"});
            let calls = json!([{"id": "call_1", "type": "function", "function": function}]);
            let messages = &seen[1].body["messages"];
            assert_eq!(messages[1], json!({"role": "assistant", "content": null, "tool_calls": calls}));
            let output = json!({"role": "tool", "tool_call_id": "call_1", "content": "three commits"});
            assert_eq!(messages[2], output);
        } else {
            assert_eq!(seen[0].body["tools"][0]["name"], "mcp__git__log");
            assert_eq!(seen[1].body["input"][1]["namespace"].as_str(), namespace);
            assert_eq!(
                seen[1].body["input"][2],
                json!({"type": "function_call_output", "call_id": "call_1", "output": "three commits"})
            );
        }
    }
}

#[tokio::test]
async fn calls_in_pieces_between_each_other_come_whole_and_in_order() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let line = "CALLS\n- mcp__git__log {\"first\": 1}\n- mcp__git__log {\"second\": [2, \"é\"]}\n- other not json";
        let heard = hear(&Models::new(), &provider(wire, &fake), asking(line)).await;
        assert!(heard.is_complete());
        assert_eq!(
            heard.events[..3],
            [
                call("call_1", None, "mcp__git__log", "{\"first\": 1}"),
                call("call_2", None, "mcp__git__log", "{\"second\": [2, \"é\"]}"),
                call("call_3", None, "other", "not json"),
            ]
        );
    }
}

#[tokio::test]
async fn a_thought_comes_before_the_words() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let heard = hear(&Models::new(), &provider(wire, &fake), asking("THINK first this")).await;
        let thought = vec!["first this".to_owned()];
        let want = match wire {
            WireApi::Chat => Reasoning {
                id: "reasoning".into(),
                content: thought,
                encrypted_content: Some("reasoning_content".into()),
                ..Reasoning::default()
            },
            _ => Reasoning {
                id: "rs".into(),
                summary: thought,
                encrypted_content: Some("sealed: first this".into()),
                ..Reasoning::default()
            },
        };
        let delta = |event: &ModelEvent| match event {
            ModelEvent::ReasoningDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        let deltas: Vec<String> = heard.events.iter().map_while(delta).collect();
        assert_eq!(deltas.concat(), "first this");
        assert_eq!(heard.events[deltas.len()], ModelEvent::ReasoningDone(want));
        assert_eq!(heard.text(), "ok");
    }
}

#[tokio::test]
async fn pictures_schema_and_effort_go_out() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let picture = Part::Image { url: "data:image/png;base64,AAAA".into(), detail: None };
        let request = ModelRequest {
            input: vec![InputItem::UserMessage { content: vec![Part::Text("look".into()), picture] }],
            reasoning_effort: Some("low".into()),
            output_schema: Some(json!({"type": "object"})),
            ..asking("")
        };
        assert_eq!(hear(&Models::new(), &provider(wire, &fake), request).await.text(), "ok");
        let body = fake.requests().remove(0).body;
        let (image, schema, effort) = match wire {
            WireApi::Chat => (
                &body["messages"][0]["content"][1]["image_url"]["url"],
                &body["response_format"]["json_schema"]["schema"],
                &body["reasoning_effort"],
            ),
            _ => (
                &body["input"][0]["content"][1]["image_url"],
                &body["text"]["format"]["schema"],
                &body["reasoning"]["effort"],
            ),
        };
        assert_eq!(
            (image, schema, effort),
            (&json!("data:image/png;base64,AAAA"), &json!({"type": "object"}), &json!("low"))
        );
    }
}

#[tokio::test]
async fn headers_parameters_and_key_go_out() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let mut provider = provider(wire, &fake);
        let path = if wire == WireApi::Chat { "chat/completions" } else { "responses" };
        // Set by cargo for every test, so that nothing has to be set here.
        provider.env_key = Some("CARGO_PKG_NAME".into());
        provider.http_headers.insert("x-team".into(), "blue".into());
        provider.query_params.insert("api-version".into(), "a b".into());
        assert!(hear(&Models::new(), &provider, asking("hello")).await.is_complete());
        let seen = fake.requests().remove(0);
        assert_eq!(seen.path, format!("/v1/{path}?api-version=a+b"));
        assert_eq!(seen.header("authorization"), Some(concat!("Bearer ", env!("CARGO_PKG_NAME"))));
        assert_eq!(seen.header("x-team"), Some("blue"));
        assert_eq!(seen.header("accept"), Some("text/event-stream"));
        assert!(seen.header("user-agent").unwrap().starts_with("verger/"));
    }
}

#[tokio::test]
async fn the_offline_model_answers_through_the_same_door() {
    let request = asking("/call clock now {}");
    let heard = hear(&Models::new(), &ProviderConfig::offline(), request).await;
    assert!(heard.is_complete());
    assert!(matches!(&heard.events[0], ModelEvent::ToolCall { name, .. } if name == "now"));
}
