//! Talks to models: the streaming Responses API, and the offline model.
//!
//! ```text
//! Models::stream(provider, request) -> ModelEvent, ModelEvent, ..., Completed
//! ```
//!
//! This crate knows providers, requests and events; it knows nothing of threads or turns. `models` is the door,
//! `offline` and `responses` are what is behind it, and another API becomes another folder beside `responses`.
//!
//! # Why this client is ours
//!
//! - async-openai 0.43: alive, knows namespaces; but a closed enum of events (an unknown one is an error), one detached
//!   task and one unbounded channel per stream, retries out of reach; 147 crates, 57 s of CPU for a debug build.
//! - genai, rig and their like: many providers behind one chat model; calls lose their namespace, streams their ids.
//! - openresponses-rust and the other small ones: types first, no limits on silence or size, no retries.
//! - So: reqwest for HTTP, sse-stream for the framing (both shared with nothing hidden: a pull, no task of their own
//!   but the connection's), and the dozen fields we read, borrowed from the event's text.
//! - TLS is rustls with ring: 5 s of CPU and a C compiler to build, where aws-lc-rs takes 26 s; neither needs cmake here.

#![forbid(unsafe_code)]

mod clients;
mod error;
mod event;
mod models;
mod names;
mod offline;
mod provider;
mod request;
mod responses;
mod retry;
mod sse;

pub use error::ModelError;
pub use event::{ModelEvent, OutputId, Reasoning, Usage};
pub use models::Models;
pub use names::{offered_name, resolve};
pub use provider::{ProviderConfig, WireApi};
pub use request::{InputItem, ModelRequest, Part, ToolSpec};
