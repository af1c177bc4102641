//! The one vocabulary for people and CI.

fn main() {}
