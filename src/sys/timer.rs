//! A timer that fires once.
//! Owns: the timerfd. Never: reads a clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Readable once its time has come, and until it is dropped.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    pub fn after(delay: Duration) -> io::Result<Timer> {
        // SAFETY: integers only; the fd is new and ours.
        let timer = unsafe {
            let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let at = libc::timespec {
            tv_sec: libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX),
            // Zero would disarm it.
            tv_nsec: libc::c_long::from(delay.subsec_nanos().max(1)),
        };
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: never, it_value: at };
        // SAFETY: `spec` outlives the call, and the old value is not asked for.
        if unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const spec, ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Timer(timer))
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
