//! Output while there is no daemon: a pipe that fills would hold its app up, so the holder empties it.
//! Owns: a file in memory for each stream that needs one, and how much all of them may hold.
//! Never: touches a stream while a daemon is there, which alone knows how far it has come; or reads what it moves.
//!
//! What was spilled is older than what stands in the app's pipe. The next daemon reads it first, and as it reads a pipe: the
//! offset of the file, which both have in common, says how far. So each byte is in the log once, whatever dies. It is our
//! memory and not the app's, against whose limit it must not count.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::protocol::Stream;
use super::run::{Holder, Source};
use super::say::say;
use super::table::{Proc, Table};
use crate::sys::memfd;
use crate::sys::pipe::{capacity, move_to_file, pending};
use crate::sys::timer::Timer;

/// How often the pipes are looked at: one that was half full is not full by then at four megabytes a second.
const PERIOD: Duration = Duration::from_millis(100);
/// One that holds so much leaves its app to wait, as a full pipe does.
const LARGEST: u64 = 16 << 20;
/// All of them together.
const TOTAL: u64 = 256 << 20;

/// A stream, and what it is spilled into.
const SPILLS: [(Stream, Stream); 2] = [(Stream::Stdout, Stream::SpilledOut), (Stream::Stderr, Stream::SpilledErr)];

#[derive(Default)]
pub struct Spill {
    timer: Option<Timer>,
    told: bool,
}

impl Holder {
    /// Has the pipes looked at now and then, for as long as there is no daemon.
    pub(super) fn watch_spill(&mut self) {
        match (&self.keeper.running, &self.spill.timer) {
            (None, None) => self.wind_spill(),
            (Some(_), Some(_)) => self.drop_spill_timer(),
            _ => {}
        }
    }

    fn wind_spill(&mut self) {
        // Without a timer a pipe may fill, and its app waits until the daemon is back.
        let Ok(timer) = Timer::after(PERIOD) else { return };
        let _ = self.epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, Source::Spill.to_u64()));
        self.spill.timer = Some(timer);
    }

    fn drop_spill_timer(&mut self) {
        if let Some(timer) = self.spill.timer.take() {
            let _ = self.epoll.delete(&timer);
        }
    }

    pub(super) fn on_spill(&mut self) {
        self.drop_spill_timer();
        if self.keeper.running.is_some() {
            return;
        }
        let mut room = TOTAL.saturating_sub(spilled(&self.table));
        for (token, proc) in &mut self.table.0 {
            for (from, to) in SPILLS {
                let begun = proc.streams[to as usize].is_some();
                match proc.spill(from, to, &mut room) {
                    Ok(0) => {}
                    Ok(_) if std::mem::replace(&mut self.spill.told, true) => {}
                    Ok(_) => say!("there is no daemon: what apps print is kept until it is back, up to 16 MiB of each"),
                    Err(error) => say!("the output of process {} cannot be kept: {error}", proc.pid),
                }
                if let (false, Some(spill)) = (begun, &proc.streams[to as usize]) {
                    self.systemd.keep_stream(*token, to as usize, spill);
                }
            }
        }
        self.wind_spill();
    }

    /// A daemon serves.
    pub(super) fn forget_spill(&mut self) {
        self.spill.told = false;
    }
}

/// How much all spills hold.
fn spilled(table: &Table) -> u64 {
    let spills =
        |proc: &Proc| SPILLS.iter().filter_map(|(_, to)| len(proc.streams[*to as usize].as_ref()?)).sum::<u64>();
    table.0.values().map(spills).sum()
}

fn len(spill: &Rc<OwnedFd>) -> Option<u64> {
    Some(File::from(spill.try_clone().ok()?).metadata().ok()?.len())
}

impl Proc {
    /// Moves what stands in a pipe that is half full: all of it, for a daemon that died in a batch finds its bytes either
    /// here or there. Returns how much that was.
    fn spill(&mut self, from: Stream, to: Stream, room: &mut u64) -> io::Result<usize> {
        let Some(pipe) = self.streams[from as usize].clone() else { return Ok(0) };
        let (standing, size) = (pending(pipe.as_fd())?, capacity(pipe.as_fd())?);
        let held = self.streams[to as usize].as_ref().and_then(len).unwrap_or(0);
        if standing < size / 2 || standing as u64 > (*room).min(LARGEST.saturating_sub(held)) {
            return Ok(0);
        }
        let spill = match &self.streams[to as usize] {
            Some(spill) => Rc::clone(spill),
            None => {
                let spill = Rc::new(memfd::growing("stead-spill")?);
                Rc::clone(self.streams[to as usize].insert(spill))
            }
        };
        let moved = move_to_file(pipe.as_fd(), &File::from(spill.try_clone()?), standing)?;
        *room = room.saturating_sub(moved as u64);
        Ok(moved)
    }
}
