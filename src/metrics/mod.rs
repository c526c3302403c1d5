//! What instances use: memory, CPU, tasks, file descriptors.
//! Owns: reading it from cgroups and procfs when somebody asks, and the text in which machines are told.
//! Never: samples on a timer, keeps a history beyond what a CPU share needs, or decides about what it sees.

#![forbid(unsafe_code)]

pub mod exposition;
pub mod itself;
pub mod meter;
pub mod parse;
pub mod reader;
pub mod sampler;
pub mod share;
