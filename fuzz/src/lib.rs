//! Throws at Verger what no client, helper or supervisor should send, and holds it to what it promises.
//!
//! Each program in `fuzz_targets/` is a line or two; what it throws and what it expects is here, so that an input that
//! was found can be read and tried again.

#![forbid(unsafe_code)]

pub mod channel;
mod client;
pub mod cost;
pub mod decoding;
pub mod framing;
pub mod garble;
mod names;
pub mod play;
mod round_trip;
mod script;
pub mod shapes;
mod stage;
mod values;
pub mod vary;
