//! The Responses API over real sockets, against the fake model.

mod answers;
mod attempts;
mod hearing;
mod letting_go;
mod refusals;
