//! Log files: where they stand, who may read them, and appending to one.
//! Owns: names, modes and owners below the log directory, rotation by size, and noticing that a file was taken away.
//! Never: follows a link, cuts a file that nobody asked to flush, or reads one.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::ids::{AppName, InstanceId, Slot};
use crate::model::logframe::LogStream;
use crate::model::spec::{LogFormat, LogSettings};
use crate::sys::open::{make_dir, names, open_append, open_dir, open_read, open_root, set_group, unlink};

use super::archive::Rotated;
use super::journal::send_lines;
use super::record::{FileId, Record, missing};
use super::rotate::{elder_number, elders, forgive_missing, rotate};

const DIR_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// The directory all apps' log directories stand in.
pub struct LogDir {
    dir: OwnedFd,
    names: Mutex<()>,
}

impl LogDir {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { dir: open_root(path)?, names: Mutex::default() })
    }

    /// Held by whoever renames files of logs, or removes them.
    pub fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The app's own directory, made if it is missing.
    fn app_dir(&self, app: &AppName, gid: Option<u32>) -> io::Result<OwnedFd> {
        match make_dir(self.as_fd(), app.as_str(), DIR_MODE) {
            Ok(()) => {}
            // The app may have another user now than when it was made.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        let dir = open_dir(self.as_fd(), app.as_str())?;
        give_to_group(&dir, gid)?;
        Ok(dir)
    }
}

/// Opens a file outside the log directory as the app's user would: for appending, or for reading.
pub type Opener = Arc<dyn Fn() -> io::Result<File> + Send + Sync>;

/// Where a stream's lines go.
#[derive(Clone)]
pub enum Place {
    /// `<app>/<file>` below the log directory, readable by the app's group.
    Kept { app: AppName, file: String, gid: Option<u32> },
    /// `out_file` and `error_file`: opened by the caller, never rotated, since its directory is not ours.
    Outside { path: String, open: Opener },
    /// journald's, entry by entry. Who dies in the middle of a batch leaves it to be sent once more: what the journal has is
    /// not looked for.
    Journal(InstanceId),
}

/// A log file and what is done to it. Streams with equal places share one.
#[derive(Debug, Clone)]
pub struct Target {
    pub place: Place,
    pub format: LogFormat,
    /// 0: never rotated.
    pub max_size: u64,
    /// Rotated files kept beside the current one.
    pub max_files: u32,
    /// Rotated files are compressed.
    pub compress: bool,
    /// Of all logs of the app together, bytes. 0: no limit.
    pub max_total: u64,
}

impl Place {
    /// Where a stream of an instance goes by its app's settings. `many` as for `file_name`; `open` makes the opener of a
    /// file outside, for appending or for reading.
    pub fn of(
        settings: &LogSettings,
        instance: &InstanceId,
        many: bool,
        stream: LogStream,
        gid: Option<u32>,
        open: impl FnOnce(&str) -> Opener,
    ) -> Place {
        let outside = match stream {
            LogStream::Out => &settings.out_file,
            LogStream::Err => &settings.error_file,
        };
        match outside {
            Some(path) => Place::Outside { path: path.clone(), open: open(path) },
            None => {
                let file = file_name(settings.format, &instance.app, instance.slot, many, stream);
                Place::Kept { app: instance.app.clone(), file, gid }
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Kept { app, file, .. } => write!(f, "{app}/{file}"),
            Place::Outside { path, .. } => f.write_str(path),
            Place::Journal(instance) => write!(f, "journal:{instance}"),
        }
    }
}

/// The file of one stream of one instance, within its app's directory. Raw files are named and shared as PM2 does;
/// `many`: the app is configured for more than one instance.
pub fn file_name(format: LogFormat, app: &AppName, slot: Slot, many: bool, stream: LogStream) -> String {
    let kind = match stream {
        LogStream::Out => "out",
        LogStream::Err => "error",
    };
    match format {
        LogFormat::Raw if many => format!("{app}-{kind}-{slot}.log"),
        LogFormat::Raw => format!("{app}-{kind}.log"),
        LogFormat::Cri | LogFormat::Json | LogFormat::Journal | LogFormat::None => format!("{slot}.log"),
    }
}

/// An append that did not happen, or not whole.
#[derive(Debug, thiserror::Error)]
#[error("cannot append to {place}: {why}")]
pub struct AppendError {
    pub place: String,
    pub written: usize,
    pub why: io::Error,
}

/// Whether an append may still go ahead once the file's length is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    Ahead,
    /// Nobody waits for it any more.
    Back,
}

