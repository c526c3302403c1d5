//! One batch of a stream: bytes into lines, chunk by chunk.
//! Owns: where a batch ends.
//! Never: gives other lines than `format_batch` does of the whole: recovery, which has the whole, stands on that.

use crate::model::logframe::LogStream;
use crate::model::spec::LogFormat;
use crate::model::time::Wall;

use memchr::memrchr;

use super::format::{PIECE_MAX, Tail, format_batch};

/// A batch being made.
pub struct Batch<'a> {
    format: LogFormat,
    stream: LogStream,
    at: Wall,
    /// How much of the file it may fill.
    room: u64,
    lines: &'a mut Vec<u8>,
    taken: usize,
    open: bool,
    tail: Tail,
    full: bool,
}

/// Where it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// How many bytes the lines were made of. 0: there is but a piece of a line.
    pub taken: usize,
    /// The last line goes on.
    pub open: bool,
    pub tail: Tail,
    /// Bytes behind it that were not taken, without the end of a line among them.
    pub left: usize,
    /// There was no room for the rest.
    pub full: bool,
}

/// What is done with bytes at the end that no newline ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// They are left, unless they are as long as a piece may be.
    Leave,
    /// They are written as a piece of a line that goes on.
    Write,
    /// Nothing can follow, so they are a line.
    End,
}

impl<'a> Batch<'a> {
    pub fn new(format: LogFormat, stream: LogStream, at: Wall, room: u64, lines: &'a mut Vec<u8>) -> Self {
        lines.clear();
        Self { format, stream, at, room, lines, taken: 0, open: false, tail: Tail::Open, full: false }
    }

    /// Takes the lines that end among the bytes, of which the first `old` were seen before. Returns how many bytes that are.
    pub fn take_lines(&mut self, bytes: &[u8], old: usize) -> usize {
        match memrchr(b'\n', &bytes[old..]) {
            Some(newline) => {
                let end = old + newline + 1;
                self.take(&bytes[..end], Tail::Open);
                end
            }
            None => 0,
        }
    }

    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Ends the batch, given the bytes that were not taken.
    pub fn end(mut self, bytes: &[u8], rest: Rest) -> End {
        let mut left = bytes.len();
        if !self.full && left > 0 {
            let take = match rest {
                Rest::End | Rest::Write => left,
                // Behind other lines they can wait for the next batch.
                Rest::Leave if self.taken > 0 => 0,
                Rest::Leave => left - left % PIECE_MAX,
            };
            if take > 0 {
                self.tail = if rest == Rest::End { Tail::Final } else { Tail::Open };
                self.take(&bytes[..take], self.tail);
            }
            left -= take;
        }
        let tail = if self.open { Tail::Open } else { self.tail };
        End { taken: self.taken, open: self.open, tail, left, full: self.full }
    }

    fn take(&mut self, bytes: &[u8], tail: Tail) {
        let start = self.lines.len();
        let room = self.room.saturating_sub(start as u64);
        let batch = format_batch(self.format, self.stream, self.at, bytes, tail, room, self.lines);
        if start > 0 && self.lines.len() as u64 > self.room {
            // The first line of a file is written into any room, but this is not the first.
            self.lines.truncate(start);
            self.full = true;
            return;
        }
        self.taken += batch.taken;
        self.open = batch.open;
        self.full = batch.taken < bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logs::format::STAMP_LEN;

    const AT: Wall = Wall(1_795_178_823_000_000_000);

    /// Batches in chunks as `pump` makes them, and what is left of the bytes.
    fn batch(bytes: &[u8], chunk: usize, room: u64, rest: Rest) -> (Vec<u8>, End) {
        let mut lines = Vec::new();
        let mut batch = Batch::new(LogFormat::Cri, LogStream::Out, AT, room, &mut lines);
        let (mut begin, mut seen) = (0, 0);
        while seen < bytes.len() && !batch.is_full() {
            let old = seen - begin;
            seen = bytes.len().min(seen + chunk);
            begin += batch.take_lines(&bytes[begin..seen], old);
        }
        let end = batch.end(&bytes[begin..seen], rest);
        (lines, end)
    }

    proptest! {
        #[test]
        fn chunks_give_the_lines_of_the_whole(
            lengths in prop::collection::vec(0usize..40, 0..30),
            ended in any::<bool>(), chunk in 1usize..100, room in 1u64..4000, kind in 0usize..3,
        ) {
            let mut bytes = lengths.iter().map(|n| "x".repeat(*n)).collect::<Vec<_>>().join("\n").into_bytes();
            if ended {
                bytes.push(b'\n');
            }
            let rest = [Rest::Leave, Rest::Write, Rest::End][kind];
            let (lines, end) = batch(&bytes, chunk, room, rest);
            // What a new daemon does with the record of the batch.
            let mut whole = Vec::new();
            let taken = &bytes[..end.taken];
            let again = format_batch(LogFormat::Cri, LogStream::Out, AT, taken, end.tail, u64::MAX, &mut whole);
            prop_assert!(lines == whole);
            prop_assert_eq!((again.taken, again.taken > 0 && again.open), (end.taken, end.open));
            let first = lines.iter().position(|b| *b == b'\n').map_or(0, |newline| newline + 1);
            prop_assert!(lines.len() as u64 <= room || lines.len() == first);
            if !end.full {
                prop_assert_eq!(end.taken + end.left, bytes.len());
                prop_assert!(rest == Rest::Leave || end.left == 0);
            }
        }
    }

    #[test]
    fn a_line_longer_than_a_piece_is_cut_at_pieces_whatever_the_chunks_are() {
        let bytes = [&vec![b'x'; 2 * PIECE_MAX + 5][..], b"\nshort\npiece"].concat();
        let (lines, end) = batch(&bytes, 1000, u64::MAX, Rest::Leave);
        let mut whole = Vec::new();
        let taken = bytes.len() - 5;
        format_batch(LogFormat::Cri, LogStream::Out, AT, &bytes[..taken], Tail::Open, u64::MAX, &mut whole);
        assert!(lines == whole);
        assert_eq!(end, End { taken, open: false, tail: Tail::Open, left: 5, full: false });
    }

    #[test]
    fn a_line_that_does_not_end_is_taken_in_whole_pieces() {
        let (lines, end) = batch(&vec![b'x'; PIECE_MAX + 5], 1000, u64::MAX, Rest::Leave);
        assert_eq!(end, End { taken: PIECE_MAX, open: true, tail: Tail::Open, left: 5, full: false });
        assert_eq!(lines.len(), STAMP_LEN + 10 + PIECE_MAX + 1);
        let (_, end) = batch(&vec![b'x'; PIECE_MAX - 1], 1000, u64::MAX, Rest::Leave);
        assert_eq!((end.taken, end.left), (0, PIECE_MAX - 1));
    }
}
