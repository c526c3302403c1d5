//! Control groups, of both versions: where a proc lives, what it may use, and how it is ended for certain.
//! Owns: detection of the host's hierarchies, the base and its per-run directories, limits, figures, kill.
//! Never: touches a cgroup above the base, save to enable controllers at the top of a v2 mount that it was told is ours.
//! Every error names the file that it is about.

mod base;
mod host;
mod kill;
mod limits;
pub mod parse;
mod run;
mod usage;

pub use base::Base;
pub use host::{Controller, Host, Layout};
pub use limits::Limits;
pub use run::RunCgroup;
pub use usage::{Cpu, Memory};

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What could not be done with which file, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {what}: {source}", path.display())]
pub struct Error {
    pub path: PathBuf,
    pub what: &'static str,
    pub source: io::Error,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(path: impl Into<PathBuf>, what: &'static str, source: impl Into<io::Error>) -> Error {
        Error { path: path.into(), what, source: source.into() }
    }

    /// The directory or file is not there: removed, or of a controller that is not enabled.
    pub fn is_missing(&self) -> bool {
        // A file of a directory that was removed while open answers ENODEV.
        self.source.kind() == io::ErrorKind::NotFound || self.source.raw_os_error() == Some(libc::ENODEV)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::new(path, "read", error))
}

/// The number in a file that holds one.
fn read_number(path: &Path) -> Result<u64> {
    let text = read(path)?;
    parse::number(&text).ok_or_else(|| Error::new(path, "understand", io::ErrorKind::InvalidData))
}

/// None where the kernel has no such file, or the controller is not enabled.
fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// In one write, as the kernel wants it. O_NONBLOCK because lowering `memory.max` otherwise reclaims in our own call,
/// for as long as that takes (kernels since 6.12; others ignore the flag).
fn write(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Error::new(path, "write", error))
}

fn make_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::new(path, "create the cgroup", error)),
        _ => Ok(()),
    }
}
