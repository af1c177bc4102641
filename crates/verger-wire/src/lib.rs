//! What travels: JSON-RPC framing and the app-server's request, reply, notification and item types.

#![forbid(unsafe_code)]
