//! App output, from the pipe to the file and back to the reader.
//! Owns: the one thread that captures, the files and their rotation, the line formats, and following.
//! Never: decides which app runs, names another subsystem, or loses a line without saying so.
//!
//! `capture` is the thread's surface and loop, `engine` one look at one stream, `trash` the pipe that makes consuming
//! exact, `record` what survives the daemon, `sinks` where lines go and what is lost, `appender` the thread whose writes may hang, `file` and `rotate` the files,
//! `format` the bytes of a line, `source` reading one file and its rotated elders, `follow` merging many.

#![forbid(unsafe_code)]

mod appender;
pub mod capture;
mod engine;
pub mod file;
pub mod follow;
pub mod format;
pub mod record;
pub mod rotate;
mod sinks;
pub mod source;
pub mod trash;
