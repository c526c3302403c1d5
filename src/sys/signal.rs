//! Signal dispositions of this process.
//! Owns: undoing what whoever started us had set.
//! Never: installs a handler.

use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Every signal back to its default, save SIGPIPE, which is ignored. An ignored SIGCHLD, inherited, would make the kernel
/// reap our children before we hear of them.
pub fn reset_inherited() -> io::Result<()> {
    for signal in Signal::iterator() {
        let handler = match signal {
            Signal::SIGKILL | Signal::SIGSTOP => continue,
            Signal::SIGPIPE => SigHandler::SigIgn,
            _ => SigHandler::SigDfl,
        };
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler function is installed.
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}
