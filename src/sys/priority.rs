//! How much a thread gets of the processor. Never: decides which.

use std::io;

/// The calling thread runs only when nothing else wants to (sched(7), SCHED_IDLE).
pub fn only_when_idle() -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter outlives the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
