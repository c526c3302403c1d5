//! The only place that reads a clock. Everything else gets the time as an argument.

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{Mono, Now, Wall};

/// CLOCK_BOOTTIME and CLOCK_REALTIME, as near to one moment as two calls can be.
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

pub fn mono() -> Mono {
    Mono(nanos(ClockId::CLOCK_BOOTTIME))
}

pub fn wall() -> Wall {
    Wall(nanos(ClockId::CLOCK_REALTIME))
}

fn nanos(clock: ClockId) -> u64 {
    // Both clocks exist since Linux 2.6.39, and the only error of clock_gettime(2) for them is an unknown clock.
    clock_gettime(clock).map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}
