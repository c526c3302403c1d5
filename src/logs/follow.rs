//! Reading many logs as one: the last lines, merged by time, and then what is written, as it is written.
//! Owns: the merge, the wait, and the frames that go to one reader.
//! Never: polls, or holds more than a line of each log: a reader who is slow reads later.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::model::logframe::{LogRecord, encode_frame};
use crate::model::time::Wall;
use crate::sys::open::{Change, Changes};
use crate::sys::stream::wait_readable_while_wanted;

use super::file::LogDir;
use super::source::{Log, Reader, Wanted};

/// What a person asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// The last so many lines of all logs together. None: all.
    pub lines: Option<u64>,
    pub wanted: Wanted,
    /// Go on with what is written from now on.
    pub follow: bool,
}

/// The logs a selection means now. Called again while following, when files come or go.
pub type Selection = Box<dyn FnMut() -> Vec<Log> + Send>;

/// Gathered before one write; what is gathered is sent before any wait.
const SEND_AT: usize = 64 << 10;

/// Sends frames to `out` until all is sent, or, following, until nobody reads it any more. `out` must be a blocking pipe
/// or socket. Meant for a thread of its own.
pub fn send_logs(dir: &Path, selection: Selection, query: Query, out: OwnedFd) -> io::Result<()> {
    let mut out = Out { file: File::from(out), held: Vec::new() };
    let mut merge = Merge::open(LogDir::open(dir)?, selection, query)?;
    let result = merge.send(&mut out);
    match result {
        Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        other => other,
    }
}

/// The records of some logs that are there now, merged. For the last lines of a failed start.
pub fn read_logs(dir: &Path, logs: Vec<Log>, query: Query) -> io::Result<Vec<LogRecord>> {
    let once = Query { follow: false, ..query };
    let mut merge = Merge::open(LogDir::open(dir)?, Box::new(move || logs.clone()), once)?;
    let mut records = Vec::new();
    while let Some(record) = merge.next_record()? {
        records.push(record);
    }
    Ok(records)
}

struct Out {
    file: File,
    held: Vec<u8>,
}

