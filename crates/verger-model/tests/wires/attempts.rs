//! When a request is made again, and when it must not be.

use std::time::Duration;

use verger_model::{ModelError, ModelErrorKind, Models, ProviderConfig};
use verger_testkit::fake_model::FakeModel;

use crate::hearing::{WIRES, asking, hear, provider};

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_again_as_often_as_allowed() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let patient = ProviderConfig { request_max_retries: 2, ..provider(wire, &fake) };
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
}

#[tokio::test]
async fn retry_after_is_kept_and_too_long_a_one_is_an_error_at_once() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let patient = ProviderConfig { request_max_retries: 1, ..provider(wire, &fake) };
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
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_word_is_asked_for_again() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let patient = ProviderConfig { stream_max_retries: 2, ..provider(wire, &fake) };
        for line in ["DROP after=0 times=2", "ABORT times=2"] {
            let heard = hear(&Models::new(), &patient, asking(line)).await;
            assert!(heard.is_complete(), "{line}: {:?}", heard.error);
            assert_eq!(heard.text(), "ok");
            assert_eq!(heard.retries().len(), 2);
        }
        assert_eq!(fake.counts().requests, 6);
        for line in ["ABORT code=context_length_exceeded", "FAIL status=500 code=context_length_exceeded"] {
            let heard = hear(&Models::new(), &patient, asking(line)).await;
            assert!(heard.retries().is_empty());
            assert_eq!(heard.error().kind(), ModelErrorKind::ContextLength, "{line}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_word_is_an_error_and_never_said_twice() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let patient =
            ProviderConfig { stream_max_retries: 5, request_max_retries: 5, ..provider(wire, &fake) };
        let heard = hear(&Models::new(), &patient, asking("DROP after=2 times=1")).await;
        assert_eq!(heard.text(), "000000 .000001 .");
        assert!(heard.retries().is_empty());
        assert!(matches!(heard.error(), ModelError::BrokenOff { .. }));
        assert_eq!(fake.counts().requests, 1);
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_that_says_where() {
    for wire in WIRES {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let provider = ProviderConfig {
            request_max_retries: 0,
            wire_api: wire,
            ..ProviderConfig::responses("p", format!("http://127.0.0.1:{port}/v1"))
        };
        let heard = hear(&Models::new(), &provider, asking("hello")).await;
        // Nothing was sent, so that this is no request tried again: whoever is just starting is waited for.
        assert_eq!(heard.retries().len(), 4);
        let error = heard.error().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("refused"), "{error}");
    }
}
