//! Every refusal, as its constructor words it, with when it is given and to what.

use verger_wire::{Fault, Method, RpcError};

use crate::examples::{THREAD, TURN};

/// What can be answered with an error.
pub(crate) enum To {
    /// A frame that is no request.
    Frame,
    /// Any request.
    Any,
    /// Requests that name a thread, in a parameter `threadId`.
    WithThread,
    /// Requests with these methods.
    Only(&'static [&'static str]),
}

pub(crate) struct Refusal {
    pub(crate) error: RpcError,
    pub(crate) when: &'static str,
    pub(crate) to: To,
}

// === impl Refusal ===

impl Refusal {
    /// Whether it is one of this method's own, and not of any request.
    pub(crate) fn is_for(&self, method: &Method) -> bool {
        match self.to {
            To::Frame | To::Any => false,
            To::WithThread => {
                method.result.is_some() && method.params.json()["properties"].get("threadId").is_some()
            }
            To::Only(methods) => methods.contains(&method.name),
        }
    }
}

/// In the order in which a message meets them.
pub(crate) fn refusals() -> Vec<Refusal> {
    [of_messages(), of_threads(), of_turns(), of_helpers(), of_jobs()].into_iter().flatten().collect()
}

fn refusal(error: RpcError, when: &'static str, to: To) -> Refusal {
    Refusal { error, when, to }
}

fn of_messages() -> Vec<Refusal> {
    let not_json = RpcError::from(&Fault::NotJson("expected value at line 1 column 1".into()));
    vec![
        refusal(
            not_json,
            "The frame is not JSON, not UTF-8, too long or nested too deep. The id is `null`.",
            To::Frame,
        ),
        refusal(
            RpcError::from(&Fault::NotAMessage("no `method`".into())),
            "The frame is JSON, but no message. The id is the request's where it could be read.",
            To::Frame,
        ),
        refusal(RpcError::not_initialized(), "`initialize` has not been sent yet.", To::Any),
        refusal(RpcError::already_initialized(), "`initialize` was sent before.", To::Only(&["initialize"])),
        refusal(RpcError::method_not_found("thread/rollback"), "There is no such method.", To::Any),
        refusal(
            RpcError::invalid_params("input[0].text", "missing field"),
            "The parameters do not fit. The message names the member by its path.",
            To::Any,
        ),
        refusal(
            RpcError::experimental("thread/resume.initialTurnsPage"),
            "The client has not set `capabilities.experimentalApi`, and asks for what needs it.",
            To::Only(&["thread/start", "thread/resume", "thread/fork", "turn/start"]),
        ),
        refusal(
            RpcError::overloaded(),
            "The connection has 128 requests under way. The same request succeeds later.",
            To::Any,
        ),
        refusal(
            RpcError::full(
                "1024 clients are connected, as many as there may be; raise max_connections under [server], or try again later",
            ),
            "On a Unix socket, and the connection ends: all that is still answered are `initialize`, `verger/ps` and `verger/helper/restart`. With eight such clients there the next is told at once, and `id` is null. Over TCP the upgrade is refused with 503.",
            To::Frame,
        ),
        refusal(
            RpcError::shutting_down(),
            "The server is going down. `data.reason` says so to programs.",
            To::Any,
        ),
        refusal(
            RpcError::internal(format!("thread {THREAD} was closed before it could answer")),
            "Something failed that the client cannot mend. The message says what.",
            To::Any,
        ),
        refusal(
            RpcError::invalid_cursor("x"),
            "The cursor is none that this server gave for this list.",
            To::Only(&[
                "thread/list",
                "thread/loaded/list",
                "thread/turns/list",
                "thread/items/list",
                "mcpServerStatus/list",
                "model/list",
                "verger/job/list",
                "verger/job/history",
            ]),
        ),
    ]
}

