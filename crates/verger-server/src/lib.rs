//! The daemon: listeners, connections, outboxes, one task per thread, executor of core's effects.

#![forbid(unsafe_code)]
