//! The stories. What a client is told must not depend on the wire; what the model is sent is looked at on each.

mod failures;
mod keys;
mod tools;
mod words;

pub(super) use failures::*;
pub(super) use keys::*;
pub(super) use tools::*;
pub(super) use words::*;
