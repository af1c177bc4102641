//! The MCP server: reads requests from stdin, answers them as its mode allows.

use std::{
    io::{self, BufRead, Write},
    os::fd::OwnedFd,
    process::{self, ExitCode},
    sync::Arc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    args::Args, event_log::EventLog, family, fault::Fault, mode::Mode, output::Output, slow_calls::SlowCalls,
    tools,
};

/// One session over stdio.
#[derive(Debug)]
pub(crate) struct Server {
    args: Args,
    /// Since `initialize`.
    fault: Option<Fault>,
    log: EventLog,
    out: Arc<Output>,
    slow: SlowCalls,
    leaked: Vec<OwnedFd>,
    calls: u64,
}

impl Server {
    pub(crate) fn new(args: Args, log: EventLog) -> Self {
        let out = Arc::new(Output::new(args.mode));
        Self { args, fault: None, log, out, slow: SlowCalls::default(), leaked: Vec::new(), calls: 0 }
    }

    /// Serves until stdin ends, or for as long as the mode ignores that.
    pub(crate) fn run(mut self) -> ExitCode {
        match self.args.mode {
            Mode::LeakFds => self.leaked.extend(family::open_descriptors(100)),
            Mode::StderrFlood => flood_stderr(),
            Mode::Alloc => tools::hold_memory(self.args.number(64)),
            Mode::AllocUnbounded => tools::hold_more_and_more(self.args.number(2048)),
            _ => {}
        }
        for line in io::stdin().lock().lines() {
            match line.map(|line| serde_json::from_str::<Value>(&line)) {
                Ok(Ok(message)) => self.handle(&message),
                Ok(Err(error)) => self.log.event("not-json", json!({ "error": error.to_string() })),
                Err(error) => self.log.event("stdin-error", json!({ "error": error.to_string() })),
            }
        }
        self.log.event("stdin-eof", json!({}));
        if self.args.mode.ignores_eof() {
            family::sleep();
        }
        if self.args.mode == Mode::HalfLines {
            self.out.half_a_line();
        }
        self.exit(0)
    }

    fn handle(&mut self, message: &Value) {
        let Some(method) = message["method"].as_str() else { return self.answered(message) };
        let Some(id) = message.get("id") else {
            if method == "notifications/cancelled" {
                self.slow.cancel(&message["params"]["requestId"], &self.log);
            }
            return;
        };
        match method {
            "initialize" => self.initialize(id, &message["params"]),
            "ping" => self.out.result(id, json!({})),
            "tools/list" => {
                self.out.result(id, tools::list());
                if self.args.mode == Mode::Stopped {
                    family::stop_myself();
                }
            }
            "tools/call" => self.call(id, &message["params"]),
            "resources/list" => self.out.result(
                id,
                json!({ "resources": [{ "uri": "test://hello", "name": "hello", "mimeType": "text/plain" }] }),
            ),
            "resources/templates/list" => self.out.result(id, json!({ "resourceTemplates": [] })),
            "resources/read" if message["params"]["uri"] == "test://hello" => self.out.result(
                id,
                json!({ "contents": [{ "uri": "test://hello", "mimeType": "text/plain", "text": "hello" }] }),
            ),
            "resources/read" => self.out.error(id, -32002, "resource not found"),
            _ => self.out.error(id, -32601, "method not found"),
        }
    }

    fn initialize(&mut self, id: &Value, params: &Value) {
        self.fault = self.args.due_fault();
        match self.fault {
            Some(Fault::HangInInit) => return,
            Some(Fault::ExitInInit) => self.exit(3),
            Some(Fault::RejectInit) => return self.out.error(id, -32603, "this server is not in the mood"),
            Some(Fault::ExitInCall) | None => {}
        }
        if self.args.mode == Mode::SlowInit {
            thread::sleep(Duration::from_millis(self.args.number(5000)));
        }
        let version = params["protocolVersion"].as_str().unwrap_or("2025-06-18");
        self.out.result(
            id,
            json!({
                "protocolVersion": version,
                "capabilities": { "tools": {}, "resources": {} },
                "serverInfo": { "name": "bad-helper", "version": env!("CARGO_PKG_VERSION") },
            }),
        );
    }

    fn call(&mut self, id: &Value, params: &Value) {
        self.calls += 1;
        self.log
            .event("call", json!({ "id": id, "tool": params["name"], "text": params["arguments"]["text"] }));
        if self.fault == Some(Fault::ExitInCall) {
            self.exit(3);
        }
        match self.args.mode {
            Mode::LongLine if self.calls == 1 => self.out.long_line(self.args.number(100)),
            Mode::LongAnswer => {
                let size = usize::try_from(self.args.number(100) * 1_000_000).expect("megabytes fit a usize");
                return self.out.result(id, tools::text(&"x".repeat(size)));
            }
            Mode::StderrFlood => flood_stderr(),
            Mode::LeakFds => self.leaked.extend(family::open_descriptors(10)),
            _ => {}
        }
        let (name, arguments) = (params["name"].as_str().unwrap_or_default(), &params["arguments"]);
        match name {
            "ask" => self.ask(id, arguments["url"] == true),
            "slow" => self.slow.start(id, arguments["seconds"].as_f64().unwrap_or(1.0), &self.out, &self.log),
            "exit" => {
                self.exit(arguments["code"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(0))
            }
            _ => match tools::call(name, arguments) {
                Some(text) => self.out.result(id, tools::text(&text)),
                None => self.out.error(id, -32602, &format!("no tool {name:?}")),
            },
        }
    }

    /// Asks the client, under an id made of that of the call.
    fn ask(&self, call: &Value, by_url: bool) {
        let params = if by_url {
            json!({ "mode": "url", "message": "go there", "url": "https://example.test/", "elicitationId": "e-1" })
        } else {
            let name = json!({ "type": "string", "title": "Your name" });
            let schema = json!({ "type": "object", "properties": { "name": name }, "required": ["name"] });
            json!({ "message": "who are you?", "requestedSchema": schema })
        };
        self.out.request(&json!({ "of": call }).to_string(), "elicitation/create", params);
    }

    /// The client answered: so does the call that waits for it, with all that the client said.
    fn answered(&self, message: &Value) {
        let call: Option<Value> = message["id"].as_str().and_then(|id| serde_json::from_str(id).ok());
        let Some(call) = call.filter(|call| call["of"].is_number()) else { return };
        let answer = message.get("result").or(message.get("error")).cloned().unwrap_or_default();
        self.log.event("answer", answer.clone());
        self.out.result(&call["of"], tools::text(&answer.to_string()));
    }

    fn exit(&self, code: i32) -> ! {
        self.log.event("exit", json!({ "code": code }));
        process::exit(code)
    }
}

/// 10 MB in lines of 100 bytes. Blocks when nobody reads, which is the point.
fn flood_stderr() {
    let line = format!("{}\n", "e".repeat(99));
    let mut stderr = io::stderr().lock();
    for _ in 0..100_000 {
        if stderr.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}
