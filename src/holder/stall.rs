//! A daemon that stands still.
//! Owns: the one sign of it: an exit that it has been told of and does not acknowledge, while it acknowledges no other.
//! Never: asks it anything. At rest nothing is owed, and there is no timer.

use std::io;
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::run::{Holder, Source};
use super::say::say;
use crate::sys::timer::Timer;

/// A healthy daemon takes a millisecond. One that is held in a debugger for longer is held in vain.
const PATIENCE: Duration = Duration::from_secs(30);

/// For tests: the patience in milliseconds.
const VARIABLE: &str = "STEAD_HOLDER_PATIENCE_MS";

pub struct Stall {
    patience: Duration,
    owed: usize,
    acknowledged: u64,
    /// There while something is owed, with what had been acknowledged when it was set.
    timer: Option<(Timer, u64)>,
}

impl Stall {
    /// `owed`: exits that a daemon before has not acknowledged.
    pub fn from_environment(owed: usize) -> Stall {
        let asked = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        Stall { patience: asked.map_or(PATIENCE, Duration::from_millis), owed, acknowledged: 0, timer: None }
    }

    /// The daemon is told of an exit.
    pub fn owe(&mut self) {
        self.owed += 1;
    }

    /// The daemon has dealt with an exit.
    pub fn acknowledge(&mut self) {
        self.owed = self.owed.saturating_sub(1);
        self.acknowledged += 1;
    }

    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// Sets the limit, if there is none. The timer, if it is new and is to be watched.
    pub fn limit(&mut self) -> io::Result<Option<&Timer>> {
        if self.timer.is_some() {
            return Ok(None);
        }
        let timer = Timer::after(self.patience)?;
        Ok(Some(&self.timer.insert((timer, self.acknowledged)).0))
    }

    /// Nothing is owed any more. The timer, which is to be watched no longer.
    pub fn settle(&mut self) -> Option<Timer> {
        self.timer.take().map(|(timer, _)| timer)
    }

    /// The timer has fired: whether nothing at all was acknowledged since it was set.
    pub fn stands_still(&self) -> bool {
        self.timer.as_ref().is_some_and(|(_, acknowledged)| *acknowledged == self.acknowledged)
    }

    pub fn patience(&self) -> Duration {
        self.patience
    }
}

impl Holder {
    /// Sets a limit to how long the daemon may owe the acknowledgement of an exit.
    pub(super) fn watch_stall(&mut self) {
        if self.keeper.running.is_some() && self.stall.is_owed() {
            // Without a timer it is trusted.
            if let Ok(Some(timer)) = self.stall.limit() {
                let _ = self.epoll.add(timer, EpollEvent::new(EpollFlags::EPOLLIN, Source::Stall.to_u64()));
            }
        } else {
            self.drop_stall_timer();
        }
    }

    fn drop_stall_timer(&mut self) {
        if let Some(timer) = self.stall.settle() {
            let _ = self.epoll.delete(&timer);
        }
    }

    pub(super) fn on_stall(&mut self) {
        if self.stall.stands_still() {
            let patience = self.stall.patience().as_secs_f32();
            say!("the daemon has not answered for {patience} s: it is killed, and started again");
            self.keeper.kill();
        }
        self.drop_stall_timer();
    }
}
