//! What the holder has to say, on standard error.
//! Owns: that it can never die of it. `eprintln!` panics where standard error cannot be written, as a log file on a disk
//! that is full.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;

/// One line, lost if nobody takes it.
pub fn line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "stead-holder: {text}");
}

/// What somebody asked for, on standard output.
pub fn out(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

macro_rules! say {
    ($($text:tt)*) => { crate::holder::say::line(format_args!($($text)*)) };
}

pub(super) use say;
