//! LiteLLM's proxy: a gateway that others wrote, which speaks Chat Completions to Verger in chunks of its own making, with the
//! fake model behind it. `cargo xtask test` starts it and says where in the file that `VERGER_REAL_SERVERS` points to.

use serde_json::Value;
use verger_testkit::fake_model::FakeModel;

/// Where the gateway is, and the model that it asks.
pub(super) struct Gateway {
    base_url: String,
    key: String,
    model: FakeModel,
}

impl Gateway {
    /// The running gateway, with a new model behind it; nothing where there is none.
    pub(super) fn find() -> Option<Self> {
        let list = std::env::var_os("VERGER_REAL_SERVERS")?;
        let text = std::fs::read_to_string(&list).expect("VERGER_REAL_SERVERS names a file");
        let list: Value = serde_json::from_str(&text).expect("the list of real servers is JSON");
        let gateway = list.get("gateway")?;
        let text = |key: &str| gateway[key].as_str().expect("a text").to_owned();
        let port = gateway["modelPort"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        // The gateway knows one address, so that one story is played at a time.
        let model = FakeModel::start_on(port).expect("the port that the gateway asks at");
        Some(Self { base_url: text("baseUrl"), key: text("key"), model })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What it asks of its clients.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn model(&self) -> &FakeModel {
        &self.model
    }
}
