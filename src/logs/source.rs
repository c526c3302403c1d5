//! Reading one log: its current file and the rotated ones behind it, as one sequence of lines.
//! Owns: going from a rotated file to the next, finding the last lines, and noticing a flush.
//! Never: waits for lines, or merges two logs.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use memchr::memchr;

use crate::model::logframe::{LogRecord, LogStream};
use crate::model::spec::LogFormat;
use crate::model::time::Wall;
use crate::sys::open::{nameless, open_dir, open_read};

use super::file::{LogDir, Place};
use super::format::{PIECE_MAX, parse_line};
use super::record::FileId;
use super::rotate::{COMPRESSED, elder_number, elders};
use super::search::Search;

/// One log to read.
#[derive(Debug, Clone)]
pub struct Log {
    /// `api/0`, or `api` for a file that instances share.
    pub label: String,
    pub format: LogFormat,
    /// Raw files hold one stream each; the others say it line by line.
    pub raw_stream: LogStream,
    /// An outside place opens for reading here.
    pub place: Place,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    pub stream: Option<LogStream>,
    pub since: Option<Wall>,
    /// Only what apps printed, without life-cycle events.
    pub no_events: bool,
}

/// What is read at once.
pub(super) const BLOCK: usize = 64 << 10;

/// No line that stead wrote is longer, in JSON neither, where a byte can take six. What is longer is foreign.
const LINE_MAX: usize = 6 * PIECE_MAX + 1024;

/// A place in a log, moving forward.
pub struct Reader {
    log: Log,
    dir: Option<OwnedFd>,
    file: Option<Current>,
    held: Vec<u8>,
    start: usize,
    /// For lines that say no time themselves.
    last_at: Wall,
}

struct Current {
    file: File,
    id: FileId,
    /// Of the compressed file that this one was made of.
    packed: Option<SystemTime>,
    offset: u64,
}

/// A file of a log, as it stands in the directory.
struct Found {
    file: File,
    id: FileId,
    /// When it was written last, which compression does not change.
    modified: SystemTime,
    packed: bool,
}

impl Found {
    fn open(dir: BorrowedFd<'_>, name: &str, packed: bool) -> io::Result<Self> {
        let file = open_read(dir, name)?;
        let seen = file.metadata()?;
        Ok(Self { id: FileId { dev: seen.dev(), ino: seen.ino() }, modified: seen.modified()?, file, packed })
    }

    /// The same lines, under whatever name, compressed meanwhile or not.
    fn is(&self, id: FileId, modified: SystemTime) -> bool {
        self.id == id || self.packed && self.modified == modified
    }

    /// At its beginning. What is compressed is unpacked into a file without a name, beside it.
    fn unpack(self, dir: Option<&OwnedFd>) -> io::Result<Current> {
        let Self { file, id, modified, packed } = self;
        let (Some(dir), true) = (dir, packed) else { return Ok(Current { file, id, packed: None, offset: 0 }) };
        let mut plain = nameless(dir.as_fd())?;
        match zstd::stream::copy_decode(&file, &mut plain) {
            // What comes before the place where it is broken is there.
            Ok(()) | Err(_) => Ok(Current { file: plain, id, packed: Some(modified), offset: 0 }),
        }
    }
}

impl Reader {
    /// At the beginning of the oldest file. A log that has no file yet is read once it has one.
    pub fn open(root: &LogDir, log: Log) -> io::Result<Self> {
        let mut reader = Self { log, dir: None, file: None, held: Vec::new(), start: 0, last_at: Wall(0) };
        if reader.attach(root)? {
            reader.file = reader.oldest()?;
        }
        Ok(reader)
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What to watch for changes: the directory, or an outside file itself.
    pub fn watchable(&self) -> Option<BorrowedFd<'_>> {
        match &self.dir {
            Some(dir) => Some(dir.as_fd()),
            None => self.file.as_ref().map(|current| current.file.as_fd()),
        }
    }

    /// True if a change of this name in the watched directory concerns this log.
    pub fn concerns(&self, name: &str) -> bool {
        match &self.log.place {
            Place::Kept { file, .. } => name == file || elder_number(file, name).is_some(),
            Place::Outside { .. } | Place::Journal(_) => true,
        }
    }