fn of_threads() -> Vec<Refusal> {
    vec![
        refusal(
            RpcError::invalid_thread_id("invalid character: found `n` at 0"),
            "The thread's id is no UUID.",
            To::WithThread,
        ),
        refusal(
            RpcError::thread_not_loaded(THREAD),
            "There is no such thread.",
            To::Only(&["thread/read", "thread/turns/list", "thread/items/list"]),
        ),
        refusal(
            RpcError::thread_not_found(THREAD),
            "The thread is not loaded: `thread/resume` loads it.",
            To::Only(&[
                "turn/start",
                "turn/steer",
                "turn/interrupt",
                "mcpServer/tool/call",
                "mcpServer/resource/read",
                "mcpServerStatus/list",
            ]),
        ),
        refusal(
            RpcError::no_rollout(THREAD),
            "There is no such thread, or it has had no turn yet.",
            To::Only(&[
                "thread/resume",
                "thread/fork",
                "thread/archive",
                "thread/delete",
                "thread/name/set",
                "thread/metadata/update",
            ]),
        ),
        refusal(
            RpcError::no_archived_rollout(THREAD),
            "There is no archived thread of that id.",
            To::Only(&["thread/unarchive"]),
        ),
        refusal(
            RpcError::thread_archived(THREAD),
            "The thread is archived.",
            To::Only(&["thread/resume", "thread/fork", "thread/name/set"]),
        ),
        refusal(
            RpcError::not_materialized(THREAD, "thread/turns/list"),
            "The thread has had no turn yet, so nothing of it is stored.",
            To::Only(&["thread/read", "thread/turns/list", "thread/items/list"]),
        ),
        refusal(
            RpcError::ephemeral_without("includeTurns"),
            "The thread is ephemeral, and its turns or items are asked for.",
            To::Only(&["thread/read", "thread/turns/list", "thread/items/list", "thread/revert"]),
        ),
        refusal(
            RpcError::ephemeral_without_metadata(THREAD),
            "The thread is ephemeral: there is nothing to note it on.",
            To::Only(&["thread/name/set", "thread/metadata/update"]),
        ),
        refusal(
            RpcError::forked_from(THREAD),
            "A fork still reads this thread's history. Nothing of the thread is ended.",
            To::Only(&["thread/delete"]),
        ),
        refusal(
            RpcError::active_writer(THREAD, 4021),
            "Another server process of the same home has the thread open.",
            To::Only(&[
                "thread/resume",
                "thread/archive",
                "thread/unarchive",
                "thread/delete",
                "thread/name/set",
                "thread/metadata/update",
            ]),
        ),
    ]
}

fn of_turns() -> Vec<Refusal> {
    let other = "0199f3a1-7b04-7c55-8a0f-000000000000";
    vec![
        refusal(
            RpcError::unusable_tool("duplicate dynamic tool name: lookup"),
            "A tool of `dynamicTools` that no model could call: its name is empty, too long, there twice or not made of \
             letters, digits, `_` and `-`.",
            To::Only(&["thread/start"]),
        ),
        refusal(RpcError::nothing_to_steer(), "No turn runs.", To::Only(&["turn/steer"])),
        refusal(
            RpcError::steer_mismatch(other, TURN),
            "Another turn runs than the one that `expectedTurnId` names. Clients read the id out of this message.",
            To::Only(&["turn/steer"]),
        ),
        refusal(
            RpcError::steer_without("input"),
            "Nothing is said, or no turn is named.",
            To::Only(&["turn/steer"]),
        ),
        refusal(
            RpcError::schema_mismatch(),
            "A turn runs, and its answers keep to another schema.",
            To::Only(&["turn/start"]),
        ),
        refusal(RpcError::nothing_to_interrupt(), "No turn runs.", To::Only(&["turn/interrupt"])),
        refusal(
            RpcError::interrupt_mismatch(other, TURN),
            "Another turn runs than the one that `turnId` names.",
            To::Only(&["turn/interrupt"]),
        ),
        refusal(
            RpcError::turn_not_found(other),
            "The thread has no such turn.",
            To::Only(&["thread/fork", "thread/revert"]),
        ),
        refusal(
            RpcError::revert_during_turn(THREAD, TURN),
            "A turn runs: what it still does would come after what is to be forgotten.",
            To::Only(&["thread/revert"]),
        ),
        refusal(
            RpcError::compact_during_turn(THREAD, TURN),
            "A turn runs. It is summed up by itself when it has outgrown the model.",
            To::Only(&["thread/compact/start"]),
        ),
        refusal(
            RpcError::fork_at_active_turn(TURN),
            "The turn has not ended yet, and a fork would have half of it.",
            To::Only(&["thread/fork"]),
        ),
    ]
}

