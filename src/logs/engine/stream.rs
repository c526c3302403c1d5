//! One stream, and one batch of it on its way.
//! Owns: what is remembered of each between two looks.
//! Never: does anything with it.

use std::fs::File;

use crate::logs::record::Record;
use crate::model::logframe::LogStream;
use crate::model::time::Mono;

/// A stream being captured.
pub(super) struct Source {
    pub pipe: File,
    pub ino: u64,
    pub stream: LogStream,
    pub label: String,
    pub target: String,
    /// Something may stand in the pipe that has not been looked at.
    pub ready: bool,
    pub hung_up: bool,
    /// The last line written goes on.
    pub open_line: bool,
    /// Not to be looked at before: it holds a piece of a line, and looking costs its length each time.
    pub not_before: Mono,
    /// The piece of a line that it holds.
    pub piece: Option<Piece>,
}

/// The beginning of a line in a pipe.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub bytes: usize,
    /// When it was first seen to be this long.
    pub since: Mono,
}

/// A batch that is formatted and not yet written.
pub(super) struct Prepared {
    pub key: u64,
    pub lines: Vec<u8>,
    pub record: Record,
    pub open: bool,
    pub then: Then,
    /// Bytes that were seen behind the batch, the beginning of a line.
    pub left: usize,
}

/// A batch being written.
pub(super) struct Flight {
    pub key: u64,
    pub record: Record,
    pub open: bool,
    pub then: Then,
    /// Bytes that were seen behind the batch, the beginning of a line.
    pub left: usize,
}

/// What follows a batch of a stream.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// The pipe says whether there is more.
    Look,
    /// There is nothing more, and never will be.
    End,
}

/// What a stream had to give.
pub(super) enum Seen {
    Batch(Prepared),
    Nothing,
    End,
}
