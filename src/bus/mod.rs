//! D-Bus, both ends: the interfaces that the daemon serves, and the client that `stead` is.
//! Owns: every name and type that crosses the bus. What `stead` can do, `busctl` can do.
//! Never: decides anything; the server turns a message into one call of `api::Handle` and its answer into a reply.

#![forbid(unsafe_code)]

mod app;
mod arguments;
mod begin;
pub mod error;
pub mod gate;
mod greeting;
mod instance;
pub mod job;
mod logcontrol;
pub mod manager;
mod objects;
pub mod options;
pub mod proxy;
pub mod server;
pub mod value;
pub mod wire;

/// The well-known name on the system bus.
pub const NAME: &str = "org.stead.Stead1";
/// The object that carries the manager.
pub const ROOT: &str = "/org/stead/Stead1";
/// The manager's interface.
pub const MANAGER: &str = "org.stead.Stead1.Manager";
/// The private socket's file name in the runtime directory.
pub const PRIVATE: &str = "private";

#[cfg(test)]
mod interface_tests;
