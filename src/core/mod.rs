//! The brain: one synchronous state machine, `World::step`.
//! Owns: every decision about what runs, when, and in whose place.
//! Never: a clock, a file, a socket, a task, a log line. Facts go in as `Event`s, wishes come out as `Effect`s.

#![forbid(unsafe_code)]

pub mod effect;
pub mod event;
