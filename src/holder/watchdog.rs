//! The watchdog: systemd hears from the holder while the daemon answers it.
//! Owns: the one timer there is at rest, and it only where the unit has a WatchdogSec.
//! Never: lets systemd end the holder for a daemon that is dead: to start it again is what the holder is there for.

use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::protocol::Message;
use super::run::{Holder, Source};
use super::say::say;
use crate::sys::timer::Timer;

#[derive(Default)]
pub struct Watchdog {
    every: Option<Duration>,
    timer: Option<Timer>,
    /// The daemon has been asked, and has not answered.
    asked: bool,
}

impl Watchdog {
    pub fn from_environment() -> Watchdog {
        let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = variable("WATCHDOG_USEC").filter(|limit| ours && *limit > 0).map(Duration::from_micros);
        // Twice in its time (sd_watchdog_enabled(3)).
        Watchdog { every: limit.map(|limit| limit / 2), ..Watchdog::default() }
    }
}

impl Holder {
    /// Sets the next beat, if systemd wants any.
    pub(super) fn wind_watchdog(&mut self) {
        let Some(every) = self.watchdog.every else { return };
        if let Some(timer) = self.watchdog.timer.take() {
            let _ = self.epoll.delete(&timer);
        }
        // Without a timer systemd will start us again, which harms nobody.
        let Ok(timer) = Timer::after(every) else { return };
        let _ = self.epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, Source::Beat.to_u64()));
        self.watchdog.timer = Some(timer);
    }

    pub(super) fn on_beat(&mut self) {
        self.wind_watchdog();
        if self.keeper.running.is_none() {
            let status = self.status();
            self.systemd.alive(&status);
        } else if std::mem::replace(&mut self.watchdog.asked, true) {
            let every = self.watchdog.every.unwrap_or_default().as_secs_f32();
            say!("the daemon has not answered for {every} s: it is killed, and started again");
            self.keeper.kill();
        } else {
            self.tell(&Message::Ping);
        }
    }

    /// The daemon has answered.
    pub(super) fn on_pong(&mut self) {
        if std::mem::take(&mut self.watchdog.asked) {
            let status = self.status();
            self.systemd.alive(&status);
        }
    }

    /// A daemon is new, and has been asked nothing.
    pub(super) fn forget_question(&mut self) {
        self.watchdog.asked = false;
    }

    /// For people who ask systemctl.
    pub(super) fn status(&self) -> String {
        let alive = self.table.0.values().filter(|proc| proc.is_alive()).count();
        let processes = if alive == 1 { "1 process".to_owned() } else { format!("{alive} processes") };
        match self.keeper.running {
            Some(_) => format!("{processes} kept running"),
            None => format!("{processes} run on; the daemon is being started again"),
        }
    }
}
