//! Talks to models: the streaming Responses API, streaming Chat Completions, and the offline model.
//!
//! ```text
//! Models::stream(provider, request) -> ModelEvent, ModelEvent, ..., Completed
//! ```
//!
//! This crate knows providers, requests and events; it knows nothing of threads or turns. `models` is the door. `responses`,
//! `chat` and `offline` are what is behind it: the first two are a body and a decoder each, and share the rest (`answer` asks
//! and asks again, `endpoint` is HTTP and keys, `sse` and `frame` read the stream). Another API becomes another folder.
//!
//! # Why this client is ours
//!
//! - async-openai 0.43: alive, knows namespaces; but an unknown event is an error, each stream is a detached task with
//!   an unbounded channel, and a build is 147 crates and 57 s of CPU. In Chat Completions a call without an `index` is an
//!   error, and thoughts are dropped.
//! - genai 0.7: alive, many providers; but its stream has no item ids, its calls no namespace, and it does not retry. In Chat
//!   Completions it passes over a call without an `index`, and makes one call of several that all say 0.
//! - openresponses-rust 2026.7: keeps unknown events; no namespaces, no limit on silence or size, no retries.
//! - rig-core 0.46: alive, knows many dialects; but it is a framework: agents, tools and stores come along, 129 crates.
//! - So: reqwest for HTTP, and the dozen fields we read, borrowed from the event's text. sse-stream 0.3 is sound and
//!   fast, but holds each event whole, and closing events repeat the answer: a 60 MB answer took 59 MB, and takes 3.
//! - TLS is rustls with ring: 5 s of CPU and a C compiler to build; aws-lc-rs takes 26 s. Neither needs cmake here.

#![forbid(unsafe_code)]

mod answer;
mod chat;
mod clients;
mod decoder;
mod endpoint;
mod error;
mod event;
mod frame;
mod key;
mod kind;
mod models;
mod names;
mod offline;
mod post;
mod provider;
mod request;
mod responses;
mod retry;
mod said;
mod secrets;
mod sse;

pub use error::ModelError;
pub use event::{ModelEvent, OutputId, Reasoning, ReasoningPart, Usage};
pub use kind::ModelErrorKind;
pub use models::Models;
pub use names::{client_name, offered_name, resolve, resolve_client};
pub use provider::{ProviderConfig, WireApi};
pub use request::{InputItem, ModelRequest, Part, ToolSource, ToolSpec};
