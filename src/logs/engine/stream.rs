//! One stream.
//! Owns: what is remembered of it between two looks.
//! Never: does anything with it.

use std::fs::File;
use std::sync::Arc;

use crate::model::logframe::LogStream;
use crate::model::time::Mono;

/// A stream being captured.
pub(super) struct Source {
    pub pipe: Arc<File>,
    pub ino: u64,
    /// The app's own pipe, while `pipe` is a file of what was spilled of it.
    pub behind: Option<Readable>,
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

/// A pipe, or a file of what was spilled of one.
pub(super) struct Readable {
    pub file: Arc<File>,
    pub ino: u64,
}

/// The beginning of a line in a pipe.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub bytes: usize,
    /// When it was first seen to be this long.
    pub since: Mono,
    /// It is not waited for any more.
    pub stands: bool,
}
