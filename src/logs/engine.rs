//! Which pipe is looked at, and when; what follows from what was seen there.
//! Owns: the streams.
//! Never: waits for anything but a job of the appender and the epoll set, or moves a byte.

mod commands;
mod recover;
mod stream;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crate::model::spec::LogFormat;
use crate::model::time::{Mono, Now};
use crate::sys::pipe::pending;
use crate::sys::stream::{ReadSet, Readiness};

use super::capture::{Clock, Report, Reporter, StreamKey};
use super::desk::Shared;
use super::format::{app_stamp, format_end};
use super::pump::{Order, Outcome, Stop};
use super::sinks::Sinks;

use stream::{Piece, Readable, Source};

/// A piece of a line that has not grown for so long is written without its end.
const PIECE_AGE: Duration = Duration::from_secs(1);

pub(super) struct Engine {
    set: ReadSet,
    seen: Vec<Readiness>,
    sources: HashMap<u64, Source>,
    order: Vec<u64>,
    sinks: Sinks,
    shared: Arc<Shared>,
    clock: Clock,
    report: Reporter,
    /// Somebody called while the thread looked at pipes: the call is still to be taken.
    called: bool,
}

impl Engine {
    pub fn new(
        set: ReadSet,
        shared: Arc<Shared>,
        log_stall: Duration,
        clock: Clock,
        report: Reporter,
    ) -> io::Result<Self> {
        let sinks = Sinks::start(Arc::clone(&shared), log_stall, Arc::clone(&clock), Arc::clone(&report))?;
        Ok(Self {
            set,
            seen: Vec::new(),
            sources: HashMap::new(),
            order: Vec::new(),
            sinks,
            shared,
            clock,
            report,
            called: false,
        })
    }

    pub fn now(&self) -> Now {
        (self.clock)()
    }

    fn tell(&self, report: Report) {
        (self.report)(report);
    }

    /// Sleeps until there may be something to do.
    pub fn wait(&mut self, wake: u64) -> io::Result<()> {
        let now = self.now().mono;
        let due = self.sources.values().filter(|s| s.ready).map(|s| s.not_before.since(now)).min();
        // `gather` may have taken the wake-up of a command that came after the last were taken.
        let due = if self.called { Some(Duration::ZERO) } else { due };
        self.look_at_set(due, wake)?;
        self.called = false;
        Ok(())
    }

    /// Learns what is ready by now.
    pub fn gather(&mut self, wake: u64) -> io::Result<()> {
        self.look_at_set(Some(Duration::ZERO), wake)
    }

    fn look_at_set(&mut self, limit: Option<Duration>, wake: u64) -> io::Result<()> {
        let mut seen = std::mem::take(&mut self.seen);
        let result = self.set.wait(limit, &mut seen);
        for readiness in seen.drain(..) {
            if readiness.key == wake {
                // A failed read leaves the eventfd raised, which is told only once per write: no loop can come of it.
                let _ = self.shared.wake.read();
                self.called = true;
            } else if let Some(source) = self.sources.get_mut(&readiness.key) {
                source.ready = true;
                source.hung_up |= readiness.hung_up;
            }
        }
        self.seen = seen;
        result
    }

    pub fn has_work(&self) -> bool {
        let now = self.now().mono;
        self.sources.values().any(|s| s.ready && s.not_before <= now)
    }

    /// A turn for each stream that is ready. Returns how many bytes were taken.
    pub fn round(&mut self) -> u64 {
        let now = self.now().mono;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(self.sources.iter().filter(|(_, s)| s.ready && s.not_before <= now).map(|(key, _)| *key));
        let bytes = order.iter().map(|key| self.pump(*key)).sum();
        self.order = order;
        bytes
    }

    pub fn settle_late(&mut self) {
        self.sinks.settle_late();
    }

    fn close(&mut self, key: u64) -> bool {
        let Some(source) = self.sources.remove(&key) else { return false };
        // The set forgets the pipe by itself only when its last copy is closed, and the holder has one.
        let _ = self.set.remove(source.pipe.as_fd());
        self.sinks.leave(&source.target);
        true
    }

