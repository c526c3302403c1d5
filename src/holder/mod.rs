//! The parent that does not die: it starts processes from plans, keeps their pidfds, pipes and exits, and keeps the
//! daemon running.
//! Owns: every child, and every fd that must outlive the daemon.
//! Never: decides anything about an app, which it has never heard of; starts a thread; imports anything but `sys`.
//! `protocol` is what the daemon speaks with it.

#![forbid(unsafe_code)]

mod codec;
mod keeper;
mod link;
pub mod plan;
pub mod protocol;
mod reexec;
mod request;
mod run;
mod stall;
mod start;
mod store;
mod systemd;
mod table;
mod wire;

pub use start::main;
