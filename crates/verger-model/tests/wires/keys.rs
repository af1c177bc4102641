//! Where keys come from, and where they never go.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test that asked")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use verger_model::{ModelError, Models, ProviderConfig};
use verger_testkit::fake_model::FakeModel;

use crate::hearing::{WIRES, asking, hear, provider, told};

const KEY: &str = "sk-test-0123456789";

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_key_file_is_read_again_for_each_request() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let provider = ProviderConfig { key_file: Some(path.clone()), ..provider(wire, &fake) };
        let models = Models::new();
        for key in [KEY, "another-key"] {
            write(&path, &format!("\n  {key}\n"), 0o600);
            assert!(hear(&models, &provider, asking("hello")).await.is_complete());
            let seen = fake.requests().pop().unwrap();
            assert_eq!(seen.header("authorization"), Some(format!("Bearer {key}").as_str()));
        }
    }
}

#[tokio::test]
async fn a_key_file_that_is_not_fit_is_refused_with_the_remedy_and_nothing_is_sent() {
    let fake = FakeModel::start().unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    let provider = ProviderConfig { key_file: Some(path.clone()), ..provider(WIRES[0], &fake) };
    let refused = async || {
        let error = hear(&Models::new(), &provider, asking("hello")).await.error();
        assert!(matches!(error, ModelError::KeyFile { .. }) && !error.is_retryable(), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("provider fake: key_file {} ", path.display())), "{text}");
        assert!(!text.contains(KEY), "{text}");
        text
    };
    assert!(refused().await.contains("cannot be read"));
    for mode in [0o640, 0o604, 0o620, 0o601] {
        write(&path, KEY, mode);
        assert!(refused().await.ends_with(&format!("run `chmod 600 {}`", path.display())));
    }
    write(&path, " \n", 0o600);
    assert!(refused().await.contains("is empty"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(refused().await.contains("is not a file"));
    assert_eq!(fake.counts().connections, 0);
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_key_file_holds_nobody_up() {
    let fake = FakeModel::start().unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let provider = ProviderConfig { key_file: Some(path), ..provider(WIRES[0], &fake) };
    let error = hear(&Models::new(), &provider, asking("hello")).await.error();
    assert!(error.to_string().contains("is not a file"), "{error}");
}

#[tokio::test]
async fn what_a_provider_repeats_of_our_secrets_is_taken_out() {
    for wire in WIRES {
        let fake = FakeModel::start().unwrap();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        write(&path, KEY, 0o600);
        let mut provider = ProviderConfig { key_file: Some(path), ..provider(wire, &fake) };
        provider.http_headers.insert("x-other-key".into(), "Token other-0123456789".into());
        for (header, want) in [
            ("authorization", "no user has Bearer [key]"),
            ("x-other-key", "no user has Token [http_headers.x-other-key]"),
        ] {
            let line = format!("FAIL status=401 repeat={header}");
            let error = hear(&Models::new(), &provider, asking(&line)).await.error();
            assert_eq!(error.to_string(), format!("provider fake: answered 401: {want}"));
            assert!(!format!("{error:?} {provider:?}").contains("0123456789"));
        }
    }
}

#[tokio::test]
async fn a_key_in_the_middle_of_a_broken_stream_is_taken_out() {
    // Set by cargo for every test, and what `told` sends as its key.
    let key = env!("CARGO_PKG_NAME");
    for wire in WIRES {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let error = told(wire, &format!("{head}data: {{\"error\":\"bad {key}\"}}\n\n")).await.error();
        assert_eq!(error.to_string(), "provider p: bad [key]");
    }
}