    /// Opens what was missing. True: there is something to read from.
    fn attach(&mut self, root: &LogDir) -> io::Result<bool> {
        let opened = match &self.log.place {
            Place::Kept { app, .. } if self.dir.is_none() => {
                open_dir(root.as_fd(), app.as_str()).map(|dir| self.dir = Some(dir))
            }
            Place::Kept { .. } => Ok(()),
            Place::Outside { open, .. } if self.file.is_none() => {
                open().and_then(current).map(|current| self.file = Some(current))
            }
            Place::Outside { .. } | Place::Journal(_) => Ok(()),
        };
        match opened {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The files of this log by name, newest first, each once. Looked at in the order in which rotation does not pass
    /// them: a file moves to a name that is looked at later, so none is missed.
    fn chain(&self) -> io::Result<Vec<Found>> {
        let (Some(dir), Place::Kept { file: name, .. }) = (&self.dir, &self.log.place) else { return Ok(Vec::new()) };
        let oldest = elders(dir.as_fd(), name)?.last().map_or(0, |elder| elder.number);
        let mut found: Vec<Found> = Vec::new();
        for number in 0..=oldest + 1 {
            let name = if number == 0 { name.clone() } else { format!("{name}.{number}") };
            let opened = match Found::open(dir.as_fd(), &name, false) {
                Err(e) if e.kind() == ErrorKind::NotFound && number > 0 => {
                    Found::open(dir.as_fd(), &format!("{name}{COMPRESSED}"), true)
                }
                opened => opened,
            };
            match opened {
                Ok(file) if found.iter().all(|known| !file.is(known.id, known.modified)) => found.push(file),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    fn oldest(&mut self) -> io::Result<Option<Current>> {
        match &self.log.place {
            Place::Outside { .. } => Ok(self.file.take()),
            Place::Journal(_) => Ok(None),
            Place::Kept { .. } => self.chain()?.pop().map(|found| found.unpack(self.dir.as_ref())).transpose(),
        }
    }

    /// Goes to where the last `count` lines wanted begin, and returns how many there are from here on. Lines older than
    /// `since` end the search. Pieces of one line count as one.
    pub fn seek_last(&mut self, count: u64, wanted: Wanted) -> io::Result<u64> {
        let mut search = Search { format: self.log.format, raw: self.log.raw_stream, wanted, count, found: 0 };
        if let (Place::Outside { .. }, Some(file)) = (&self.log.place, &mut self.file) {
            file.offset = search.back(&file.file)?;
        }
        for found in self.chain()? {
            let mut file = found.unpack(self.dir.as_ref())?;
            let begin = search.back(&file.file)?;
            let stop = begin > 0;
            file.offset = begin;
            self.file = Some(file);
            if stop {
                break;
            }
        }
        Ok(search.found)
    }

    /// Goes to the end: only what is written from now on.
    pub fn seek_end(&mut self) -> io::Result<()> {
        self.seek_last(0, Wanted::default()).map(drop)
    }

    /// The next line; None: not yet.
    pub fn next_record(&mut self, root: &LogDir) -> io::Result<Option<LogRecord>> {
        loop {
            let held = &self.held[self.start..];
            if let Some(end) = memchr(b'\n', held) {
                let range = self.start..self.start + end;
                self.start = range.end + 1;
                return Ok(Some(self.record(range, false)));
            }
            let longest = if self.log.format == LogFormat::Raw { PIECE_MAX } else { LINE_MAX };
            if held.len() >= longest {
                let range = self.start..self.start + longest;
                self.start = range.end;
                return Ok(Some(self.record(range, true)));
            }
            if self.fill()? {
                continue;
            }
            if !self.go_on(root)? {
                return Ok(None);
            }
        }
    }

    /// The end of a file without a newline, when no more is waited for.
    pub fn rest(&mut self) -> Option<LogRecord> {
        (self.start < self.held.len()).then(|| {
            let range = self.start..self.held.len();
            self.start = self.held.len();
            self.record(range, true)
        })
    }

    fn record(&mut self, range: std::ops::Range<usize>, partial: bool) -> LogRecord {
        let line = &self.held[range];
        let label = self.log.label.clone();
        match parse_line(self.log.format, line) {
            Some(line) => {
                self.last_at = line.at;
                let bytes = line.text.into_owned();
                LogRecord { at: line.at, label, stream: line.stream, partial: line.partial, event: line.event, bytes }
            }
            // A raw line, or one that somebody else put into the file: shown where it stands.
            None => {
                let stream = self.log.raw_stream;
                LogRecord { at: self.last_at, label, stream, partial, event: false, bytes: line.to_vec() }
            }
        }
    }

    /// Reads on in the current file. False: nothing more stands there.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.file else { return Ok(false) };
        self.held.drain(..self.start);
        self.start = 0;
        let old = self.held.len();
        self.held.resize(old + BLOCK, 0);
        let read = current.file.read_at(&mut self.held[old..], current.offset);
        self.held.truncate(old + *read.as_ref().unwrap_or(&0));
        let read = read?;
        current.offset += read as u64;
        if read == 0 && current.file.metadata()?.len() < current.offset {
            // It was flushed. What is held of it is gone too.
            current.offset = 0;
            self.held.clear();
            return Ok(current.file.metadata()?.len() > 0);
        }
        Ok(read > 0)
    }

    /// At the end of a file: to the next newer one, if there is one.
    fn go_on(&mut self, root: &LogDir) -> io::Result<bool> {
        if !self.attach(root)? {
            return Ok(false);
        }
        let Some(dir) = &self.dir else { return self.fill() };
        let Some(Current { id, packed, file, .. }) = &self.file else {
            self.file = self.oldest()?;
            return Ok(self.file.is_some());
        };
        let Place::Kept { file: name, .. } = &self.log.place else { return Ok(false) };
        let (id, modified) = (*id, packed.map_or_else(|| file.metadata().and_then(|seen| seen.modified()), Ok)?);
        match open_read(dir.as_fd(), name).and_then(current) {
            Ok(newest) if newest.id == id => return Ok(false),
            Ok(_) => {}
            // In the midst of a rotation, or nothing was written since.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // Something may have been written between the last read and the rename. After it, nothing is.
        if self.fill()? {
            return Ok(true);
        }
        if let Some(ending) = self.held.get(self.start..).filter(|held| !held.is_empty()) {
            // A rotated file that ends within a line: the line ends with it.
            self.held = [ending, b"\n"].concat();
            self.start = 0;
            return Ok(true);
        }
        let mut files = self.chain()?;
        let next = match files.iter().position(|file| file.is(id, modified)) {
            Some(0) => return Ok(false),
            Some(place) => files.swap_remove(place - 1),
            // It was removed while it was read. The oldest that is left is the nearest.
            None => match files.pop() {
                Some(oldest) => oldest,
                None => return Ok(false),
            },
        };
        self.file = Some(next.unpack(self.dir.as_ref())?);
        Ok(true)
    }
}

fn current(file: File) -> io::Result<Current> {
    let seen = file.metadata()?;
    Ok(Current { file, id: FileId { dev: seen.dev(), ino: seen.ino() }, packed: None, offset: 0 })
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
