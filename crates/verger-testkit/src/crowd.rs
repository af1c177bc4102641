//! The crowd: clients that come, go, stall and lose their connections at random, each of which must know at every moment what
//! the thread's log tells up to its place.
//!
//! A view is one thread as one client knows it. A *scribe* is a fast client that follows a thread from its birth
//! and keeps all that is durable by number: every other view is compared with the scribe's. A [`World`] draws steps from a
//! seed, has the members perform them, lets everything come to rest now and then, and compares.

mod chaos;
mod chronicle;
mod flight;
mod member;
mod plan;
mod position;
mod questions;
mod quiet;
mod step;
mod tally;
#[cfg(test)]
mod tests;
mod texts;
mod trace;
mod turns;
mod view;
mod world;

pub use chaos::{Chaos, ChaosError};
pub use plan::Plan;
pub use tally::Tally;
pub use world::{Broken, World};
