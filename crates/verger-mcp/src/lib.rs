//! Talks MCP: client sessions on the pipes of a helper.

#![forbid(unsafe_code)]
