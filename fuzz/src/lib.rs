//! Throws at the decoder and at the whole daemon what no client should send, and holds them to what they promise.
//!
//! Each program in `fuzz_targets/` is a line or two; what it throws and what it expects is here, so that an input that
//! was found can be read and tried again.

#![forbid(unsafe_code)]

mod client;
pub mod cost;
pub mod decoding;
pub mod garble;
mod names;
pub mod play;
mod round_trip;
mod script;
pub mod shapes;
mod stage;
mod values;
pub mod vary;
