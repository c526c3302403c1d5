//! Finding where the last lines of a log begin, from its end backwards.
//! Owns: which lines count. Never: reads more of a file than it must.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memrchr;

use crate::model::logframe::LogStream;
use crate::model::spec::LogFormat;
use crate::model::time::Wall;

use super::format::{STAMP_LEN, is_event_stamp, parse_stamp};
use super::source::{BLOCK, Wanted};

/// Enough of a line to know its time, its stream and whether it goes on.
const HEAD: usize = 80;

/// The time, stream and continuation of a line, from its beginning.
pub(super) fn peek(format: LogFormat, raw: LogStream, head: &[u8]) -> Option<(Option<Wall>, LogStream, bool)> {
    let stream = |name: &[u8]| match name {
        b"stdout" => Some(LogStream::Out),
        b"stderr" => Some(LogStream::Err),
        _ => None,
    };
    match format {
        LogFormat::Cri => {
            let at = parse_stamp(head.get(..STAMP_LEN)?)?;
            let tag = head.get(STAMP_LEN + 8)?;
            Some((Some(at), stream(head.get(STAMP_LEN + 1..STAMP_LEN + 7)?)?, *tag == b'P'))
        }
        LogFormat::Json => {
            // The order of keys and their lengths are those of `format::JsonLine`.
            let at = parse_stamp(head.get(9..9 + STAMP_LEN)?)?;
            let name = head.get(STAMP_LEN + 21..STAMP_LEN + 27)?;
            Some((Some(at), stream(name)?, head.get(STAMP_LEN + 28..)?.starts_with(b",\"partial\":true")))
        }
        LogFormat::Raw | LogFormat::Journal | LogFormat::None => Some((None, raw, false)),
    }
}

/// Looks for line beginnings from the end of a file.
pub(super) struct Search {
    pub format: LogFormat,
    pub raw: LogStream,
    pub wanted: Wanted,
    pub count: u64,
    pub found: u64,
}

impl Search {
    /// Returns where to begin in this file; 0 also means that older files may hold more.
    pub fn back(&mut self, file: &File) -> io::Result<u64> {
        let len = file.metadata()?.len();
        if self.count == 0 {
            return Ok(len);
        }
        let mut begin = len;
        let mut end = len;
        let mut block = Vec::new();
        while end > 0 {
            let size = end.min(BLOCK as u64);
            let base = end - size;
            block.resize(size as usize, 0);
            file.read_exact_at(&mut block, base)?;
            let mut upto = block.len();
            while let Some(newline) = memrchr(b'\n', &block[..upto]) {
                upto = newline;
                let line = base + newline as u64 + 1;
                // The newline at the very end begins no line.
                if line < len {
                    match self.judge(file, line)? {
                        Verdict::Begin => begin = line,
                        Verdict::Pass => {}
                        Verdict::Stop => return Ok(begin.max(1)),
                    }
                }
            }
            end = base;
        }
        if len > 0 {
            match self.judge(file, 0)? {
                Verdict::Begin | Verdict::Pass => {}
                Verdict::Stop => return Ok(begin),
            }
        }
        Ok(0)
    }

    fn judge(&mut self, file: &File, line: u64) -> io::Result<Verdict> {
        let mut head = [0; HEAD];
        let read = file.read_at(&mut head, line)?;
        let Some((at, stream, partial)) = peek(self.format, self.raw, &head[..read]) else { return Ok(Verdict::Pass) };
        if let (Some(at), Some(since)) = (at, self.wanted.since)
            && at < since
        {
            return Ok(Verdict::Stop);
        }
        let event = at.is_some_and(is_event_stamp);
        if self.wanted.stream.is_some_and(|wanted| wanted != stream) || (event && self.wanted.no_events) {
            return Ok(Verdict::Pass);
        }
        if partial {
            // Belongs to the line that was found before, which is later in the file.
            return Ok(if self.found > 0 { Verdict::Begin } else { Verdict::Pass });
        }
        if self.found == self.count {
            return Ok(Verdict::Stop);
        }
        self.found += 1;
        Ok(Verdict::Begin)
    }
}

enum Verdict {
    Begin,
    Pass,
    Stop,
}
