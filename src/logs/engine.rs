//! Looking at a pipe, writing what is there, and taking it out: once each, whatever dies in between.
//! Owns: the streams, and what is written when.
//! Never: waits for anything but an append and the epoll set.
//!
//! look (tee) → format → record *append* → write → record *consume* → take out (splice) → record *idle* → empty the trash

mod recover;
mod stream;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use memchr::memrchr;

use crate::model::spec::LogFormat;
use crate::model::time::{Mono, Now};
use crate::sys::pipe::pending;
use crate::sys::stream::{ReadSet, Readiness};

use super::appender::Shared;
use super::capture::{Clock, Command, Event, Report, Reporter, Stream, StreamKey};
use super::format::{PIECE_MAX, Tail, app_stamp, format_batch, format_end, format_event};
use super::record::{FileId, Phase, Record};
use super::sinks::Sinks;
use super::trash::{Look, Trash};

use stream::{Flight, Piece, Prepared, Seen, Source, Then};

/// The most that is taken at once: a part of a pipe, so that the app fills the rest meanwhile, and little enough that bytes
/// and lines stay in a core's cache from the look to the write.
const BATCH: usize = 256 << 10;
/// A piece of a line that has not grown for so long is written without its end.
const PIECE_AGE: Duration = Duration::from_secs(1);
/// What its end is given to come before anybody looks again.
const PIECE_PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Engine {
    set: ReadSet,
    seen: Vec<Readiness>,
    sources: HashMap<u64, Source>,
    order: Vec<u64>,
    flight: Option<Flight>,
    sinks: Sinks,
    trash: Trash,
    shared: Arc<Shared>,
    clock: Clock,
    report: Reporter,
    buffer: Vec<u8>,
    record_failed: bool,
    /// Somebody called while the thread looked at pipes: the call is still to be taken.
    called: bool,
}

