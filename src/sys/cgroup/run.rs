//! The cgroup of one run of one instance.
//! Owns: its directories in every hierarchy that it has entered, who is in it, whether it is empty, and its end.
//! Never: is used for a second run: peaks and counters would mix, and a cgroup that was killed once kills what is cloned
//! into it (Linux before 7.2.13).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::host::Controller;
use super::{Error, Result, optional, parse, read, write};

/// Directories of a run. Empty on a host without cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunCgroup {
    pub v2: Option<PathBuf>,
    pub v1: Vec<(Controller, PathBuf)>,
}

impl RunCgroup {
    pub(super) fn v1(&self, controller: Controller) -> Option<&Path> {
        self.v1.iter().find(|(known, _)| *known == controller).map(|(_, dir)| dir.as_path())
    }

    /// The directory in the hierarchy that says which processes there are.
    pub(super) fn tracking(&self) -> Option<&Path> {
        let v1 = || self.v1(Controller::Freezer).or_else(|| self.v1.first().map(|(_, dir)| dir.as_path()));
        self.v2.as_deref().or_else(v1)
    }

    /// For the plan of a spawn: the v2 directory to be born in.
    pub fn clone_into(&self) -> Option<CString> {
        CString::new(self.v2.as_ref()?.as_os_str().as_bytes()).ok()
    }

    /// For the plan of a spawn: the v1 files for the child to write itself into, each once.
    pub fn enter_also(&self) -> Vec<CString> {
        let mut files: Vec<CString> = self
            .v1
            .iter()
            .filter_map(|(_, dir)| CString::new(dir.join("cgroup.procs").as_os_str().as_bytes()).ok())
            .collect();
        files.sort();
        files.dedup();
        files
    }

    /// The number that the kernel knows the v2 cgroup by: in inet_diag, in BPF, in PIDFD_GET_INFO.
    pub fn id(&self) -> Option<u64> {
        Some(std::fs::metadata(self.v2.as_ref()?).ok()?.ino())
    }

    /// The pids in it, those of cgroups that the app has made inside it among them. Empty once it is gone.
    pub fn procs(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(dir) = self.tracking() {
            collect(dir, &mut pids)?;
        }
        Ok(pids)
    }

    /// Whether any process is left, threads that outlive their leader included. A directory that is gone is empty.
    pub fn populated(&self) -> Result<bool> {
        let Some(dir) = &self.v2 else { return Ok(!self.procs()?.is_empty()) };
        // Asked at every exit, so without the calls that find out how long a file is.
        let path = dir.join("cgroup.events");
        let mut buffer = [0; 128];
        let mut look = || std::io::Read::read(&mut std::fs::File::open(&path)?, &mut buffer);
        let Some(length) = optional(look().map_err(|error| Error::new(&path, "read", error)))? else {
            return Ok(false);
        };
        let text = String::from_utf8_lossy(&buffer[..length]);
        Ok(parse::key(&text, "populated") == Some(1))
    }

    /// The file that changes when `populated` does. v2 only.
    pub fn events_file(&self) -> Option<PathBuf> {
        Some(self.v2.as_ref()?.join("cgroup.events"))
    }

    /// The file that changes when memory.high or memory.max is hit. v2 only, and only with the memory controller there.
    pub fn memory_events_file(&self) -> Option<PathBuf> {
        let file = self.v2.as_ref()?.join("memory.events");
        (self.v1(Controller::Memory).is_none() && file.exists()).then_some(file)
    }

    /// Processes that the kernel has killed in here for want of memory. On v2 it rises before the SIGKILL, so it is exact
    /// once an exit is seen; on v1 it can rise up to 2 ms after the event. With `oom_group` each process of the run counts.
    /// 0 without the memory controller.
    pub fn oom_kills(&self) -> Result<u64> {
        let file = match (self.v1(Controller::Memory), &self.v2) {
            (Some(dir), _) => dir.join("memory.oom_control"),
            (None, Some(dir)) => dir.join("memory.events"),
            (None, None) => return Ok(0),
        };
        let text = optional(read(&file))?;
        Ok(text.and_then(|text| parse::key(&text, "oom_kill")).unwrap_or(0))
    }

    /// Times that memory.high was crossed. v2 only.
    pub fn memory_high_hits(&self) -> Result<u64> {
        let Some(file) = self.memory_events_file() else { return Ok(0) };
        Ok(optional(read(&file))?.and_then(|text| parse::key(&text, "high")).unwrap_or(0))
    }

    /// v1: an eventfd that rises when the limit is hit for good, and when the directory is removed. None elsewhere.
    pub fn oom_eventfd(&self) -> Result<Option<OwnedFd>> {
        self.event("memory.oom_control", None)
    }

    /// v1: an eventfd that rises when usage crosses this many bytes, in either direction. None elsewhere.
    pub fn threshold_eventfd(&self, bytes: u64) -> Result<Option<OwnedFd>> {
        self.event("memory.usage_in_bytes", Some(bytes))
    }

    fn event(&self, file: &str, argument: Option<u64>) -> Result<Option<OwnedFd>> {
        let Some(dir) = self.v1(Controller::Memory) else { return Ok(None) };
        let path = dir.join(file);
        let watched = std::fs::File::open(&path).map_err(|error| Error::new(&path, "open", error))?;
        let eventfd = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| Error::new(&path, "make an eventfd for it", errno))?;
        let mut order = format!("{} {}", eventfd.as_raw_fd(), watched.as_raw_fd());
        if let Some(argument) = argument {
            order.push_str(&format!(" {argument}"));
        }
        write(&dir.join("cgroup.event_control"), &order)?;
        Ok(Some(eventfd.into()))
    }

    /// Removes every directory, those that the app has made inside included. EBUSY while a process is left.
    pub fn remove(&self) -> Result<()> {
        for dir in self.v2.iter().chain(self.v1.iter().map(|(_, dir)| dir)) {
            remove_tree(dir)?;
        }
        Ok(())
    }
}

fn collect(dir: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let Some(text) = optional(read(&dir.join("cgroup.procs")))? else { return Ok(()) };
    pids.extend(parse::pids(&text));
    for child in children(dir) {
        collect(&child, pids)?;
    }
    Ok(())
}

/// The cgroups directly below. The link count tells that there are none without opening the directory.
fn children(dir: &Path) -> Vec<PathBuf> {
    if std::fs::metadata(dir).is_ok_and(|metadata| metadata.nlink() == 2) {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter_map(|entry| entry.ok().filter(is_dir)).map(|entry| entry.path()).collect()
}

fn remove_tree(dir: &Path) -> Result<()> {
    for child in children(dir) {
        remove_tree(&child)?;
    }
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::new(dir, "remove the cgroup", error)),
        _ => Ok(()),
    }
}
