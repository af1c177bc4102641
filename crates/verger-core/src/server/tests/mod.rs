//! Tests of the machine between threads: stories, random histories, and every interleaving of a small world.

mod account;
mod failures;
mod histories;
mod moves;
mod search;
mod stories;
mod story;
mod supervision;
mod world;
