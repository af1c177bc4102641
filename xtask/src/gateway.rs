//! A gateway to models that other people wrote, LiteLLM's proxy: the stories of `tests/e2e/wires` through it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use serde_json::json;

use crate::error::Error;
use crate::house::House;
use crate::report::Outcome;
use crate::run::{beside, cargo, program, run};
use crate::tools::{has_gateway, has_nextest};

/// It imports half of the world: seconds on a quiet machine, from a cold disk more.
const START_LIMIT: Duration = Duration::from_secs(180);
/// What it asks of its clients, and what it sends to the model behind it.
const KEY: &str = "sk-gateway-0123456789";
const MODEL_KEY: &str = "sk-model-0123456789";

/// Runs the stories that it can play, one after another: it knows one address of a model.
pub(crate) fn tests(house: &House) -> Result<Outcome, Error> {
    if !has_gateway(house)? {
        return Ok(Outcome::Skipped("the gateway was not fetched (PyPI)".into()));
    }
    let (port, model_port) = (free_port()?, free_port()?);
    let config = json!({
        "model_list": [{
            "model_name": "mock-model",
            "litellm_params": {
                "model": "openai/mock-model",
                "api_base": format!("http://127.0.0.1:{model_port}/v1"),
                "api_key": MODEL_KEY,
                "max_retries": 0,
            },
        }],
        "general_settings": { "master_key": KEY },
        "router_settings": { "num_retries": 0, "disable_cooldowns": true },
        "litellm_settings": { "telemetry": false, "num_retries": 0 },
    });
    let file = house.target.join("gateway.json");
    // It asks for YAML, which JSON is.
    std::fs::write(&file, config.to_string()).map_err(Error::file(&file))?;
    let list = house.target.join("real-gateway.json");
    let gateway =
        json!({ "baseUrl": format!("http://127.0.0.1:{port}/v1"), "key": KEY, "modelPort": model_port });
    std::fs::write(&list, json!({ "gateway": gateway }).to_string()).map_err(Error::file(&list))?;

    let mut server = program(house, house.gateway_python());
    server.arg(house.root.join("xtask/gateway.py")).arg("--config").arg(&file);
    server.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    // Without these it asks other machines for prices, and writes into the home.
    server.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("DISABLE_ADMIN_UI", "True");
    server.env("HOME", &house.target);
    beside(&mut server, "Uvicorn running on", START_LIMIT, || {
        let mut tests = cargo(house);
        // All of the workspace is named, so that its crates have the features that the step `build` gave them.
        if has_nextest(house) {
            tests.args(["nextest", "run", "--profile", "real-servers", "--workspace", "--locked"]);
            tests.args(["--test", "e2e", "--test-threads", "1"]);
        } else {
            tests.args(["test", "--workspace", "--locked", "--test", "e2e", "real_server_gateway"]);
            tests.args(["--", "--test-threads", "1"]);
        }
        run(tests.env("VERGER_REAL_SERVERS", &list))
    })?;
    Ok(Outcome::passed())
}

/// Free a moment ago: whoever takes it meanwhile makes the start fail by name.
fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::file("a port"))?;
    Ok(listener.local_addr().map_err(Error::file("a port"))?.port())
}
