//! How much a thread gets of the processors, and how many there are. Never: decides which.

use std::io;
use std::thread;

/// How many processors this process may use (sched_getaffinity(2) and its cgroup's quota).
pub fn cpus() -> u32 {
    thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// The calling thread runs only when nothing else wants to (sched(7), SCHED_IDLE).
pub fn only_when_idle() -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter outlives the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
