//! The brain: one synchronous state machine, `World::step`.
//! Owns: every decision about what runs, when, and in whose place.
//! Never: a clock, a file, a socket, a task, a log line. Facts go in as `Event`s, wishes come out as `Effect`s.

#![forbid(unsafe_code)]

pub mod app;
pub mod effect;
pub mod event;
pub mod plan;
pub mod state;
pub mod store;
pub mod world;

mod admission;
mod deadlines;
mod death;
mod eviction;
mod instance;
mod jitter;
mod jobs;
mod moves;
mod requests;
mod restart;
mod selection;
mod slots;
mod snapshot;
mod timer;
mod turn;
mod up;

pub use effect::Effect;
pub use event::Event;
pub use plan::{PlanAction, PlanLine};
pub use state::State;
pub use store::{Desired, Head, Part, Runtime};
pub use world::{KnownProc, World};
