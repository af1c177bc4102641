//! Talks to models: the streaming Responses API, and the offline model.

#![forbid(unsafe_code)]
