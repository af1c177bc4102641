//! The testkit tested: a guard that must catch, a helper that must misbehave, a client that must notice.

mod guard;
mod helper;
mod launch;
mod load;
mod protocol;
mod shapes;
