//! A timer on the host's clock, which may be set.
//! Owns: the timerfd, and that a clock that is set rings it. Never: reads a clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::read;

/// Readable when its time has come, and when the clock was set or the host woke up while it waits for one.
#[derive(Debug)]
pub struct WallTimer(TimerFd);

/// Why it was readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rang {
    TimeHasCome,
    ClockWasSet,
    /// It was not.
    Nothing,
}

impl WallTimer {
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self(TimerFd::new(ClockId::CLOCK_REALTIME, flags)?))
    }

    /// `at` is since 1970; None: it waits for nothing.
    pub fn set(&self, at: Option<Duration>) -> io::Result<()> {
        match at {
            // timerfd_create(2): such a timer is told of a clock that is set, too, by ECANCELED.
            Some(at) => {
                let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
                Ok(self.0.set(Expiration::OneShot(TimeSpec::from_duration(at)), flags)?)
            }
            None => Ok(self.0.unset()?),
        }
    }

    pub fn rang(&self) -> io::Result<Rang> {
        let mut count = [0; 8];
        match read(self.0.as_fd(), &mut count) {
            Ok(_) => Ok(Rang::TimeHasCome),
            Err(Errno::ECANCELED) => Ok(Rang::ClockWasSet),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Rang::Nothing),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsRawFd for WallTimer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl From<WallTimer> for OwnedFd {
    fn from(timer: WallTimer) -> OwnedFd {
        timer.0.into()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn rings(timer: &WallTimer, patience: PollTimeout) -> bool {
        poll(&mut [PollFd::new(timer.0.as_fd(), PollFlags::POLLIN)], patience).unwrap() == 1
    }

    #[test]
    fn a_time_that_has_passed_rings_at_once_and_one_that_is_unset_never() {
        let timer = WallTimer::new().unwrap();
        assert_eq!(timer.rang().unwrap(), Rang::Nothing);
        timer.set(Some(Duration::from_secs(1_000_000_000))).unwrap();
        assert!(rings(&timer, PollTimeout::from(10_000_u16)));
        assert_eq!(timer.rang().unwrap(), Rang::TimeHasCome);
        timer.set(Some(Duration::from_secs(1_000_000_000))).unwrap();
        timer.set(None).unwrap();
        assert!(!rings(&timer, PollTimeout::ZERO));
    }
}
