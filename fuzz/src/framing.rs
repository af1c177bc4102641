//! What a session promises whatever its helper writes to stdout: every call ends once, with an answer that was given to it
//! or with an error that says why there is none.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::runtime::Runtime;
use verger_mcp::{CallError, Session, SessionOptions};

use crate::cost::{Counting, in_proportion};

/// Calls under way while the helper writes.
const CALLS: usize = 3;

/// What a session costs before its helper has written anything, as bytes of input.
const SESSION: usize = 2 << 10;

/// Virtual time: nothing sleeps for it, and a call that nobody ends is found at once.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A runtime whose clock stands still while anything can go on.
///
/// # Panics
/// When the machine has no descriptors left.
#[must_use]
pub fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

/// The first byte of an input says how large the pieces are in which a helper writes the rest; then its stdout ends.
///
/// # Panics
/// When the session does not keep its word.
pub fn check(allocator: &'static Counting, runtime: &Runtime, input: &[u8]) {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let (noise, ended) = in_proportion(allocator, bytes.len() + SESSION, || {
        runtime.block_on(converse(bytes, usize::from(piece).max(1)))
    });
    let lines = bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    assert!(noise <= lines.clone().count() as u64, "more noise than lines");
    for (id, result) in ended {
        let mut given = lines.clone().flat_map(|line| answers(line, id));
        match result {
            Ok(result) => {
                assert!(given.any(|given| given == result), "{result} was never the answer to {id}")
            }
            Err(CallError::Timeout { .. }) => panic!("call {id} was left waiting by a helper that is gone"),
            Err(_) => {}
        }
    }
}

/// What each call came to, by the id that it had on the wire, and how many lines were noise.
async fn converse(bytes: &[u8], piece: usize) -> (u64, Vec<(u64, Result<Value, CallError>)>) {
    let (stdin, to_stdin) = duplex(4 << 10);
    let (from_stdout, mut stdout) = duplex(4 << 10);
    let mut stdin = BufReader::new(stdin);
    let options = SessionOptions { server: "fuzzed".into(), client_version: "0".into(), questions: None };
    let (session, ()) =
        tokio::join!(Session::connect(from_stdout, to_stdin, options), welcome(&mut stdin, &mut stdout));
    let session = session.expect("a polite beginning");
    let call = || async { session.call("tool", None, None, PATIENCE).await };
    let helper = async {
        let mut ids = [0; CALLS];
        for id in &mut ids {
            *id = request(&mut stdin).await["id"].as_u64().expect("our ids are numbers");
        }
        let written = async move {
            for piece in bytes.chunks(piece) {
                stdout.write_all(piece).await.expect("the session reads");
                tokio::task::yield_now().await;
            }
        };
        // Its own requests are answered, and it reads that.
        let mut said = Vec::new();
        let read = stdin.read_to_end(&mut said);
        let (read, ()) = tokio::join!(read, written);
        read.expect("a pipe in memory");
        ids
    };
    let (one, two, three, ids) = tokio::join!(call(), call(), call(), helper);
    (session.noise(), ids.into_iter().zip([one, two, three]).collect())
}

/// Plays a polite server up to the end of `connect`.
async fn welcome(stdin: &mut BufReader<DuplexStream>, stdout: &mut DuplexStream) {
    let initialized =
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": {} });
    let tools = json!({ "tools": [{ "name": "tool", "inputSchema": { "type": "object" } }] });
    for result in [initialized, tools] {
        let mut asked = request(stdin).await;
        if asked["id"].is_null() {
            asked = request(stdin).await;
        }
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
        stdout.write_all(format!("{answer}\n").as_bytes()).await.expect("the session reads");
    }
}

async fn request(stdin: &mut BufReader<DuplexStream>) -> Value {
    let mut line = String::new();
    stdin.read_line(&mut line).await.expect("a pipe in memory");
    serde_json::from_str(&line).expect("the session writes JSON, a line each")
}

/// An answer as far as it matters here. What else stands in it is passed over, were it not even text.
#[derive(Deserialize)]
struct Answer {
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
}

/// Tells a result of `null` from none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Every result that a line can be taken to give to request `id`.
fn answers(line: &[u8], id: u64) -> Vec<Value> {
    let batch = serde_json::from_slice::<Vec<Answer>>(line)
        .or_else(|_| serde_json::from_slice(line).map(|single| vec![single]));
    let is_meant = |answer: &Answer| {
        let given = answer.id.as_ref();
        given.and_then(|given| given.as_u64().or_else(|| given.as_str()?.parse().ok())) == Some(id)
    };
    batch.unwrap_or_default().into_iter().filter(is_meant).filter_map(|answer| answer.result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(input: &[u8]) -> Vec<Result<Value, CallError>> {
        let (_, ended) = runtime().block_on(converse(input, 7));
        ended.into_iter().map(|(_, result)| result).collect()
    }

    #[test]
    fn each_call_gets_its_own_answer_whatever_is_written_between_them() {
        let lines =
            b"{\"id\":5,\"result\":{\"n\":5}}\nnoise\n{\"id\":3,\"result\":{\"n\":3}}\n{\"id\":4,\"res\n";
        let ended = ended(lines);
        assert_eq!(ended[0], Ok(json!({ "n": 3 })));
        assert!(matches!(ended[1], Err(CallError::HelperGone { .. })), "{ended:?}");
        assert_eq!(ended[2], Ok(json!({ "n": 5 })));
    }
}
