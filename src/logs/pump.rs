//! From one pipe into one file, batch after batch, each byte once, whatever dies in between.
//! Owns: the steps of a batch, and where it ends.
//! Never: waits for anything but the file, or decides which stream is looked at, and when.
//!
//! look (tee) → format → record *append* → write → record *consume* → take out (splice) → record *idle* → empty the trash
//!
//! One thread does all of it, so that a batch is in its core's cache from the look to the write.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use memchr::memchr_iter;

use crate::model::logframe::LogStream;
use crate::model::spec::LogFormat;

use super::batch::{Batch, End, Rest};
use super::capture::Clock;
use super::desk::{Leave, Shared};
use super::file::{AppendError, Go, LogFile};
use super::format::{PIECE_MAX, app_stamp};
use super::record::{FileId, Phase, Record};
use super::trash::Look;

/// What is taken at once: half a pipe. An app that writes faster than this thread waits for room, and to wake it costs as
/// much as a thousand lines.
const BATCH: usize = 512 << 10;
/// What is read and formatted at once: little enough to stay in a core's nearest caches.
const CHUNK: usize = 64 << 10;
/// How much of one stream is taken before others have their turn.
const TURN: u64 = 2 << 20;

/// Which bytes are to be moved, and as what.
#[derive(Debug, Clone)]
pub struct Order {
    pub pipe: Arc<File>,
    pub ino: u64,
    pub stream: LogStream,
    pub format: LogFormat,
    /// No writer is left, so that what stands in the pipe is all there will be.
    pub hung_up: bool,
    /// A piece of a line is written without its end.
    pub whole: bool,
}

/// How far it got.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Bytes taken out of the pipe.
    pub taken: u64,
    /// Whether the last line in the file goes on. None: none was written.
    pub open: Option<bool>,
    pub lost: Option<Loss>,
    /// The file's length, as of the last append that went well.
    pub len: u64,
    pub stop: Stop,
}

/// Lines that were taken out of the pipe and are in no file.
#[derive(Debug)]
pub struct Loss {
    pub lines: u64,
    pub bytes: u64,
    pub why: String,
}

/// Why no more was moved.
#[derive(Debug, Default)]
pub enum Stop {
    /// It is another stream's turn, or the file fails.
    #[default]
    Turn,
    Empty,
    /// So many bytes are the beginning of a line whose end may still come.
    Piece(usize),
    /// Empty, and nobody is left to write.
    Closed,
    /// The pipe cannot be read.
    Broken(io::Error),
}

impl Outcome {
    fn lose(&mut self, loss: Loss) {
        match &mut self.lost {
            Some(lost) => (lost.lines, lost.bytes) = (lost.lines + loss.lines, lost.bytes + loss.bytes),
            None => self.lost = Some(loss),
        }
    }
}

impl Loss {
    pub fn of(lines: &[u8], why: String) -> Self {
        // What is lost is never nothing.
        Self { lines: memchr_iter(b'\n', lines).count().max(1) as u64, bytes: lines.len() as u64, why }
    }

    /// What of these lines an append that failed did not write.
    pub fn rest(lines: &[u8], error: &AppendError) -> Self {
        Self::of(&lines[error.written.min(lines.len())..], error.why.to_string())
    }
}

/// Appends whole lines. Returns the file's length after it.
pub fn append(
    shared: &Shared,
    leave: &Leave,
    file: &mut LogFile,
    lines: &[u8],
    mut record: Option<&mut Record>,
) -> Result<u64, AppendError> {
    let appended = file.append(&shared.root, lines, &mut |id, before| {
        let Some(mut desk) = shared.desk_with(leave) else { return Go::Back };
        if let Some(record) = &mut record {
            (record.file, record.before) = (id, before);
            desk.keep(record);
        }
        Go::Ahead
    });
    if let Some(rotated) = file.take_rotated() {
        shared.archive.note(rotated);
    }
    appended
}

/// How much of a file a batch may fill. What does not fit beside what is there goes to a fresh file, so it may fill that.
fn room(max_size: u64, len: u64) -> u64 {
    match max_size {
        0 => u64::MAX,
        limit => limit.checked_sub(len).filter(|room| *room > 0).unwrap_or(limit),
    }
}

/// Who moves, and the space to do it in.
pub struct Mover {
    shared: Arc<Shared>,
    leave: Arc<Leave>,
    clock: Clock,
    bytes: Vec<u8>,
    lines: Vec<u8>,
}

/// A batch that is formatted, and what was seen around it.
struct Cut {
    record: Record,
    /// The last line of it goes on.
    open: bool,
    /// What comes next, if it is written.
    next: Option<Stop>,
}