/// A target's current file.
pub struct LogFile {
    target: Arc<Target>,
    open: Option<Open>,
    /// The last append failed within a line, which must be ended before the next.
    torn: bool,
    /// The file ends within a line, as a raw file may.
    mid_line: bool,
    /// It was rotated, and nobody has been told.
    rotated: bool,
}

struct Open {
    file: File,
    dir: Option<OwnedFd>,
}

impl LogFile {
    /// Opens nothing yet.
    pub fn new(target: Arc<Target>) -> Self {
        Self { target, open: None, torn: false, mid_line: false, rotated: false }
    }

    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub fn set_target(&mut self, target: Arc<Target>) {
        self.target = target;
    }

    /// Opens the file anew at the next append: somebody moved it.
    pub fn reopen(&mut self) {
        self.open = None;
    }

    /// Appends whole lines, rotating first if they do not fit. `before` is told the file and its length just before the
    /// write. Returns the length after it.
    pub fn append(
        &mut self,
        root: &LogDir,
        lines: &[u8],
        before: &mut dyn FnMut(FileId, u64) -> Go,
    ) -> Result<u64, AppendError> {
        let mut written = 0;
        let result = self.try_append(root, lines, before, &mut written);
        if written > 0 {
            self.mid_line = lines[written - 1] != b'\n';
            self.torn = self.mid_line && result.is_err();
        }
        result.map_err(|why| AppendError { place: self.target.place.to_string(), written, why })
    }

    fn try_append(
        &mut self,
        root: &LogDir,
        lines: &[u8],
        before: &mut dyn FnMut(FileId, u64) -> Go,
        written: &mut usize,
    ) -> io::Result<u64> {
        if let Place::Journal(instance) = &self.target.place {
            return match before(FileId::JOURNAL, 0) {
                Go::Ahead => send_lines(instance, lines, written).map(|()| 0),
                Go::Back => Err(ErrorKind::TimedOut.into()),
            };
        }
        let (id, mut len) = self.ready(root, lines.len() as u64)?;
        let Some(Open { file, .. }) = &mut self.open else { return Err(ErrorKind::NotFound.into()) };
        if self.torn {
            file.write_all(b"\n")?;
            len += 1;
            self.torn = false;
            self.mid_line = false;
        }
        if before(id, len) == Go::Back {
            return Err(ErrorKind::TimedOut.into());
        }
        write_counted(file, lines, written)?;
        Ok(len + lines.len() as u64)
    }

    /// Has the right file open: made, not taken away meanwhile, and with room. Returns which and how long it is.
    fn ready(&mut self, root: &LogDir, adding: u64) -> io::Result<(FileId, u64)> {
        let (mut id, mut len, links) = self.look(root)?;
        if links == 0 {
            self.open = None;
            (id, len, _) = self.look(root)?;
        }
        let limit = self.target.max_size;
        if limit > 0 && len > 0 && len + adding > limit && !self.mid_line && self.rotate(root) {
            (id, len, _) = self.look(root)?;
        }
        Ok((id, len))
    }

