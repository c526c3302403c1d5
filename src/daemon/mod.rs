//! steadd: the shell around the core.
//! Owns: start-up, and which part meets which. Never: a decision of its own.

#![forbid(unsafe_code)]

mod account;
mod adopt;
mod asks;
mod clock;
mod describe;
mod doctor;
mod drain;
mod driver;
mod environment;
mod executor;
mod exits;
mod fault;
mod ipc;
mod left;
mod link;
mod listen;
mod measure;
mod memory;
mod mode;
mod news;
mod notify;
mod output;
mod passed;
mod probe;
mod program;
mod readiness;
mod remember;
mod runtime;
mod sharing;
mod sockets;
mod spawn;
mod start;
mod store;
mod told;
mod traffic;
mod tree;
mod watched;

pub use start::main;
