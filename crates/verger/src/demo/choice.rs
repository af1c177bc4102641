//! Which MCP server the demo's helpers are: a real one where Node or Python is there, else the built-in one.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, copy, sink};
use tokio::time::Instant;
use verger_reaper::{Exit, Reaper, Spec};

use super::kernel::within;
use super::server::Server;
use super::table::seconds;
use super::visitor::{HELPER, Visitor};
use crate::cli::DemoHelper;
use crate::serve::Failure;

/// How long each step of a first try may take; it may have to download.
const PATIENCE: Duration = Duration::from_secs(90);

const NPX: [&str; 4] = ["npx", "-y", "@modelcontextprotocol/server-everything", "stdio"];
const PYTHON: &str = "mcp-server-time";

/// Variables with these beginnings tell package managers how to reach their registries.
const FOR_REGISTRIES: [&str; 8] = [
    "npm_config_",
    "NPM_CONFIG_",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
];

/// A tool, and how to tell that it was the tool that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    echoes: bool,
}

impl Tool {
    const ECHO: Self = Self { name: "echo", echoes: true };
    const CLOCK: Self = Self { name: "get_current_time", echoes: false };

    pub(super) fn arguments(&self, word: &str) -> Value {
        if self.echoes { json!({"message": word}) } else { json!({"timezone": "UTC"}) }
    }

    pub(super) fn is_answer(&self, text: &str, word: &str) -> bool {
        text.contains(if self.echoes { word } else { "UTC" })
    }
}

/// Tries one after the other until one answers a tool call, and says what it does and why.
pub(super) async fn choose(
    wanted: DemoHelper,
    folder: &Path,
    reaper: &Reaper,
    server: &Server,
) -> Result<Tool, Failure> {
    let all = [DemoHelper::Npx, DemoHelper::Python, DemoHelper::BuiltIn];
    let candidates: Vec<_> =
        all.into_iter().filter(|&one| wanted == DemoHelper::Auto || wanted == one).collect();
    let mut last = None;
    for candidate in candidates {
        let began = Instant::now();
        let (title, tool) = introduce(candidate);
        println!("helper  trying {title}");
        match attempt(candidate, tool, folder, reaper, server).await {
            Ok(()) => {
                println!(
                    "        chosen: its tool {} answered after {}",
                    tool.name,
                    seconds(began.elapsed())
                );
                return Ok(tool);
            }
            Err(error) => {
                let reason = reason(&error.to_string());
                println!("        not this one: {reason}");
                last = Some(reason);
            }
        }
    }
    Err(format!("no helper answered: {}", last.unwrap_or_default()).into())
}

fn introduce(candidate: DemoHelper) -> (String, Tool) {
    match candidate {
        DemoHelper::Npx => {
            let title = format!("{} (downloaded the first time; {PATIENCE:?} at most)", NPX.join(" "));
            (title, Tool::ECHO)
        }
        DemoHelper::Python => {
            let title =
                format!("{PYTHON}, installed by pip in a temporary venv ({PATIENCE:?} a step at most)");
            (title, Tool::CLOCK)
        }
        DemoHelper::BuiltIn | DemoHelper::Auto => {
            ("the built-in one, verger demo-helper".to_owned(), Tool::ECHO)
        }
    }
}

async fn attempt(
    candidate: DemoHelper,
    tool: Tool,
    folder: &Path,
    reaper: &Reaper,
    server: &Server,
) -> Result<(), Failure> {
    let (command, args) = match candidate {
        DemoHelper::Npx => (NPX[0].to_owned(), NPX[1..].to_vec()),
        DemoHelper::Python => {
            let venv = folder.join("venv").to_string_lossy().into_owned();
            let python = format!("{venv}/bin/python");
            run(reaper, "python3", &["-m", "venv", &venv]).await?;
            run(reaper, &python, &["-m", "pip", "install", "--quiet", PYTHON]).await?;
            (python, vec!["-m", "mcp_server_time"])
        }
        DemoHelper::BuiltIn | DemoHelper::Auto => {
            (std::env::current_exe()?.to_string_lossy().into_owned(), vec!["demo-helper"])
        }
    };
    std::fs::write(folder.join("home/config.toml"), config(&command, &args)?)?;
    let mut visitor = Visitor::arrive(server).await?;
    visitor.ask("config/mcpServer/reload", Value::Null).await?;
    let started = visitor.ask("thread/start", json!({"ephemeral": true})).await?;
    let thread = started["thread"]["id"].as_str().ok_or("thread/start: no id")?;
    let called = visitor.call(thread, &tool, "hello").await;
    visitor.ask("thread/unsubscribe", json!({"threadId": thread})).await?;
    visitor.hear("thread/closed", thread).await?;
    visitor.leave().await;
    called
}

