//! Sessions tested: protocol corners against a peer in memory, and real misbehaving helpers on real pipes.

mod corners;
mod endings;
mod helper;
mod peer;
mod pipes;
mod real;