impl Mover {
    pub fn new(shared: Arc<Shared>, leave: Arc<Leave>, clock: Clock) -> Self {
        Self { shared, leave, clock, bytes: vec![0; BATCH], lines: Vec::new() }
    }

    /// Moves what stands in the pipe, up to a turn. Without a file it is lost.
    pub fn pump(&mut self, order: &Order, mut file: Option<&mut LogFile>, len: u64) -> Outcome {
        let mut outcome = Outcome { len, ..Outcome::default() };
        while outcome.taken < TURN {
            self.leave.step();
            let room = file.as_ref().map_or(u64::MAX, |file| room(file.target().max_size, outcome.len));
            let step = self.look(order, room).and_then(|cut| match cut {
                Ok(cut) => self.carry(order, cut, file.as_deref_mut(), &mut outcome),
                Err(stop) => Ok(Some(stop)),
            });
            if let Some(stop) = step.unwrap_or_else(|e| Some(Stop::Broken(e))) {
                outcome.stop = stop;
                break;
            }
        }
        outcome
    }

    /// Makes lines of what stands at the beginning of the pipe.
    fn look(&mut self, order: &Order, room: u64) -> io::Result<Result<Cut, Stop>> {
        let at = app_stamp((self.clock)().wall);
        let bytes = &mut self.bytes;
        let Some(desk) = self.shared.desk_with(&self.leave) else { return Ok(Err(Stop::Turn)) };
        let (seen, more) = match desk.trash.look(order.pipe.as_fd(), bytes.len())? {
            Look::Bytes { len, more } => (len, more),
            Look::Empty => return Ok(Err(Stop::Empty)),
            Look::Closed => return Ok(Err(Stop::Closed)),
        };
        let mut batch = Batch::new(order.format, order.stream, at, room, &mut self.lines);
        // `held`: bytes at the beginning of the buffer that no newline has ended yet.
        let (mut read, mut held) = (0, 0);
        while read < seen && !batch.is_full() {
            let fresh = (seen - read).min(CHUNK);
            desk.trash.read(&mut bytes[held..held + fresh])?;
            let ended = batch.take_lines(&bytes[..held + fresh], held);
            bytes.copy_within(ended..held + fresh, 0);
            (read, held) = (read + fresh, held + fresh - ended);
        }
        if read < seen {
            desk.trash.empty()?;
        }
        let last = order.hung_up && !more;
        let rest = match (last, order.whole) {
            (true, _) => Rest::End,
            (false, true) => Rest::Write,
            (false, false) => Rest::Leave,
        };
        let End { taken, open, tail, left, full } = batch.end(&bytes[..held], rest);
        if taken == 0 {
            return Ok(Err(Stop::Piece(left)));
        }
        let record = Record {
            phase: Phase::Append,
            pipe: order.ino,
            file: FileId::NONE,
            before: 0,
            taken: taken as u64,
            at,
            format: order.format,
            stream: order.stream,
            tail,
        };
        let next = if more || full || left >= PIECE_MAX {
            None
        } else if last {
            // Nothing comes after what was just looked at.
            Some(Stop::Closed)
        } else if left > 0 {
            Some(Stop::Piece(left))
        } else {
            Some(Stop::Empty)
        };
        Ok(Ok(Cut { record, open, next }))
    }

    /// Writes a batch, and takes it out of the pipe. None: there may be another.
    fn carry(
        &mut self,
        order: &Order,
        cut: Cut,
        file: Option<&mut LogFile>,
        outcome: &mut Outcome,
    ) -> io::Result<Option<Stop>> {
        let Cut { mut record, open, mut next } = cut;
        match file.map(|file| append(&self.shared, &self.leave, file, &self.lines, Some(&mut record))) {
            Some(Ok(len)) => (outcome.len, outcome.open) = (len, Some(open)),
            // Nobody waits any more, and nothing was begun: the batch stays in the pipe for who goes on.
            Some(Err(_)) if record.file == FileId::NONE && self.leave.is_over() => return Ok(Some(Stop::Turn)),
            Some(Err(error)) => {
                next = next.or(Some(Stop::Turn));
                outcome.lose(Loss::rest(&self.lines, &error));
            }
            None => outcome.lose(Loss::of(&self.lines, String::new())),
        }
        let Some(mut desk) = self.shared.desk_with(&self.leave) else { return Ok(Some(Stop::Turn)) };
        desk.consume(order.pipe.as_fd(), &record)?;
        outcome.taken += record.taken;
        Ok(next)
    }
}
