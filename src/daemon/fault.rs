//! A daemon, or its holder, that is killed where a test wants it to be.
//! Owns: counting the places. Never: does anything unless STEAD_FAULTS is in the environment.
//!
//! A number in the file `fault` of the runtime directory arms it: that many places later, the daemon is killed as if by
//! `kill -9`, and the file is gone; with the word `holder` behind the number it is the holder. A daemon that comes after it
//! is not armed. If the file is still there at the end, the places were fewer.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::getppid;

#[derive(Debug)]
pub struct Fault(Option<PathBuf>);

impl Fault {
    pub fn from_env(runtime: &Path) -> Self {
        Self(std::env::var_os("STEAD_FAULTS").map(|_| runtime.join("fault")))
    }

    /// Between any two of these lies one thing that outlives the daemon.
    pub fn place(&self) {
        let Some(path) = &self.0 else { return };
        let Ok(text) = fs::read_to_string(path) else { return };
        let (number, victim) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let Ok(left) = number.parse::<u64>() else { return };
        if left > 1 {
            // A test that cannot count fails by itself.
            let _ = fs::write(path, format!("{} {victim}", left - 1));
            return;
        }
        let _ = fs::remove_file(path);
        let _ = match victim {
            "holder" => kill(getppid(), Signal::SIGKILL),
            _ => raise(Signal::SIGKILL),
        };
    }
}
