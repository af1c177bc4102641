//! The testkit tested: a guard that must catch, and a helper that must misbehave.

mod guard;
mod helper;
mod protocol;
mod shapes;
