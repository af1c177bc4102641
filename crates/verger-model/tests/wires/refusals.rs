//! Errors that asking again does not cure, and what they say.

use verger_model::{ModelError, ModelErrorKind, ModelEvent, Models, ProviderConfig, WireApi};
use verger_testkit::fake_model::FakeModel;

use crate::hearing::{WIRES, asking, hear, provider, told};

#[tokio::test]
async fn a_missing_key_is_named_before_anything_is_sent() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let provider = ProviderConfig { env_key: Some("VERGER_NO_SUCH_KEY".into()), ..provider(wire, &fake) };
        let error = hear(&Models::new(), &provider, asking("hello")).await.error();
        assert!(
            matches!(&error, ModelError::MissingKey { var, .. } if var == "VERGER_NO_SUCH_KEY"),
            "{error}"
        );
        assert!(error.to_string().contains("VERGER_NO_SUCH_KEY"));
        assert_eq!(fake.counts().connections, 0);
    }
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
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let error = hear(&Models::new(), &provider(wire, &fake), asking("FAIL status=401")).await.error();
        assert_eq!(error.to_string(), "provider fake: answered 401: told to fail with 401");
        assert!(!error.is_retryable());
        assert_eq!(error.kind(), ModelErrorKind::Unauthorized);
        let error = hear(&Models::new(), &provider(wire, &fake), asking("FAIL status=503")).await.error();
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_cut_answer_says_why_after_what_there_is_of_it() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let heard = hear(&Models::new(), &provider(wire, &fake), asking("INCOMPLETE")).await;
        assert_eq!(heard.text(), "half");
        assert!(matches!(heard.events.last(), Some(ModelEvent::Usage(_))), "{:?}", heard.events);
        let want = if wire == WireApi::Chat { "length" } else { "max_output_tokens" };
        assert!(matches!(heard.error(), ModelError::Incomplete { reason, .. } if reason == want));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_said_to_be_none() {
    for wire in WIRES {
        let error =
            told(wire, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>").await.error().to_string();
        assert!(error.contains("text/html") && error.contains("wire_api"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_just_ends_is_broken_off() {
    for wire in WIRES {
        let (delta, end) = match wire {
            WireApi::Chat => (r#"{"choices":[{"delta":{"content":"half"}}]}"#, "finish_reason"),
            _ => (
                r#"{"type":"response.output_text.delta","item_id":"m","delta":"half"}"#,
                "response.completed",
            ),
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let heard = told(wire, &format!("{head}data: {delta}\n\n")).await;
        assert_eq!(heard.text(), "half");
        assert!(matches!(heard.error(), ModelError::BrokenOff { cause, .. } if cause.contains(end)));
    }
}

#[tokio::test]
async fn a_refusal_that_repeats_the_key_is_cleaned() {
    for wire in WIRES {
        let key = env!("CARGO_PKG_NAME");
        let error = told(wire, &format!("HTTP/1.1 401 No\r\n\r\nno user has Bearer {key}")).await.error();
        assert_eq!(error.to_string(), "provider p: answered 401: no user has Bearer [key]");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_but_told() {
    for wire in WIRES {
        let error = told(wire, "HTTP/1.1 308 Moved\r\nlocation: http://127.0.0.1:1/v2/responses\r\n\r\n")
            .await
            .error();
        assert!(error.to_string().contains("http://127.0.0.1:1/v2/responses: set `base_url`"), "{error}");
    }
}
