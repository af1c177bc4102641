//! The protocol described: whether its schema is true, and whether the kept one is that of the types.

mod examples;
mod kept;
#[path = "../schema/mod.rs"]
mod schema;
mod truth;
mod typescript;
