//! What clients ask at their start, answered by a server that is local and has no accounts.

use serde_json::{Value, json};

use crate::stage::Stage;

const PROVIDERS: &str = r#"
[model_providers.gateway]
name = "Gateway"
base_url = "https://user:hush1@gateway.example/v1?key=hush2"
env_key = "GATEWAY_KEY"
http_headers = { "X-Team" = "hush3" }
models = ["small", "large", "small"]
[mcp_servers.off]
command = "nothing"
enabled = false
env = { TOKEN = "hush4" }
"#;

fn stage() -> Stage {
    Stage::new(|home| home.config().table(PROVIDERS))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_is_signed_in_and_nobody_need_be() {
    let stage = stage();
    let client = stage.client("client").await;
    let account = client.call("account/read", json!({ "refreshToken": false })).await;
    assert_eq!(account, json!({ "account": null, "userId": null, "requiresOpenaiAuth": false }));
    assert_eq!(client.call("configRequirements/read", Value::Null).await, json!({ "requirements": null }));
    let folders = json!({ "cwds": ["/a", "/b"] });
    let hooks = client.call("hooks/list", folders.clone()).await;
    assert_eq!(hooks["data"][1], json!({ "cwd": "/b", "hooks": [], "warnings": [], "errors": [] }));
    let skills = client.call("skills/list", folders).await;
    assert_eq!(skills["data"][0], json!({ "cwd": "/a", "skills": [], "errors": [] }));
    assert_eq!(client.call("skills/list", json!({})).await["data"].as_array().unwrap().len(), 1);
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn models_are_listed_by_provider_and_page() {
    let stage = stage();
    let client = stage.client("client").await;
    let names = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap().iter();
        data.map(|model| {
            format!(
                "{}{}",
                model["model"].as_str().unwrap(),
                if model["isDefault"] == true { "*" } else { "" }
            )
        })
        .collect()
    };
    let ours = client.call("model/list", json!({ "includeHidden": true })).await;
    assert_eq!((names(&ours), &ours["nextCursor"]), (vec!["mock-model*".to_owned()], &Value::Null));
    let first = client.call("model/list", json!({ "modelProvider": "gateway", "limit": 1 })).await;
    assert_eq!(names(&first), ["small*"]);
    let second = json!({ "modelProvider": "gateway", "limit": 1, "cursor": first["nextCursor"] });
    let second = client.call("model/list", second).await;
    assert_eq!((names(&second), &second["nextCursor"]), (vec!["large".to_owned()], &Value::Null));
    let (code, message) = client.refused("model/list", json!({ "cursor": "x" })).await;
    assert_eq!((code, message.as_str()), (-32600, "invalid cursor: x"));
    let (code, message) = client.refused("model/list", json!({ "modelProvider": "nope" })).await;
    assert!(code == -32602 && message.contains("modelProvider: no provider 'nope'"), "{message}");

    let providers = client.call("modelProvider/list", json!({})).await;
    assert_eq!(
        (&providers["defaultProviderId"], &providers["canChangeDefault"]),
        (&json!("mock"), &json!(false))
    );
    assert_eq!(
        providers["data"][0],
        json!({
            "id": "gateway", "name": "Gateway", "canEdit": false, "baseUrl": "https://gateway.example/v1",
            "settings": { "type": "customGateway", "auth": { "mode": "environmentVariable", "envKey": "GATEWAY_KEY" } },
        })
    );
    assert_eq!(providers["data"][2]["id"], "offline");
    client.close().await;
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_configuration_is_shown_without_its_secrets() {
    let stage = stage();
    let client = stage.client("client").await;
    let read = client.call("config/read", json!({ "includeLayers": true, "cwd": "/" })).await;
    assert!(!read.to_string().contains("hush"), "{read}");
    let config = &read["config"];
    assert_eq!(
        (&config["model"], &config["sandbox_mode"]),
        (&json!("mock-model"), &json!("danger-full-access"))
    );
    assert_eq!(config["mcp_servers"]["off"]["env"], json!({ "TOKEN": "(hidden)" }));
    assert_eq!(config["threads"]["orphan_turn"], "finish", "defaults are in force, too");
    let file = json!({ "type": "user", "file": stage.home.path().join("config.toml"), "profile": null });
    assert_eq!(read["origins"]["model_providers.gateway.name"]["name"], file);
    assert_eq!(read["layers"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&read["layers"][0]["name"], &read["layers"][0]["config"]["model"]),
        (&file, &json!("mock-model"))
    );
    let plain = client.call("config/read", json!({})).await;
    assert_eq!((&plain["config"], &plain["layers"]), (config, &Value::Null));
    client.close().await;
    stage.finish();
}