impl Out {
    fn send(&mut self) -> io::Result<()> {
        self.file.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

struct Entry {
    reader: Reader,
    watch: Option<i32>,
    /// Its next record stands in the heap.
    queued: bool,
    /// The latest time seen: a clock set back must not reorder one log's lines.
    latest: Wall,
}

struct Merge {
    root: LogDir,
    selection: Selection,
    query: Query,
    entries: Vec<Entry>,
    known: BTreeSet<String>,
    heap: BinaryHeap<Reverse<Next>>,
    /// Logs that may have more than was read.
    fresh: BTreeSet<usize>,
    changes: Changes,
    skip: u64,
}

/// The next record of one log. Ordered by time, then by log; one log has one at a time, so its own order holds.
#[derive(PartialEq, Eq)]
struct Next {
    order: (Wall, usize),
    record: LogRecord,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Merge {
    fn open(root: LogDir, selection: Selection, query: Query) -> io::Result<Self> {
        let changes = Changes::new()?;
        // New apps make new directories here.
        changes.watch(root.as_fd())?;
        let mut merge = Self {
            root,
            selection,
            query,
            entries: Vec::new(),
            known: BTreeSet::new(),
            heap: BinaryHeap::new(),
            fresh: BTreeSet::new(),
            changes,
            skip: 0,
        };
        let found = merge.discover(true)?;
        merge.skip = found.saturating_sub(query.lines.unwrap_or(u64::MAX));
        Ok(merge)
    }

    /// Takes up logs that are new in the selection. Those there from the beginning are read from where the wanted lines
    /// begin, later ones from their beginning. Returns how many wanted lines there are.
    fn discover(&mut self, first: bool) -> io::Result<u64> {
        let mut found = 0;
        for log in (self.selection)() {
            let name = log.place.to_string();
            if self.known.contains(&name) {
                continue;
            }
            let mut reader = match Reader::open(&self.root, log) {
                Ok(reader) => reader,
                // One unreadable log must not hide the others.
                Err(e) if e.kind() == ErrorKind::PermissionDenied => continue,
                Err(e) => return Err(e),
            };
            let index = self.entries.len();
            // Watched before it is read: what is written in between is told.
            let watch = self.watch(&reader)?;
            if first {
                found += match (self.query.lines, self.query.wanted.since) {
                    (None, None) => 0,
                    (None, Some(_)) => reader.seek_last(u64::MAX, self.query.wanted)?,
                    (Some(lines), _) => reader.seek_last(lines, self.query.wanted)?,
                };
            }
            self.known.insert(name);
            self.entries.push(Entry { reader, watch, queued: false, latest: Wall(0) });
            self.fresh.insert(index);
        }
        Ok(found)
    }

    fn watch(&self, reader: &Reader) -> io::Result<Option<i32>> {
        reader.watchable().filter(|_| self.query.follow).map(|fd| self.changes.watch(fd)).transpose()
    }

    fn send(&mut self, out: &mut Out) -> io::Result<()> {
        loop {
            while let Some(record) = self.next_record()? {
                encode_frame(&record, &mut out.held);
                if out.held.len() >= SEND_AT {
                    out.send()?;
                }
            }
            out.send()?;
            if !self.query.follow || !wait_readable_while_wanted(self.changes.as_fd(), out.file.as_fd())? {
                return Ok(());
            }
            let changes = self.changes.take()?;
            self.note(&changes)?;
        }
    }

    /// Marks the logs that changes concern.
    fn note(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut unknown = false;
        for change in changes {
            for (index, entry) in self.entries.iter().enumerate() {
                let same = change.watch.is_none() || entry.watch == change.watch;
                if same && change.name.as_ref().is_none_or(|name| entry.reader.concerns(name)) {
                    self.fresh.insert(index);
                }
            }
            unknown |= change.made || change.watch.is_none();
        }
        if !unknown {
            return Ok(());
        }
        self.discover(false)?;
        for index in 0..self.entries.len() {
            if self.entries[index].watch.is_none() {
                self.fresh.insert(index);
            }
        }
        Ok(())
    }

    /// The earliest line that can be had now.
    fn next_record(&mut self) -> io::Result<Option<LogRecord>> {
        loop {
            while let Some(index) = self.fresh.pop_first() {
                self.queue(index)?;
            }
            let Some(Reverse(Next { order: (_, index), record })) = self.heap.pop() else { return Ok(None) };
            self.entries[index].queued = false;
            self.fresh.insert(index);
            let Wanted { stream, since, no_events } = self.query.wanted;
            if stream.is_some_and(|wanted| wanted != record.stream)
                || (no_events && record.event)
                || since.is_some_and(|since| record.at < since && record.at != Wall(0))
            {
                continue;
            }
            if self.skip > 0 {
                self.skip -= u64::from(!record.partial);
                continue;
            }
            return Ok(Some(record));
        }
    }

    fn queue(&mut self, index: usize) -> io::Result<()> {
        let follow = self.query.follow;
        let entry = &mut self.entries[index];
        if entry.queued {
            return Ok(());
        }
        let mut next = entry.reader.next_record(&self.root)?;
        if next.is_none() && !follow {
            next = entry.reader.rest();
        }
        if let Some(record) = next {
            entry.queued = true;
            entry.latest = entry.latest.max(record.at);
            let order = (entry.latest, index);
            self.heap.push(Reverse(Next { order, record }));
        } else if follow && self.entries[index].watch.is_none() {
            // It had no directory before. Once watched it is looked at again, for what came in between.
            let watch = self.watch(&self.entries[index].reader)?;
            self.entries[index].watch = watch;
            if watch.is_some() {
                self.fresh.insert(index);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
