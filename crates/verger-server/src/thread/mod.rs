//! The owner of one loaded thread: carries out what its machine decides.
//!
//! One task, one inbox. It takes a message, a word of the model or a tool's answer, lets the machine decide, and carries
//! out the effects in order; nothing else happens to the thread meanwhile. It holds no lock and no queue of its own: the
//! model's stream is pulled, so that a thread that is busy slows its own model and nobody else.

mod approval;
mod asking;
mod attach;
mod catching_up;
mod client_tools;
mod compaction;
mod context;
mod cursor;
mod forking;
mod images;
mod injecting;
mod joining;
mod log;
#[cfg(test)]
mod long_tests;
mod manner;
mod message;
mod model_call;
mod model_error;
mod owner;
mod pages;
mod past;
mod raw;
mod recall;
mod reverting;
mod subscribers;
mod tools;
mod turns;
mod walk;

pub(crate) use asking::{Answered, Asking};
pub(crate) use client_tools::{ClientTool, registered};
pub(crate) use forking::{Cut, Forking};
pub(crate) use message::{Attach, ThreadHandle, ToThread};
pub(crate) use owner::{Origin, run};
pub(crate) use pages::{PageQuery, Picture, TurnsQuery};
pub(crate) use tools::{Caller, read_resource};
pub(crate) use walk::{Walk, WalkError};
