//! What becomes of rotated files: compressed once their log is calm, removed when all of them together are too large.
//! Owns: the thread that does it, which is there only while there is something to do, and runs when nothing else wants to.
//! Never: touches a current file, or the newest rotated one: whoever ships logs may still be reading there.
//!
//! A log that is rotated every few seconds is not compressed: what is made of it would be gone before it is of use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::model::ids::AppName;
use crate::model::time::Mono;
use crate::sys::open::{create_new, names, open_dir, open_read, rename, unlink};
use crate::sys::priority;

use super::capture::Clock;
use super::file::LogDir;
use super::rotate::{COMPRESSED, Elder, elder_number, elders, forgive_missing};

/// How long a log has not been rotated when it is calm.
const CALM: Duration = Duration::from_secs(10);
/// zstd's own choice between speed and size.
const LEVEL: i32 = 3;

/// How much all rotated files of this host may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostCap {
    None,
    Bytes(u64),
    /// Of the file system that the logs are on.
    Percent(u8),
}

/// A log that was rotated, and what its app wants done with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    pub app: AppName,
    pub file: String,
    pub compress: bool,
    /// Bytes, for all logs of the app together; 0: no limit.
    pub max_total: u64,
}

pub struct Archive {
    inner: Arc<Inner>,
}

struct Inner {
    root: Arc<LogDir>,
    host_cap: HostCap,
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Apps whose files may be too large together, each with its limit.
    grown: BTreeMap<AppName, u64>,
    /// Logs to be compressed, and when they are calm.
    waiting: BTreeMap<(AppName, String), Mono>,
    running: bool,
    over: bool,
}

enum Task {
    Shrink(AppName, u64),
    Compress(AppName, String),
}

impl Archive {
    pub fn new(root: Arc<LogDir>, host_cap: HostCap, clock: Clock) -> Self {
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        Self { inner: Arc::new(Inner { root, host_cap, clock, state, changed }) }
    }

    pub fn root(&self) -> Arc<LogDir> {
        Arc::clone(&self.inner.root)
    }

    /// Sees to a log's rotated files, now and once it is calm.
    pub fn note(&self, Rotated { app, file, compress, max_total }: Rotated) {
        let mut state = self.inner.state();
        if compress {
            let due = (self.inner.clock)().mono + CALM;
            state.waiting.insert((app.clone(), file), due);
        }
        state.grown.insert(app, max_total);
        if !state.running {
            let inner = Arc::clone(&self.inner);
            let begun = thread::Builder::new().name("log-archive".to_owned()).stack_size(256 << 10);
            // Without a thread nothing is done until the next rotation.
            state.running = begun.spawn(move || inner.run()).is_ok();
        }
        self.inner.changed.notify_one();
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.inner.state().over = true;
        self.inner.changed.notify_one();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        // If the kernel refuses, it competes as any other thread does.
        let _ = priority::only_when_idle();
        while let Some(task) = self.next() {
            let done = match &task {
                Task::Shrink(app, cap) => self.shrink(app, *cap),
                Task::Compress(app, file) => self.compress(app, file),
            };
            if let Err(error) = done {
                let (Task::Shrink(app, _) | Task::Compress(app, _)) = &task;
                tracing::warn!("the rotated logs of {app}: {error}");
            }
        }
    }

