//! The protocol described: whether its schema is true, and whether docs/protocol.md says what the types say.

mod errors;
mod examples;
mod json_text;
mod kept;
mod page;
#[path = "../schema/mod.rs"]
mod schema;
mod truth;
mod typescript;
