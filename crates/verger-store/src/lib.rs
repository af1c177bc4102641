//! What is kept: the thread log and its index.

#![forbid(unsafe_code)]