    /// The next that is due. None: there is nothing more to do, and the thread is taken for ended.
    fn next(&self) -> Option<Task> {
        let mut state = self.state();
        loop {
            if state.over {
                return None;
            }
            if let Some((app, cap)) = state.grown.pop_first() {
                return Some(Task::Shrink(app, cap));
            }
            let now = (self.clock)().mono;
            let soonest = state.waiting.iter().min_by_key(|(_, due)| **due).map(|(log, due)| (log.clone(), *due));
            match soonest {
                None => {
                    state.running = false;
                    return None;
                }
                Some((log, due)) if due <= now => {
                    state.waiting.remove(&log);
                    return Some(Task::Compress(log.0, log.1));
                }
                Some((_, due)) => {
                    let waited = self.changed.wait_timeout(state, due.since(now));
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn compress(&self, app: &AppName, current: &str) -> io::Result<()> {
        let dir = open_dir(self.root.as_fd(), app.as_str())?;
        let found = self.without_twins(dir.as_fd(), current)?;
        for elder in found.iter().filter(|elder| !elder.is_compressed() && elder.number > 1) {
            if self.state().over {
                return Ok(());
            }
            let plain = match open_read(dir.as_fd(), &elder.name) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                plain => plain?,
            };
            let temp = format!("{current}{COMPRESSED}.new");
            forgive_missing(unlink(dir.as_fd(), &temp))?;
            let made = self.write(&plain, &create_new(dir.as_fd(), &temp)?).and_then(|()| {
                // It may have been rotated on meanwhile, or removed.
                let _names = self.root.names();
                let seen = plain.metadata()?;
                let now = elders(dir.as_fd(), current)?.into_iter().find(|other| {
                    let same = |file: File| file.metadata().is_ok_and(|m| m.ino() == seen.ino());
                    !other.is_compressed() && open_read(dir.as_fd(), &other.name).is_ok_and(same)
                });
                let Some(now) = now else { return Err(ErrorKind::NotFound.into()) };
                rename(dir.as_fd(), &temp, &format!("{}{COMPRESSED}", now.name))?;
                forgive_missing(unlink(dir.as_fd(), &now.name))
            });
            if let Err(error) = made {
                forgive_missing(unlink(dir.as_fd(), &temp))?;
                if error.kind() != ErrorKind::NotFound {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The rotated files, once each: who died between the two last steps of `compress` left one as it was beside what was
    /// made of it.
    fn without_twins(&self, dir: BorrowedFd<'_>, current: &str) -> io::Result<Vec<Elder>> {
        // A rotation between the look and the removal would put another file under the name.
        let _names = self.root.names();
        let mut found = elders(dir, current)?;
        let packed: BTreeSet<u32> = found.iter().filter(|e| e.is_compressed()).map(|e| e.number).collect();
        let is_twin = |elder: &Elder| !elder.is_compressed() && packed.contains(&elder.number);
        for twin in found.iter().filter(|elder| is_twin(elder)) {
            forgive_missing(unlink(dir, &twin.name))?;
        }
        found.retain(|elder| !is_twin(elder));
        Ok(found)
    }

    /// With its owner, mode and time: a reader knows the file by the time that it was written last.
    fn write(&self, mut plain: &File, packed: &File) -> io::Result<()> {
        let seen = plain.metadata()?;
        packed.set_permissions(std::fs::Permissions::from_mode(seen.mode() & 0o7777))?;
        std::os::unix::fs::fchown(packed, Some(seen.uid()), Some(seen.gid()))?;
        let mut encoder = zstd::Encoder::new(packed, LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut plain, &mut encoder)?;
        encoder.finish()?;
        packed.set_modified(seen.modified()?)?;
        packed.sync_all()
    }

    /// Removes the oldest rotated files while there is more than there may be: of the app, then of the host.
    fn shrink(&self, app: &AppName, cap: u64) -> io::Result<()> {
        if cap > 0 {
            self.remove_oldest(&[app.as_str().to_owned()], cap)?;
        }
        let cap = match self.host_cap {
            HostCap::None => return Ok(()),
            HostCap::Bytes(bytes) => bytes,
            HostCap::Percent(percent) => {
                let disk = nix::sys::statvfs::fstatvfs(self.root.as_fd())?;
                (disk.blocks() as u64).saturating_mul(disk.fragment_size() as u64) / 100 * u64::from(percent)
            }
        };
        self.remove_oldest(&names(self.root.as_fd())?, cap)
    }

    fn remove_oldest(&self, apps: &[String], cap: u64) -> io::Result<()> {
        let (mut total, mut removable) = (0, Vec::new());
        for app in apps {
            // stead's own log is a file here, and anybody may have put another.
            let Ok(dir) = open_dir(self.root.as_fd(), app) else { continue };
            let files = names(dir.as_fd())?;
            let dir = Arc::new(dir);
            for name in &files {
                let Ok(seen) = open_read(dir.as_fd(), name).and_then(|file| file.metadata()) else { continue };
                let size = seen.blocks() * 512;
                total += size;
                if files.iter().any(|current| elder_number(current, name).is_some()) || is_orphan(name) {
                    removable.push((seen.modified()?, size, seen.ino(), Arc::clone(&dir), name.clone()));
                }
            }
        }
        removable.sort_by_key(|(modified, ..)| *modified);
        for (_, size, ino, dir, name) in removable {
            if total <= cap {
                break;
            }
            let _names = self.root.names();
            // A rotation may have put a newer file under the name; then there will be another look.
            let same = open_read(dir.as_fd(), &name).and_then(|file| file.metadata()).is_ok_and(|now| now.ino() == ino);
            if same {
                forgive_missing(unlink(dir.as_fd(), &name))?;
                total -= size;
            }
        }
        Ok(())
    }
}

/// A rotated file whose log is not there at the moment: nothing was written since.
fn is_orphan(name: &str) -> bool {
    let base = name.strip_suffix(COMPRESSED).unwrap_or(name);
    base.rsplit_once('.').is_some_and(|(current, _)| current.ends_with(".log") && elder_number(current, name).is_some())
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
