//! The wires over real sockets, against the fake model.

mod answers;
mod attempts;
mod hearing;
mod keys;
mod letting_go;
mod refusals;