    fn look(&mut self, root: &LogDir) -> io::Result<(FileId, u64, u64)> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(open_target(root, &self.target.place)?),
        };
        let seen = open.file.metadata()?;
        Ok((FileId { dev: seen.dev(), ino: seen.ino() }, seen.len(), seen.nlink()))
    }

    /// False: the file could not be moved, and is written on. Too long a log is better than none.
    fn rotate(&mut self, root: &LogDir) -> bool {
        let Place::Kept { file, .. } = &self.target.place else { return false };
        let Some(Open { dir: Some(dir), .. }) = &self.open else { return false };
        let _names = root.names();
        let moved = rotate(dir.as_fd(), file, self.target.max_files).is_ok();
        if moved {
            self.open = None;
            self.rotated = true;
        }
        moved
    }

    /// What is to be done with the files of a rotation since the last call.
    pub fn take_rotated(&mut self) -> Option<Rotated> {
        let Place::Kept { app, file, .. } = &self.target.place else { return None };
        let Target { compress, max_total, .. } = *self.target;
        std::mem::take(&mut self.rotated).then(|| Rotated { app: app.clone(), file: file.clone(), compress, max_total })
    }

    /// Appends what a dead daemon did not get to append, to the very file it wrote, under whatever name that is now. Gone
    /// with its file is gone: those lines were in it, or belonged there.
    pub fn complete(&mut self, root: &LogDir, record: &Record, lines: &[u8]) -> io::Result<()> {
        if let Place::Journal(instance) = &self.target.place {
            return send_lines(instance, lines, &mut 0);
        }
        self.look(root)?;
        let Some(Open { file, dir }) = &mut self.open else { return Ok(()) };
        if is(file, record.file)? {
            let range = missing(record, file.metadata()?.len(), lines);
            return file.write_all(&lines[range]);
        }
        let (Some(dir), Place::Kept { file: name, .. }) = (dir, &self.target.place) else { return Ok(()) };
        for elder in elders(dir.as_fd(), name)? {
            let mut elder = open_append(dir.as_fd(), &elder.name, None)?;
            if is(&elder, record.file)? {
                let range = missing(record, elder.metadata()?.len(), lines);
                return elder.write_all(&lines[range]);
            }
        }
        Ok(())
    }

    /// Whether these bytes stand near the end of the file, or of the one that was rotated away last.
    pub fn holds(&mut self, root: &LogDir, lines: &[u8]) -> io::Result<bool> {
        if let Place::Journal(_) = self.target.place {
            return Ok(false);
        }
        self.look(root)?;
        let Some(Open { file, dir }) = &self.open else { return Ok(false) };
        let (Some(dir), Place::Kept { file: name, .. }) = (dir, &self.target.place) else {
            return ends_with(file, lines);
        };
        if ends_with(&open_read(dir.as_fd(), name)?, lines)? {
            return Ok(true);
        }
        match elders(dir.as_fd(), name)?.first() {
            Some(elder) => ends_with(&open_read(dir.as_fd(), &elder.name)?, lines),
            None => Ok(false),
        }
    }

    /// Empties the file. Appends go on at its new end.
    pub fn flush(&mut self, root: &LogDir) -> io::Result<()> {
        if let Place::Journal(_) = self.target.place {
            return Ok(());
        }
        self.look(root)?;
        if let Some(open) = &self.open {
            open.file.set_len(0)?;
        }
        self.torn = false;
        self.mid_line = false;
        Ok(())
    }
}

/// How far from the end of a file is looked for what may have been the last that a daemon wrote.
const NEAR: u64 = 1 << 20;

fn ends_with(file: &File, lines: &[u8]) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(NEAR);
    let mut end = vec![0; usize::try_from(len - from).unwrap_or(0)];
    file.read_exact_at(&mut end, from)?;
    Ok(memchr::memmem::find(&end, lines).is_some())
}

fn is(file: &File, id: FileId) -> io::Result<bool> {
    let seen = file.metadata()?;
    Ok(FileId { dev: seen.dev(), ino: seen.ino() } == id)
}

/// write(2) until all is written, knowing how much was when it fails.
fn write_counted(file: &mut File, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match file.write(&bytes[*written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn open_target(root: &LogDir, place: &Place) -> io::Result<Open> {
    let (file, dir) = match place {
        Place::Outside { open, .. } => return Ok(Open { file: open()?, dir: None }),
        Place::Journal(_) => return Err(ErrorKind::Unsupported.into()),
        Place::Kept { app, file: name, gid } => {
            let dir = root.app_dir(app, *gid)?;
            match open_append(dir.as_fd(), name, None) {
                Ok(file) => (file, dir),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let file = open_append(dir.as_fd(), name, Some(FILE_MODE))?;
                    give_to_group(&file, *gid)?;
                    (file, dir)
                }
                Err(e) => return Err(e),
            }
        }
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Open { file, dir: Some(dir) })
}

fn give_to_group(file: &impl AsFd, gid: Option<u32>) -> io::Result<()> {
    gid.map_or(Ok(()), |gid| set_group(file.as_fd(), gid))
}

/// Empties every log of an app and removes the rotated ones. Files that are being written stay the same files.
pub fn flush_app(root: &LogDir, app: &AppName) -> io::Result<()> {
    let dir = match open_dir(root.as_fd(), app.as_str()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let names = names(dir.as_fd())?;
    let _no_other = root.names();
    for name in &names {
        if names.iter().any(|current| elder_number(current, name).is_some()) {
            forgive_missing(unlink(dir.as_fd(), name))?;
        } else if name.ends_with(".log") {
            forgive_missing(open_append(dir.as_fd(), name, None).and_then(|file| file.set_len(0)))?;
        }
    }
    Ok(())
}

/// A fresh directory for a test.
#[cfg(test)]
pub(crate) fn scratch(name: &str) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("stead-logs-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the temporary directory takes a directory");
    dir
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
