//! App output, from the pipe to the file and back to the reader.
//! Owns: the one thread that captures, the files and their rotation, the line formats, and following.
//! Never: decides which app runs, names another subsystem, or loses a line without saying so.
//!
//! `capture` is the thread's surface and loop, `engine` which pipe is looked at and when, `sinks` where lines go and what
//! is lost, `appender` the thread whose writes may hang, `pump` what it does, from a pipe to a file, and `batch` what of it
//! at once; `journal` stands in for a file where journald keeps the lines.
//! `desk` is what both threads use, one at a time: `trash`, the pipe that makes consuming exact, and `record`, what
//! survives the daemon. `file` and `rotate` are the files, `format` the bytes of a line, `archive` what becomes of
//! rotated ones; `source` reads one log with `search`, and `follow` merges many.

#![forbid(unsafe_code)]

mod appender;
pub mod archive;
mod batch;
pub mod capture;
mod desk;
mod engine;
pub mod file;
pub mod follow;
pub mod format;
pub mod journal;
mod pump;
pub mod record;
pub mod rotate;
mod search;
mod sinks;
pub mod source;
pub mod trash;
