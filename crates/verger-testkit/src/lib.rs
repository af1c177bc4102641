//! For tests: a helper that misbehaves, LeakGuard, a fake model endpoint, a client.

#![forbid(unsafe_code)]