fn of_helpers() -> Vec<Refusal> {
    vec![
        refusal(
            RpcError::unknown_mcp_server("gti"),
            "The configuration has no MCP server of that name.",
            To::Only(&["mcpServer/tool/call", "mcpServer/resource/read", "verger/helper/restart"]),
        ),
        refusal(
            RpcError::tool_call_failed(
                "git",
                "git_status",
                "server 'git' went away before it answered: outcome unknown, not sent again",
            ),
            "The MCP server did not start, died, took too long, or is not started now: it has failed before, or there are \
             too many. The call is never made again by itself. An error that the server itself answered is passed on \
             unchanged instead.",
            To::Only(&["mcpServer/tool/call"]),
        ),
        refusal(
            RpcError::resource_read_failed(
                "git",
                "git://head/README.md",
                "server 'git' ended while answering 'initialize'; its stderr may say why",
            ),
            "The same, for resources.",
            To::Only(&["mcpServer/resource/read"]),
        ),
        refusal(
            RpcError::helper_not_proven_gone("git", 4102),
            "A process of an MCP server could not be ended in time: it hangs in the kernel. `verger ps` shows it.",
            To::Only(&[
                "thread/archive",
                "thread/delete",
                "config/mcpServer/reload",
                "verger/helper/restart",
            ]),
        ),
    ]
}

fn of_jobs() -> Vec<Refusal> {
    vec![
        refusal(
            RpcError::job_not_found("nighlty"),
            "There is no job of that name.",
            To::Only(&[
                "verger/job/read",
                "verger/job/edit",
                "verger/job/pause",
                "verger/job/resume",
                "verger/job/remove",
                "verger/job/run",
                "verger/job/next",
                "verger/job/history",
            ]),
        ),
        refusal(
            RpcError::job_run_not_found(4711),
            "There is no such run, or it is not kept any more.",
            To::Only(&["verger/job/cancel", "verger/job/run/read"]),
        ),
        refusal(
            RpcError::job_name_taken("nightly"),
            "A job from the configuration or an added one has the name.",
            To::Only(&["verger/job/add"]),
        ),
        refusal(
            RpcError::job_is_configured("nightly"),
            "The job is in config.toml, which the server never writes.",
            To::Only(&["verger/job/edit", "verger/job/remove"]),
        ),
        refusal(
            RpcError::invalid_job("schedule", "'0 0 31 2 *' never comes: no year has such a day"),
            "The job could not run as it is told to. The message names the field, and so does `data.field`.",
            To::Only(&["verger/job/add", "verger/job/edit", "verger/job/run", "verger/job/next"]),
        ),
        refusal(
            RpcError::invalid_request(
                "job nightly: 64 of its runs wait already; let them begin or cancel some",
            ),
            "Nor does a server on stdio run any: it ends with its client, and says so in the same way.",
            To::Only(&["verger/job/run"]),
        ),
        refusal(
            RpcError::invalid_request("run 212 has ended; there is nothing to cancel"),
            "One of another server of the home is cancelled there, and is refused in the same way.",
            To::Only(&["verger/job/cancel"]),
        ),
        refusal(
            RpcError::invalid_request(
                "job nightly: was changed meanwhile, or a slot of it came; look at it again, then repeat the change",
            ),
            "Another client, or another server of the home, was faster.",
            To::Only(&["verger/job/edit", "verger/job/pause", "verger/job/resume"]),
        ),
        refusal(
            RpcError::job_is_running("nightly", 212),
            "A run of it goes on.",
            To::Only(&["verger/job/remove"]),
        ),
    ]
}

#[test]
fn every_error_that_the_crate_can_word_is_listed() {
    let constructors = include_str!("../../src/error.rs").lines().filter_map(|line| {
        let (name, _) = line.trim().strip_prefix("pub fn ")?.split_once('(')?;
        Some(name.split('<').next().unwrap_or(name))
    });
    // These two word faults of frames, which `Fault` stands for here; `new` words anything.
    let elsewhere = ["new", "parse_error", "invalid_request"];
    let here = include_str!("errors.rs");
    let missing: Vec<&str> = constructors
        .filter(|name| !elsewhere.contains(name) && !here.contains(&format!("RpcError::{name}(")))
        .collect();
    assert!(missing.is_empty(), "not in tests/protocol/errors.rs: {missing:?}");
}

#[test]
fn errors_are_given_to_methods_that_exist() {
    for refusal in refusals() {
        let To::Only(methods) = refusal.to else { continue };
        for method in methods {
            assert!(verger_wire::ClientRequest::METHODS.contains(method), "{method}: {}", refusal.error);
        }
    }
}
