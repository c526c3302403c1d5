//! What stead promises, without privileges and without I/O: scenarios, properties, snapshots.

mod cli;
mod config;
