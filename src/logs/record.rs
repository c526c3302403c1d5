//! The one record that makes a batch exact although the daemon may die at any instruction.
//! Owns: its layout, its phases, and what a new daemon does with one it finds.
//! Never: opens a file or chooses a batch.
//!
//!     idle ── append: may be in the file, whole, in part or not ── consume: in the file; may be in the pipe ── idle

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::model::logframe::LogStream;
use crate::model::spec::LogFormat;
use crate::model::time::Wall;

use super::format::Tail;

/// How far a batch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Idle,
    Append,
    Consume,
}

/// One batch on its way from a pipe to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub phase: Phase,
    /// The inode of the app's pipe.
    pub pipe: u64,
    pub file: FileId,
    /// The file's length before the append.
    pub before: u64,
    /// How many bytes of the pipe the batch is.
    pub taken: u64,
    pub at: Wall,
    pub format: LogFormat,
    pub stream: LogStream,
    pub tail: Tail,
}

/// Which file, whatever its name is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    pub dev: u64,
    pub ino: u64,
}

impl FileId {
    /// No file has it.
    pub const NONE: FileId = FileId { dev: 0, ino: 0 };
    /// Not a file, but what takes the place of one.
    pub const JOURNAL: FileId = FileId { dev: u64::MAX, ino: 0 };
}

/// How many bytes a record takes in a store.
pub const RECORD_LEN: usize = 72;

impl Record {
    /// Nothing is on its way.
    pub const IDLE: Record = Record {
        phase: Phase::Idle,
        pipe: 0,
        file: FileId::NONE,
        before: 0,
        taken: 0,
        at: Wall(0),
        format: LogFormat::None,
        stream: LogStream::Out,
        tail: Tail::Open,
    };

    pub fn to_bytes(self) -> [u8; RECORD_LEN] {
        let phase = match self.phase {
            Phase::Idle => 0u64,
            Phase::Append => 1,
            Phase::Consume => 2,
        };
        let format = match self.format {
            // Lines for the journal are made as CRI.
            LogFormat::None | LogFormat::Journal => 0u64,
            LogFormat::Cri => 1,
            LogFormat::Raw => 2,
            LogFormat::Json => 3,
        };
        let stream = u64::from(self.stream == LogStream::Err);
        let tail = u64::from(self.tail == Tail::Final);
        let kinds = format | stream << 8 | tail << 16;
        let words = [phase, self.pipe, self.file.dev, self.file.ino, self.before, self.taken, self.at.0, kinds];
        let mut bytes = [0; RECORD_LEN];
        let sum = checksum(&words);
        for (place, word) in bytes.chunks_exact_mut(8).zip(words.iter().chain([&sum])) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// None: these bytes are no record, as in fresh memory.
    pub fn from_bytes(bytes: &[u8; RECORD_LEN]) -> Option<Record> {
        let mut words = [0u64; 9];
        for (word, place) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*place);
        }
        let [phase, pipe, dev, ino, before, taken, at, kinds, sum] = words;
        if sum != checksum(&words[..8]) {
            return None;
        }
        Some(Record {
            phase: [Phase::Idle, Phase::Append, Phase::Consume].get(usize::try_from(phase).ok()?).copied()?,
            pipe,
            file: FileId { dev, ino },
            before,
            taken,
            at: Wall(at),
            format: [LogFormat::None, LogFormat::Cri, LogFormat::Raw, LogFormat::Json][(kinds & 3) as usize],
            stream: if kinds >> 8 & 1 == 0 { LogStream::Out } else { LogStream::Err },
            tail: if kinds >> 16 & 1 == 0 { Tail::Open } else { Tail::Final },
        })
    }
}

/// FNV-1a over words: tells a record from fresh memory or from another layout, no more.
fn checksum(words: &[u64]) -> u64 {
    words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, word| (sum ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(23))
}

/// Memory that outlives the daemon. A write must be whole or not there when the daemon dies in it.
pub trait RecordStore: Send {
    fn write(&mut self, record: &Record) -> io::Result<()>;
    /// `Record::IDLE` if none was ever written.
    fn read(&self) -> Record;
}

/// For tests, and where the daemon has nothing that outlives it.
#[derive(Debug, Clone)]
pub struct InMemory(pub Record);

impl RecordStore for InMemory {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.0 = *record;
        Ok(())
    }

    fn read(&self) -> Record {
        self.0
    }
}

/// A place of `RECORD_LEN` bytes in a memfd. One pwrite(2) within a page is whole even under SIGKILL: the kernel acts on
/// the signal when the call is over. The place must not straddle a page.
pub struct InFile {
    file: File,
    offset: u64,
}

impl InFile {
    pub fn new(file: File, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl RecordStore for InFile {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.file.write_all_at(&record.to_bytes(), self.offset)
    }

    fn read(&self) -> Record {
        let mut bytes = [0; RECORD_LEN];
        match self.file.read_exact_at(&mut bytes, self.offset) {
            Ok(()) => Record::from_bytes(&bytes).unwrap_or(Record::IDLE),
            // A memfd that was never written this far holds no record.
            Err(_) => Record::IDLE,
        }
    }
}

/// What of a batch must still be appended to its file, given how long that file is now. Never more than the file misses:
/// one that is shorter than it was has been emptied by somebody, and is not filled again; one that is longer has more.
pub fn missing(record: &Record, length: u64, lines: &[u8]) -> std::ops::Range<usize> {
    let end = lines.len();
    match length.checked_sub(record.before) {
        Some(there) => usize::try_from(there).map_or(end, |there| there.min(end))..end,
        None => end..end,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_comes_back(
            words in any::<[u64; 6]>(), phase in 0usize..3, format in 0usize..4, bits in any::<[bool; 2]>(),
        ) {
            let record = Record {
                phase: [Phase::Idle, Phase::Append, Phase::Consume][phase],
                pipe: words[0],
                file: FileId { dev: words[1], ino: words[2] },
                before: words[3],
                taken: words[4],
                at: Wall(words[5]),
                format: [LogFormat::None, LogFormat::Cri, LogFormat::Raw, LogFormat::Json][format],
                stream: if bits[0] { LogStream::Err } else { LogStream::Out },
                tail: if bits[1] { Tail::Final } else { Tail::Open },
            };
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn fresh_memory_holds_no_record() {
        assert_eq!(Record::from_bytes(&[0; RECORD_LEN]), None);
        assert_eq!(Record::from_bytes(&[0xff; RECORD_LEN]), None);
    }

    #[test]
    fn only_what_the_file_misses_is_appended() {
        let record = Record { before: 100, ..Record::IDLE };
        let lines = b"0123456789";
        assert_eq!(missing(&record, 100, lines), 0..10);
        assert_eq!(missing(&record, 104, lines), 4..10);
        assert_eq!(missing(&record, 110, lines), 10..10);
        assert_eq!(missing(&record, 500, lines), 10..10);
        assert_eq!(missing(&record, 0, lines), 10..10);
    }
}
