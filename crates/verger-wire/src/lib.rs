//! What travels: JSON-RPC framing and the app-server's request, reply, notification and item types.
//!
//! The wire is JSON-RPC 2.0 without the `jsonrpc` member (accepted when present, never written). One message goes:
//! bytes -> [`decode`] -> [`Incoming`] -> [`ClientRequest::decode`] -> typed parameters; and back through [`reply`],
//! [`error`], [`notification`] or [`server_request`]. Nothing here does I/O, keeps state or reads a clock.

#![forbid(unsafe_code)]

mod encode;
mod error;
mod frame;
mod methods;
mod notifications;
mod params;
pub mod requests;
pub mod schema;
mod server_requests;
pub mod types;

pub use encode::{StreamPosition, error, notification, notification_at, reply, server_request};
pub use error::{RpcError, code};
pub use frame::{DecodeError, Fault, Incoming, MAX_DEPTH, MAX_ID_BYTES, RequestId, decode, decode_bytes};
pub use methods::Method;
pub use notifications::*;
pub use requests::ClientRequest;
pub use server_requests::*;
