//! The daemon's life as the holder sees it: started, dead, started again.
//! Owns: what a death means, which is nothing for the apps, and the words about it.
//! Never: gives up while there is anything to keep.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::epoll::{EpollFlags, EpollTimeout};

use super::keeper::Phase;
use super::protocol::{Exit, Message, VERSION};
use super::reexec::Upgrade;
use super::run::{Holder, Source};
use super::say::say;

/// Where even a timer cannot be had.
const RETRY_MS: u16 = 1000;

impl Holder {
    pub(super) fn start_daemon(&mut self) -> Result<(), String> {
        self.drop_timer();
        self.forget_question();
        self.keeper.start(self.null.as_fd())?;
        self.interest = EpollFlags::EPOLLIN;
        if let Some(running) = &self.keeper.running {
            let link = self.watch(running.link.as_fd(), Source::Link);
            let watched = link.and_then(|()| self.watch(running.child.pidfd.as_fd(), Source::Daemon));
            if let Err(error) = watched {
                self.keeper.kill();
                // From here on it is an orphan, and is reaped as one.
                self.keeper.running = None;
                return Err(format!("cannot watch the daemon: {error}"));
            }
        }
        self.watch_timer();
        self.tell(&Message::Hello { version: VERSION });
        if self.terminating {
            self.tell(&Message::Terminate);
        }
        Ok(())
    }

    /// A timer that cannot be watched leaves the daemon in its phase, which costs a delay at its next death.
    pub(super) fn watch_timer(&self) {
        if let Some(timer) = &self.keeper.timer {
            let _ = self.watch(timer, Source::Timer);
        }
    }

    /// Closing is not enough to end a watch: a child that has not come to its exec yet holds a copy of every fd.
    pub(super) fn drop_timer(&mut self) {
        if let Some(timer) = self.keeper.timer.take() {
            let _ = self.epoll.delete(&timer);
        }
    }

    pub(super) fn on_daemon_death(&mut self) -> Result<Option<u8>, String> {
        // Its last words may still be unread, `Quit` among them.
        while self.on_link(EpollFlags::EPOLLIN) {}
        let exec_error = self.keeper.exec_error();
        if let Some(running) = &self.keeper.running {
            let _ = self.epoll.delete(running.link.as_fd());
            let _ = self.epoll.delete(running.child.pidfd.as_fd());
        }
        let Some(exit) = self.keeper.bury() else { return Ok(None) };
        if matches!(self.upgrade, Upgrade::Offered(_)) {
            return Ok(None);
        }
        if self.keeper.phase == Phase::Leaving {
            return Ok(Some(0));
        }
        if self.keeper.served && exit == Exit::Code(0) && !self.table.any_alive() {
            // It came to its end as it should, though its farewell was lost.
            return Ok(Some(0));
        }
        let nothing_to_keep = self.table.0.is_empty();
        if nothing_to_keep && !self.keeper.served {
            // It gave up before it was of any use: what it has to say is for whoever started us.
            match (exec_error, exit) {
                (Some(error), _) => return Err(error),
                (None, Exit::Code(code)) => return Ok(Some(code.clamp(1, 255) as u8)),
                (None, Exit::Signal { .. } | Exit::Unknown) => {}
            }
        } else if let Some(error) = exec_error {
            say!("{error}");
        }
        if self.terminating && nothing_to_keep {
            return Ok(Some(0));
        }
        let how = match exit {
            Exit::Code(code) => format!("exited with code {code}"),
            Exit::Signal { signal, .. } => format!("was killed by signal {signal}"),
            Exit::Unknown => "has ended".to_owned(),
        };
        match self.keeper.next_delay() {
            None => {
                say!("the daemon {how}; starting it again");
                self.restart_daemon();
            }
            Some(delay) => {
                say!("the daemon {how}; starting it again in {} ms", delay.as_millis());
                self.wait_to_restart(delay);
            }
        }
        Ok(None)
    }

    pub(super) fn restart_daemon(&mut self) {
        if let Err(error) = self.start_daemon() {
            say!("{error}");
            let delay = self.keeper.next_delay().unwrap_or(Duration::from_millis(RETRY_MS.into()));
            self.wait_to_restart(delay);
        }
    }

    fn wait_to_restart(&mut self, delay: Duration) {
        self.drop_timer();
        // Without a timer, `patience` sees to it.
        let _ = self.keeper.wait(delay);
        self.watch_timer();
    }

    /// For ever, but for the case that there is no daemon and not even a timer to start it by.
    pub(super) fn patience(&self) -> EpollTimeout {
        match (&self.keeper.running, &self.keeper.timer) {
            (None, None) => EpollTimeout::from(RETRY_MS),
            _ => EpollTimeout::NONE,
        }
    }

    pub(super) fn on_timer(&mut self) -> Result<Option<u8>, String> {
        self.drop_timer();
        match self.keeper.phase {
            Phase::Young => self.keeper.settle(),
            Phase::Waiting => self.restart_daemon(),
            Phase::Leaving => {
                self.keeper.kill();
                return Ok(Some(0));
            }
            Phase::Settled => {}
        }
        Ok(None)
    }
}
