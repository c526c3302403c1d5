//! Ending everything in a cgroup.
//! Owns: `cgroup.kill`, and what stands in for it: the freezer, and a loop over the pids.
//! Never: waits for the end: whoever asked watches `populated`. A pid is signalled by pidfd only, and only if it is still
//! in the cgroup once the pidfd is open, so a number used again is never hit.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::host::Controller;
use super::run::RunCgroup;
use super::{Error, Result, optional, write};
use crate::sys::pidfd;

/// Rounds of the loop that no kernel file spares us; each ends more than the app can fork meanwhile, or `pids.max` does.
const ROUNDS: usize = 32;

impl RunCgroup {
    /// SIGKILL to every process, and to what they fork meanwhile. Nothing to do in a cgroup that is empty or gone.
    pub fn kill(&self) -> Result<()> {
        if let Some(dir) = &self.v2 {
            match write(&dir.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                // The whole directory is gone.
                Err(error) if error.is_missing() && !dir.exists() => return Ok(()),
                // Before 5.14, or a threaded cgroup.
                Err(error) if error.is_missing() || error.source.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
        self.kill_each()
    }

    /// SIGKILL pid by pid, until no new one is found. Also for what `cgroup.kill` has missed: before 6.12.117 it does not
    /// see a process whose first thread has ended.
    pub fn kill_each(&self) -> Result<()> {
        // No new process from here on, where that can be said.
        if let Some(dir) = self.v1(Controller::Pids).or(self.v2.as_deref()) {
            let _ = write(&dir.join("pids.max"), "0");
        }
        let freezer = self.v1(Controller::Freezer);
        if let Some(dir) = freezer {
            freeze(dir, "FROZEN")?;
        }
        let result = self.kill_rounds();
        if let Some(dir) = freezer {
            // The frozen die once they are thawed.
            freeze(dir, "THAWED")?;
        }
        result
    }

    fn kill_rounds(&self) -> Result<()> {
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let pids = self.procs()?;
            // The same again: all have their signal, and none has forked.
            if pids.is_empty() || pids == last {
                return Ok(());
            }
            self.signal_those(&pids, libc::SIGKILL)?;
            last = pids;
        }
        Ok(())
    }

    /// A signal to every process that is in it now. Returns how many got it.
    pub fn signal(&self, signal: i32) -> Result<usize> {
        self.signal_those(&self.procs()?, signal)
    }

    fn signal_those(&self, pids: &[i32], signal: i32) -> Result<usize> {
        let place = || self.tracking().unwrap_or(Path::new("/sys/fs/cgroup"));
        let open: Vec<_> = pids.iter().filter_map(|&pid| Some((pid, pidfd::open(pid).ok()?))).collect();
        let still_here = self.procs()?;
        let mut sent = 0;
        for (pid, fd) in open {
            if !still_here.contains(&pid) {
                continue;
            }
            match pidfd::send_signal(fd.as_fd(), signal) {
                Ok(()) => sent += 1,
                // It ended by itself.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => return Err(Error::new(place(), "signal its processes", error)),
            }
        }
        Ok(sent)
    }
}

/// v1 answers a write of FROZEN at once and freezes by and by; a process that cannot be frozen is killed all the same.
fn freeze(dir: &Path, state: &'static str) -> Result<()> {
    match optional(write(&dir.join("freezer.state"), state)) {
        Ok(_) => Ok(()),
        Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}
