//! `verger` from outside: a real server, real helpers, real clients. What a test believes about processes comes from
//! the kernel; what it believes about threads comes over the wire.

#![forbid(unsafe_code)]

mod approvals;
mod budgets;
mod client_tools;
mod clients;
mod close;
mod compaction;
mod config;
mod config_files;
mod containment;
mod crashes;
mod crowd;
mod elicitation;
mod errors;
mod forks;
mod helper_faults;
mod helper_life;
mod images;
mod init;
mod injecting;
mod interrupt;
mod kill;
mod labels;
mod listener;
mod lists;
mod load;
mod local_answers;
mod matrix;
mod order;
mod overrides;
mod pages;
mod probes;
mod protocol;
mod relay;
mod repeated;
mod replay;
mod restart;
mod reverts;
mod slow;
mod stage;
mod stdio;
mod steering;
mod storms;
mod supervision;
mod sweeps;
mod switch;
mod switches;
mod thoughts;
mod threads;
mod three_runs;
mod tokens;
mod two_daemons;
mod unix_socket;
mod wires;
