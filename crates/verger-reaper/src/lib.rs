//! Who lives: starts, watches and ends process trees, and sweeps orphans.

#![forbid(unsafe_code)]