/// The whole configuration of the demo's server.
fn config(command: &str, args: &[&str]) -> Result<String, Failure> {
    let passed = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let passed = passed.filter(|name| FOR_REGISTRIES.iter().any(|begin| name.starts_with(begin)));
    // A JSON string or list of strings is one in TOML too.
    Ok(format!(
        "model_provider = \"offline\"\napproval_policy = \"never\"\n\n[mcp_servers.{HELPER}]\ncommand = {}\n\
         args = {}\nenv_vars = {}\nstartup_timeout_sec = {}\n",
        serde_json::to_string(command)?,
        serde_json::to_string(args)?,
        serde_json::to_string(&passed.collect::<Vec<_>>())?,
        PATIENCE.as_secs(),
    ))
}

/// Runs a program to its end, under the demo's own reaper so that nothing of it can be left.
async fn run(reaper: &Reaper, program: &str, args: &[&str]) -> Result<(), Failure> {
    let mut spec = Spec::new(program, program);
    spec.args = args.iter().map(Into::into).collect();
    spec.env = std::env::vars_os().collect();
    let mut helper = reaper.spawn(spec).await?;
    drop(helper.stdin);
    let (mut ignored, mut said) = (sink(), Vec::new());
    let ended = async {
        tokio::join!(
            copy(&mut helper.stdout, &mut ignored),
            helper.stderr.read_to_end(&mut said),
            helper.custody.gone(),
        )
    };
    let (out, err, gone) = within(program, PATIENCE, ended).await?;
    out?;
    err?;
    match gone?.exit {
        Some(Exit::Code(0)) => Ok(()),
        exit => {
            let said = String::from_utf8_lossy(&said);
            let last = said.trim_end().lines().next_back().unwrap_or("it said nothing");
            Err(format!("{program} {} ended with {exit:?}: {last}", args.join(" ")).into())
        }
    }
}

/// The first line, without the way that the failure took through the server.
fn reason(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    let through = format!("MCP server '{HELPER}': ");
    line.split_once(&through).map_or(line, |(_, cause)| cause).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_configuration_is_one_that_the_server_reads() {
        let text = config("/a \"b\"/c", &["x", "y\\z"]).unwrap();
        let config =
            verger_server::config::Config::parse(&text, Path::new("config.toml"), &Default::default())
                .unwrap();
        let server = config.mcp_server(&HELPER.into()).unwrap();
        assert_eq!((server.command.as_str(), server.args.len()), ("/a \"b\"/c", 2));
        assert_eq!(server.startup_timeout(), PATIENCE);
    }

    #[test]
    fn a_reason_is_the_cause_alone() {
        let error = "tools/call: failed for `demo/echo`: MCP server 'demo': 'npx' is not on PATH\nstderr: x";
        assert_eq!(reason(error), "'npx' is not on PATH");
        assert_eq!(reason("python3 ended with 1"), "python3 ended with 1");
    }

    #[test]
    fn an_answer_is_told_from_another() {
        assert!(Tool::ECHO.is_answer("Echo: hello 3", "hello 3"));
        assert!(!Tool::ECHO.is_answer("Echo: hello 3", "hello 4"));
        assert!(Tool::CLOCK.is_answer("{\"timezone\": \"UTC\"}", "anything"));
    }
}