impl Engine {
    pub fn new(
        set: ReadSet,
        trash: Trash,
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
            flight: None,
            sinks,
            trash,
            shared,
            clock,
            report,
            buffer: vec![0; BATCH],
            record_failed: false,
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

    /// One batch of each stream that is ready. While one is being written, the next is looked at and formatted. Returns
    /// how many bytes were taken.
    pub fn round(&mut self) -> u64 {
        let now = self.now().mono;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(self.sources.iter().filter(|(_, s)| s.ready && s.not_before <= now).map(|(key, _)| *key));
        let mut bytes = 0;
        for key in &order {
            let next = self.prepare(*key);
            bytes += self.land();
            self.launch(next);
        }
        self.order = order;
        bytes + self.land()
    }

    pub fn settle_late(&mut self) {
        self.sinks.settle_late();
    }

    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Add(stream) => self.add(stream),
            Command::Remove(StreamKey(key)) => {
                self.close(key);
            }
            Command::Finish(StreamKey(key)) => self.finish(key),
            Command::Write(events) => self.write(events),
            Command::Flush { app, outside, done } => {
                let result = self.sinks.flush(&app, &outside);
                // Who asked may have gone meanwhile.
                let _ = done.send(result);
            }
            Command::Reopen => self.sinks.reopen(),
            Command::Sync(done) => {
                self.drain(|_| true);
                let _ = done.send(());
            }
            Command::Stop => {}
        }
    }

    fn add(&mut self, stream: Stream) {
        let Stream { key: StreamKey(key), pipe, stream, label, target } = stream;
        let pipe = File::from(pipe);
        let known = pipe.metadata().and_then(|seen| self.set.add(pipe.as_fd(), key).map(|()| seen.ino()));
        let ino = match known {
            Ok(ino) => ino,
            Err(e) => return self.tell(Report::Broken { key: StreamKey(key), why: e.to_string() }),
        };
        self.sinks.open(&target, 1);
        let target = target.place.to_string();
        let source = Source {
            pipe,
            ino,
            stream,
            label,
            target,
            ready: true,
            hung_up: false,
            open_line: false,
            not_before: Mono(0),
            piece: None,
        };
        self.sources.insert(key, source);
    }

    fn close(&mut self, key: u64) -> bool {
        let Some(source) = self.sources.remove(&key) else { return false };
        // The set forgets the pipe by itself only when its last copy is closed, and the holder has one.
        let _ = self.set.remove(source.pipe.as_fd());
        self.sinks.leave(&source.target);
        true
    }

    /// Writes what the chosen streams hold by now, up to a piece of a line. Who writes faster than this is not waited for.
    fn drain(&mut self, chosen: impl Fn(&Source) -> bool) {
        let keys: Vec<u64> = self.sources.iter().filter(|(_, s)| chosen(s)).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(source) = self.sources.get_mut(&key) {
                source.ready = true;
            }
            for _ in 0..64 {
                if !self.sources.get(&key).is_some_and(|s| s.ready) {
                    break;
                }
                self.pump(key);
            }
        }
    }

    /// Events of one target go into its file by one append; those that stand together do so in practice.
    fn write(&mut self, events: Vec<Event>) {
        for events in events.chunk_by(|a, b| Arc::ptr_eq(&a.target, &b.target)) {
            let target = Arc::clone(&events[0].target);
            let name = target.place.to_string();
            self.drain(|source| source.target == name);
            self.sinks.open(&target, 0);
            let mut lines = Vec::new();
            for event in events {
                format_event(target.format, event.at, &event.text, false, &mut lines);
            }
            if !lines.is_empty() {
                self.sinks.append(&name, lines, None, "stead");
            }
            self.sinks.close_if_unused(&name);
        }
    }

    /// Writes what the stream holds, and closes it even if somebody outside still has the pipe open for writing.
    fn finish(&mut self, key: u64) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        source.hung_up = true;
        source.ready = true;
        // More than this is only there if somebody who does not belong to the app goes on writing.
        for _ in 0..64 {
            if !self.sources.get(&key).is_some_and(|s| s.ready) {
                break;
            }
            self.pump(key);
        }
        if self.sources.contains_key(&key) {
            self.end(key);
        }
    }

    /// Writes one batch of one stream.
    fn pump(&mut self, key: u64) {
        let next = self.prepare(key);
        self.launch(next);
        self.land();
    }

    /// Looks at a stream and formats its next batch. None: there is none, or the stream is over and closed.
    fn prepare(&mut self, key: u64) -> Option<Prepared> {
        let mut source = self.sources.remove(&key)?;
        let seen = self.prepare_source(key, &mut source);
        self.sources.insert(key, source);
        match seen {
            Ok(Seen::Batch(prepared)) => return Some(prepared),
            Ok(Seen::Nothing) => {}
            Ok(Seen::End) => self.end(key),
            Err(e) => self.break_off(key, &e),
        }
        None
    }

    fn prepare_source(&mut self, key: u64, source: &mut Source) -> io::Result<Seen> {
        let Some((format, room)) = self.sinks.plan(&source.target) else { return Ok(Seen::End) };
        if format == LogFormat::None {
            source.ready = false;
            return Ok(if self.trash.discard(source.pipe.as_fd())? { Seen::End } else { Seen::Nothing });
        }
        let (seen, more) = match self.trash.look(source.pipe.as_fd(), &mut self.buffer)? {
            Look::Bytes { len, more } => (len, more),
            Look::Closed => return Ok(Seen::End),
            Look::Empty => {
                source.ready = false;
                return Ok(Seen::Nothing);
            }
        };
        let last = source.hung_up && !more;
        let now = self.now();
        let Some((cut, tail)) = self.plan_cut(source, seen, last, now.mono)? else {
            // A piece of a line waits in the pipe, where it is safe, for its end. To look again costs its length, so it
            // is looked at the less often the longer it is, and has been there.
            let age = now.mono.since(source.piece.map_or(now.mono, |piece| piece.since));
            source.not_before = now.mono + (age / 2).max(Duration::from_millis(1 + (seen as u64 >> 15)));
            return Ok(Seen::Nothing);
        };
        source.piece = None;
        let at = app_stamp(now.wall);
        let mut lines = self.sinks.take_buffer();
        let batch = format_batch(format, source.stream, at, &self.buffer[..cut], tail, room, &mut lines);
        let record = Record {
            phase: Phase::Append,
            pipe: source.ino,
            file: FileId { dev: 0, ino: 0 },
            before: 0,
            taken: batch.taken as u64,
            at,
            format,
            stream: source.stream,
            tail: if batch.open { Tail::Open } else { tail },
        };
        // No writer is left, and nothing comes after what was just looked at.
        let then = if last && batch.taken == seen { Then::End } else { Then::Look };
        // Not to be looked at before this batch is out of the pipe.
        source.ready = false;
        let left = if more { 0 } else { seen - batch.taken };
        Ok(Seen::Batch(Prepared { key, lines, record, open: batch.open, then, left }))
    }

    /// Begins to write a batch. None may be under way.
    fn launch(&mut self, next: Option<Prepared>) {
        let Some(Prepared { key, lines, record, open, then, left }) = next else { return };
        let Some(source) = self.sources.get(&key) else { return };
        self.sinks.begin(&source.target, lines, Some(record), &source.label);
        self.flight = Some(Flight { key, record, open, then, left });
    }

    /// Waits for the batch under way, and takes it out of its pipe. Returns how many bytes that were.
    fn land(&mut self) -> u64 {
        let Some(Flight { key, record, open, then, left }) = self.flight.take() else { return 0 };
        let kept = self.sinks.finish();
        let Some(mut source) = self.sources.remove(&key) else { return 0 };
        if kept {
            source.open_line = open;
        }
        let consumed = self.consume(&source, record);
        // Asked of the pipe itself: what came while it was not empty may have told nobody.
        let standing = pending(source.pipe.as_fd()).unwrap_or(usize::MAX);
        source.ready |= source.hung_up || standing > 0;
        if standing > 0 && standing <= left && !source.hung_up {
            // The piece of a line that was seen, and nothing new: its end is given a moment to come.
            let now = (self.clock)().mono;
            source.piece = Some(Piece { bytes: standing, since: now });
            source.not_before = now + PIECE_PAUSE;
        }
        self.sources.insert(key, source);
        match (consumed, then) {
            (Err(e), _) => self.break_off(key, &e),
            (Ok(()), Then::End) => self.end(key),
            (Ok(()), Then::Look) => {}
        }
        record.taken
    }

    /// How many of the bytes seen are to be written now. None: they are a piece of a line whose end may still come.
    ///
    /// One that does not grow is written without its end after a while, a prompt for example: only an empty pipe can be
    /// waited for. A write to one that holds something wakes nobody until it is over, and it is never over if it is more
    /// than the pipe holds (pipe_write() of the kernel's fs/pipe.c).
    fn plan_cut(&self, source: &mut Source, seen: usize, last: bool, now: Mono) -> io::Result<Option<(usize, Tail)>> {
        let bytes = &self.buffer[..seen];
        if last {
            return Ok(Some((seen, Tail::Final)));
        }
        if let Some(newline) = memrchr(b'\n', bytes) {
            return Ok(Some((newline + 1, Tail::Open)));
        }
        if seen >= PIECE_MAX {
            return Ok(Some((seen, Tail::Open)));
        }
        let Some(piece) = source.piece.filter(|piece| piece.bytes == seen) else {
            source.piece = Some(Piece { bytes: seen, since: now });
            return Ok(None);
        };
        // Whether the writer is held up is asked only of a pipe that does not grow: the answer is dear.
        let stands = now.since(piece.since) >= PIECE_AGE || self.trash.is_crowded(source.pipe.as_fd())?;
        Ok(stands.then_some((seen, Tail::Open)))
    }

    /// The stream is over: a line that was said to go on is ended.
    fn end(&mut self, key: u64) {
        // A batch of the same file may be under way.
        self.land();
        if let Some(source) = self.sources.get(&key)
            && source.open_line
            && let Some((format, _)) = self.sinks.plan(&source.target)
        {
            let mut line = Vec::new();
            format_end(format, source.stream, app_stamp((self.clock)().wall), &mut line);
            if !line.is_empty() {
                self.sinks.append(&source.target, line, None, &source.label);
            }
        }
        if self.close(key) {
            self.tell(Report::Closed(StreamKey(key)));
        }
    }

    fn break_off(&mut self, key: u64, why: &io::Error) {
        self.land();
        if self.close(key) {
            self.tell(Report::Broken { key: StreamKey(key), why: why.to_string() });
        }
    }

    /// Takes a batch out of its pipe, now that it is in the file, or lost.
    fn consume(&mut self, source: &Source, record: Record) -> io::Result<()> {
        self.keep(Record { phase: Phase::Consume, ..record });
        self.trash.take(source.pipe.as_fd(), record.taken)?;
        self.keep(Record::IDLE);
        self.trash.empty()
    }

    fn keep(&mut self, record: Record) {
        match self.shared.write_record(&record) {
            Ok(()) => self.record_failed = false,
            Err(e) if !self.record_failed => {
                self.record_failed = true;
                self.tell(Report::NoRecord { why: e.to_string() });
            }
            Err(_) => {}
        }
    }

    pub fn give_up(&mut self, why: &io::Error) {
        for key in self.sources.keys() {
            self.tell(Report::Broken { key: StreamKey(*key), why: why.to_string() });
        }
    }
}
