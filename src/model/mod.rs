//! The words everyone shares: ids, selectors, quantities, time, signals, exits, specs, requests and status.
//! Owns: the types that cross a module boundary and the one parser of each.
//! Never: does I/O, reads a clock, or imports anything else of this crate.

#![forbid(unsafe_code)]

pub mod exit;
pub mod human;
pub mod ids;
pub mod listen;
pub mod logframe;
pub mod quantity;
pub mod request;
pub mod sandbox;
pub mod selector;
pub mod signal;
pub mod spec;
pub mod status;
pub mod time;
pub mod times;
