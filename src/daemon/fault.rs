//! A daemon that is killed where a test wants it to be.
//! Owns: counting the places. Never: does anything unless STEAD_FAULTS is in the environment.
//!
//! A number in the file `fault` of the runtime directory arms it: that many places later, the daemon is killed as if by
//! `kill -9`, and the file is gone. A daemon that comes after it is not armed. If the file is still there at the end, the
//! places were fewer.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, raise};

#[derive(Debug)]
pub struct Fault(Option<PathBuf>);

impl Fault {
    pub fn from_env(runtime: &Path) -> Self {
        Self(std::env::var_os("STEAD_FAULTS").map(|_| runtime.join("fault")))
    }

    /// Between any two of these lies one thing that outlives the daemon.
    pub fn place(&self) {
        let Some(path) = &self.0 else { return };
        let Some(left) = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok()) else { return };
        if left > 1 {
            // A test that cannot count fails by itself.
            let _ = fs::write(path, (left - 1).to_string());
            return;
        }
        let _ = fs::remove_file(path);
        let _ = raise(Signal::SIGKILL);
    }
}