    /// Moves what a stream holds into its file, up to a turn. Returns how many bytes were taken out of the pipe.
    fn pump(&mut self, key: u64) -> u64 {
        let Some(source) = self.sources.get_mut(&key) else { return 0 };
        let Some(format) = self.sinks.format(&source.target) else {
            self.end(key);
            return 0;
        };
        let outcome = if format == LogFormat::None {
            // A file of what was spilled goes as a whole.
            let spilled = source.behind.is_some();
            let gone = if spilled { Ok(true) } else { self.shared.desk().trash.discard(source.pipe.as_fd()) };
            let stop = gone.map_or_else(Stop::Broken, |closed| if closed { Stop::Closed } else { Stop::Empty });
            Outcome { stop, ..Outcome::default() }
        } else {
            let Source { pipe, ino, stream, .. } = source;
            // At the end of a spill the line goes on in the pipe behind it, of which nothing is seen yet.
            let hung_up = source.hung_up && source.behind.is_none();
            let whole = source.piece.is_some_and(|piece| piece.stands || source.behind.is_some());
            let pipe = Arc::clone(pipe);
            let order = Order { pipe, ino: *ino, stream: *stream, format, hung_up, whole };
            self.sinks.pump(&source.target, order, &source.label)
        };
        if let Some(e) = self.shared.desk().trouble() {
            self.tell(Report::NoRecord { why: e.to_string() });
        }
        let taken = outcome.taken;
        self.settle(key, outcome);
        taken
    }

    /// What follows for the stream.
    fn settle(&mut self, key: u64, outcome: Outcome) {
        let now = self.now().mono;
        let Some(source) = self.sources.get_mut(&key) else { return };
        source.open_line = outcome.open.unwrap_or(source.open_line);
        let known = source.piece.take();
        // Asked of the pipe itself: what came while it was not empty may have told nobody.
        let standing = pending(source.pipe.as_fd()).unwrap_or(usize::MAX);
        source.ready = standing > 0;
        match outcome.stop {
            // Whether it is closed, too, shows at the next look.
            Stop::Empty => source.ready |= source.behind.is_some(),
            Stop::Turn => source.ready |= source.hung_up,
            Stop::Closed => self.unspill_or_end(key),
            Stop::Broken(e) => self.break_off(key, &e),
            // More came meanwhile.
            Stop::Piece(bytes) if outcome.taken > 0 && standing > bytes => {}
            Stop::Piece(bytes) => {
                let known = known.filter(|known| known.bytes == bytes);
                let since = known.map_or(now, |known| known.since);
                match self.stands(key, known.is_some(), now.since(since)) {
                    Ok(stands) => self.put_off(key, Piece { bytes, since, stands }, now),
                    Err(e) => self.break_off(key, &e),
                }
            }
        }
    }

    /// True: a piece of a line is to be written without its end.
    ///
    /// That is so when it has not grown for a while, a prompt for example: only an empty pipe can be waited for. A write to
    /// one that holds something wakes nobody until it is over, and it is never over if it is more than the pipe holds
    /// (pipe_write() of the kernel's fs/pipe.c).
    fn stands(&self, key: u64, known: bool, age: Duration) -> io::Result<bool> {
        let Some(source) = self.sources.get(&key).filter(|s| known && s.behind.is_none()) else { return Ok(false) };
        // Whether the writer is held up is asked only of a pipe that does not grow: the answer is dear.
        Ok(age >= PIECE_AGE || self.shared.desk().trash.is_crowded(source.pipe.as_fd())?)
    }

    /// A piece of a line waits in the pipe, where it is safe, for its end. To look again costs its length, so it is looked
    /// at the less often the longer it is, and has been there.
    fn put_off(&mut self, key: u64, piece: Piece, now: Mono) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        if !piece.stands {
            let age = now.since(piece.since);
            source.not_before = now + (age / 2).max(Duration::from_millis(1 + (piece.bytes as u64 >> 15)));
        }
        source.piece = Some(piece);
    }

    /// The stream is over: a line that was said to go on is ended.
    fn end(&mut self, key: u64) {
        if let Some(source) = self.sources.get(&key)
            && source.open_line
            && let Some(format) = self.sinks.format(&source.target)
        {
            let mut line = Vec::new();
            format_end(format, source.stream, app_stamp((self.clock)().wall), &mut line);
            if !line.is_empty() {
                self.sinks.append(&source.target, line, &source.label);
            }
        }
        if self.close(key) {
            self.tell(Report::Closed(StreamKey(key)));
        }
    }

    /// A pipe has come to its end: the stream goes on with the one behind it, if there is one.
    fn unspill_or_end(&mut self, key: u64) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let Some(Readable { file: pipe, ino }) = source.behind.take() else { return self.end(key) };
        (source.pipe, source.ino) = (pipe, ino);
        (source.ready, source.hung_up, source.piece, source.not_before) = (true, false, None, Mono(0));
        match self.set.add(source.pipe.as_fd(), key) {
            Ok(()) => self.tell(Report::Unspilled(StreamKey(key))),
            Err(e) => self.break_off(key, &e),
        }
    }

    fn break_off(&mut self, key: u64, why: &io::Error) {
        if self.close(key) {
            self.tell(Report::Broken { key: StreamKey(key), why: why.to_string() });
        }
    }

    pub fn give_up(&mut self, why: &io::Error) {
        for key in self.sources.keys() {
            self.tell(Report::Broken { key: StreamKey(*key), why: why.to_string() });
        }
    }
}
