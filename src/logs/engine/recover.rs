//! Ending the batch that a daemon died in.
//! Owns: what is done with the record it left.
//! Never: writes a byte that is in the file, or takes one out of a pipe that was taken before.

use std::io;
use std::os::fd::AsFd;

use crate::logs::capture::{Report, Stream, StreamKey};
use crate::logs::format::format_batch;
use crate::logs::pump::Loss;
use crate::logs::record::{Phase, Record};
use crate::logs::trash::Look;
use crate::sys::pipe::pending;

use super::Engine;
use super::stream::Source;

impl Engine {
    /// Takes over the streams of a dead daemon, and ends the batch it died in.
    pub fn recover(&mut self, streams: Vec<Stream>) {
        streams.into_iter().for_each(|stream| self.add(stream));
        let record = self.shared.desk().record();
        // What stood at the beginning of an app's pipe stands at that of its spill, if there is one with anything in it.
        let has =
            |source: &Source| source.ino == record.pipe || source.behind.as_ref().is_some_and(|b| b.ino == record.pipe);
        let key = self.sources.iter().find(|(_, source)| has(source)).map(|(key, _)| *key);
        let result = match (record.phase, key) {
            (Phase::Idle, _) | (_, None) => Ok(()),
            (Phase::Append, Some(key)) => self.recover_append(key, record),
            (Phase::Consume, Some(key)) => self.recover_consume(key, record),
        };
        if let (Err(e), Some(key)) = (result, key) {
            self.tell(Report::Broken { key: StreamKey(key), why: e.to_string() });
            self.close(key);
        }
        let mut desk = self.shared.desk();
        desk.keep(&Record::IDLE);
        // If that fails, the next look finds the pipe unusable and says so.
        let _ = desk.trash.empty();
    }

    fn recover_append(&mut self, key: u64, record: Record) -> io::Result<()> {
        // What stands in the trash is a copy: nothing was taken yet.
        self.shared.desk().trash.empty()?;
        let Some(source) = self.sources.get(&key) else { return Ok(()) };
        // An older version may have had larger batches, but none larger than what stands in the pipe.
        let standing = pending(source.pipe.as_fd())? as u64;
        let mut buffer = vec![0; usize::try_from(record.taken.min(standing)).unwrap_or(0)];
        let looked = self.look_again(source, &mut buffer);
        let mut lines = Vec::new();
        if let Ok(len) = looked {
            let bytes = &buffer[..len];
            format_batch(record.format, record.stream, record.at, bytes, record.tail, u64::MAX, &mut lines);
        }
        let file = self.sinks.file(&source.target);
        let completed = file.map_or(Ok(()), |file| file.complete(&self.shared.root, &record, &lines));
        if let Err(e) = completed {
            self.sinks.lose(&source.target, Loss::of(&lines, e.to_string()));
        }
        looked.and_then(|_| self.shared.desk().consume(source.pipe.as_fd(), &record))
    }

    fn look_again(&self, source: &Source, buffer: &mut [u8]) -> io::Result<usize> {
        let desk = self.shared.desk();
        let Look::Bytes { len, .. } = desk.trash.look(source.pipe.as_fd(), buffer.len())? else { return Ok(0) };
        desk.trash.read(&mut buffer[..len])?;
        Ok(len)
    }

    fn recover_consume(&mut self, key: u64, record: Record) -> io::Result<()> {
        let desk = self.shared.desk();
        let left = record.taken.saturating_sub(desk.trash.standing()?);
        match self.sources.get(&key) {
            Some(source) => desk.trash.take(source.pipe.as_fd(), left),
            None => Ok(()),
        }
    }
}
