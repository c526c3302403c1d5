//! What the daemon asks of the thread between two looks.
//! Owns: taking streams on and giving them up, events, flushes, and writing what stands in the pipes by now.
//! Never: runs while a batch is being written.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use crate::logs::capture::{Command, Event, Report, Stream, StreamKey};
use crate::logs::file::Place;
use crate::logs::format::format_event;
use crate::logs::journal::send_event;
use crate::model::time::Mono;
use crate::sys::pipe::pending;

use super::Engine;
use super::stream::{Readable, Source};

/// As much as sixteen pipes hold.
const TURNS: usize = 16;

impl Engine {
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Add(stream) => self.add(stream),
            Command::Remove(StreamKey(key)) => {
                self.close(key);
            }
            Command::Finish(StreamKey(key)) => self.finish(key),
            Command::Write(events) => self.write(events),
            Command::WriteMissing(events) => self.write_missing(events),
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

    pub fn add(&mut self, stream: Stream) {
        let Stream { key: StreamKey(key), pipe, spilled, stream, label, target } = stream;
        let of = |fd: OwnedFd| -> io::Result<Readable> {
            let file = Arc::new(File::from(fd));
            let seen = file.metadata()?;
            // Inodes of files and of pipes are numbered apart.
            let ino = if seen.is_file() { seen.ino() | 1 << 63 } else { seen.ino() };
            Ok(Readable { file, ino })
        };
        let known = of(pipe).and_then(|own| {
            let spilled = spilled.map(of).transpose()?;
            match spilled {
                Some(spilled) if pending(spilled.file.as_fd())? > 0 => return Ok((spilled, Some(own))),
                // It has been read, and nobody came to say so.
                Some(_) => self.tell(Report::Unspilled(StreamKey(key))),
                None => {}
            }
            self.set.add(own.file.as_fd(), key)?;
            Ok((own, None))
        });
        let (Readable { file: pipe, ino }, behind) = match known {
            Ok(known) => known,
            Err(e) => return self.tell(Report::Broken { key: StreamKey(key), why: e.to_string() }),
        };
        self.sinks.open(&target, 1);
        let target = target.place.to_string();
        let source = Source {
            pipe,
            ino,
            behind,
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

    /// Writes what the chosen streams hold by now, up to a piece of a line. Who writes faster than this is not waited for.
    fn drain(&mut self, chosen: impl Fn(&Source) -> bool) {
        let keys: Vec<u64> = self.sources.iter().filter(|(_, s)| chosen(s)).map(|(key, _)| *key).collect();
        for key in keys {
            self.exhaust(key, |source| source.piece.is_some_and(|piece| !piece.stands));
        }
    }

    /// Pumps a stream until there is no more, or enough. More than these turns only somebody fills who goes on writing.
    fn exhaust(&mut self, key: u64, enough: impl Fn(&Source) -> bool) {
        for _ in 0..TURNS {
            self.pump(key);
            if self.sources.get(&key).is_none_or(|source| !source.ready || enough(source)) {
                return;
            }
        }
    }

    /// Events of one target go into its file by one append; those that stand together do so in practice.
    fn write(&mut self, events: Vec<Event>) {
        let number = events.iter().map(|event| event.number).max().unwrap_or(0);
        for events in events.chunk_by(|a, b| Arc::ptr_eq(&a.target, &b.target)) {
            let target = Arc::clone(&events[0].target);
            let name = target.place.to_string();
            self.drain(|source| source.target == name);
            for event in events {
                // What cannot be told there stands in the log; and where the log is the journal, it has nothing more.
                let told = event.entry.as_ref().map(|entry| send_event(entry, &event.text));
                if let Some(Err(error)) = told {
                    tracing::debug!("the journal was not told of {}: {error}", event.text);
                }
            }
            if matches!(target.place, Place::Journal(_)) {
                continue;
            }
            self.sinks.open(&target, 0);
            let mut lines = Vec::new();
            for event in events {
                format_event(target.format, event.at, &event.text, false, &mut lines);
            }
            if !lines.is_empty() {
                self.sinks.append(&name, lines, "stead");
            }
            self.sinks.close_if_unused(&name);
        }
        if number > 0 {
            self.tell(Report::Wrote { number });
        }
    }

    fn write_missing(&mut self, events: Vec<Event>) {
        let number = events.iter().map(|event| event.number).max().unwrap_or(0);
        let mut missing = Vec::new();
        for event in events {
            if matches!(event.target.place, Place::Journal(_)) {
                missing.push(event);
                continue;
            }
            let mut line = Vec::new();
            format_event(event.target.format, event.at, &event.text, false, &mut line);
            self.sinks.open(&event.target, 0);
            let name = event.target.place.to_string();
            // What cannot be looked into is taken for without it: a line twice is better than none.
            if line.is_empty() || !self.sinks.holds(&name, &line).unwrap_or(false) {
                missing.push(event);
            } else {
                self.sinks.close_if_unused(&name);
            }
        }
        self.write(missing);
        self.tell(Report::Wrote { number });
    }

    /// Writes what the stream holds, and closes it even if somebody outside still has the pipe open for writing.
    fn finish(&mut self, key: u64) {
        // What was spilled, then what stands behind it.
        for _ in 0..2 {
            let Some(source) = self.sources.get_mut(&key) else { return };
            source.hung_up = true;
            self.exhaust(key, |_| false);
        }
        if self.sources.contains_key(&key) {
            self.end(key);
        }
    }
}
