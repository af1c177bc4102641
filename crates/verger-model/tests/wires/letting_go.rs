//! What happens to the connection: kept for the next request, closed on silence and when nobody listens.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use verger_model::{ModelError, Models, ProviderConfig};
use verger_testkit::fake_model::FakeModel;

use crate::hearing::{LIMIT, WIRES, asking, hear, provider};

#[tokio::test]
async fn silence_has_a_limit() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let hasty =
            ProviderConfig { stream_idle_timeout: Duration::from_millis(100), ..provider(wire, &fake) };
        let start = Instant::now();
        let error = hear(&Models::new(), &hasty, asking("SLEEP s=600")).await.error();
        assert!(matches!(error, ModelError::Silent { .. }), "{error}");
        assert!(error.to_string().contains("0.1 s"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5));
        timeout(LIMIT, fake.wait_until(|counts| counts.abandoned == 1))
            .await
            .expect("the connection stays open");

        // Before the answer's head as well: the kernel takes this connection, and nobody looks at it.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let error =
            hear(&Models::new(), &ProviderConfig { base_url, ..hasty }, asking("hello")).await.error();
        assert!(matches!(error, ModelError::Silent { .. }), "{error}");

        // The limit is on silence, not on the answer: this one takes four times as long.
        let hasty =
            ProviderConfig { stream_idle_timeout: Duration::from_millis(500), ..provider(wire, &fake) };
        assert!(hear(&Models::new(), &hasty, asking("STREAM n=20 delay_ms=100")).await.is_complete());
    }
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let models = Models::new();
        let mut stream =
            Box::pin(models.stream(&provider(wire, &fake), asking("STREAM n=2 delay_ms=600000")));
        timeout(LIMIT, stream.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(fake.counts().abandoned, 0);
        drop(stream);
        timeout(LIMIT, fake.wait_until(|counts| counts.abandoned == 1))
            .await
            .expect("the connection stays open");
    }
}

#[tokio::test]
async fn dropping_the_stream_before_the_answer_began_closes_the_connection() {
    for wire in WIRES {
        // It takes the request and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let provider = ProviderConfig { wire_api: wire, ..ProviderConfig::responses("p", base_url) };
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
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let models = Models::new();
        for _ in 0..20 {
            assert!(hear(&models, &provider(wire, &fake), asking("hello")).await.is_complete());
        }
        let counts = fake.counts();
        assert_eq!(counts.requests, 20);
        // A connection may come back to the pool after the next request has looked there: not often.
        assert!(counts.connections <= 10, "{counts:?}");
    }
}
