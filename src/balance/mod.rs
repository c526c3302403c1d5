//! One port, many instances: what the kernel does about it, and how it is told.
//! Owns: the BPF programs and their maps, and which sockets of which run take new connections.
//! Never: decides who is routed, or which run a socket belongs to; the daemon knows both.
//!
//! `hooks` lets the instances of an app bind the same port and tells of every listen(2); `group` chooses among the
//! sockets of one address; `routes` is all groups of this host; `kept` is what stays when the daemon goes; `drain` says when a run without new connections is
//! done with those it has.

#![forbid(unsafe_code)]

pub mod drain;
pub mod group;
pub mod hooks;
pub mod kept;
pub mod object;
pub mod routes;
