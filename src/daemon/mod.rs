//! steadd: the shell around the core.
//! Owns: start-up, and which part meets which. Never: a decision of its own.

#![forbid(unsafe_code)]
// They panic where nobody takes what is printed.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod account;
mod adopt;
mod asks;
mod boot;
mod calendar;
mod clock;
mod describe;
mod doctor;
mod drain;
mod driver;
mod endpoint;
mod environment;
mod executor;
mod exits;
mod expose;
mod fault;
mod ipc;
mod journal;
mod left;
mod link;
mod listen;
mod measure;
mod memory;
mod mode;
mod news;
mod notify;
mod output;
mod passed;
mod pidfile;
mod privileges;
mod probe;
mod program;
mod readiness;
mod remember;
mod runtime;
mod sandbox;
mod saved;
mod seccomp;
mod sharing;
mod sockets;
mod spawn;
mod specs;
mod start;
mod store;
mod told;
mod traffic;
mod tree;
mod watched;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz {
    //! Doors for `crate::fuzz`.

    use std::os::fd::AsFd;

    use super::driver::OnDisk;
    use super::runtime::RuntimeFile;
    use super::{ipc, notify, remember};
    use crate::core::Desired;
    use crate::sys::memfd;

    pub fn notify(data: &[u8]) {
        let _ = notify::says_ready(data);
        let _ = notify::run_of(&String::from_utf8_lossy(data), "/stead");
    }

    pub fn ipc(data: &[u8]) {
        let _ = ipc::is_ready(data);
    }

    /// The state file's content, without its version.
    pub fn on_disk(data: &[u8]) -> Option<Desired> {
        serde_json::from_slice::<OnDisk>(data).ok().map(|on_disk| on_disk.world)
    }

    /// The memfd that the holder keeps.
    pub fn kept_in_memory(data: &[u8]) {
        let Ok(fd) = memfd::growing("stead-fuzz") else { return };
        if memfd::write_all(fd.as_fd(), data).is_ok()
            && let Ok(file) = RuntimeFile::open(fd)
        {
            remember::read_for_fuzzing(&file);
        }
    }
}

pub use start::main;
