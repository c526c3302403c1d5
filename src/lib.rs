//! stead, a process manager for Linux production hosts. README.md has the architecture; start reading at `core`.

pub mod api;
pub mod balance;
pub mod bus;
pub mod cli;
pub mod config;
pub mod core;
pub mod daemon;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod holder;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod sys;
pub mod tui;
pub mod web;
