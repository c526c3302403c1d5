//! `pid_file`: for programs that look for a process id in a file.
//! Owns: the thread that writes and removes them, in the order of what happened, with the rights of the app's user.
//! Never: holds the loop up; a file system that hangs hangs that thread alone. Removes a file that says something else.

use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use super::account::Account;
use super::executor::Executor;
use crate::model::ids::{Run, Slot};
use crate::model::spec::AppSpec;
use crate::sys::identity;

/// More than that many do not wait for a file system that hangs.
const WAITING: usize = 4096;

/// What is to be done with a file.
#[derive(Debug)]
pub struct Order {
    pub path: PathBuf,
    pub account: Account,
    pub pid: i32,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Write,
    /// If it still names this process: its successor may have written it meanwhile.
    Remove,
}

/// Does nothing until an app has such a file.
#[derive(Debug, Default)]
pub struct PidFiles {
    orders: Option<SyncSender<Order>>,
}

impl PidFiles {
    pub fn give(&mut self, order: Order) {
        let orders = self.orders.get_or_insert_with(|| {
            let (give, take) = sync_channel::<Order>(WAITING);
            let thread = std::thread::Builder::new().name("pid-files".into());
            let spawned = thread.spawn(move || take.iter().for_each(|order| carry_out(&order)));
            if let Err(error) = spawned {
                tracing::error!("no pid file will be written: {error}");
            }
            give
        });
        match orders.try_send(order) {
            Ok(()) => {}
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                tracing::warn!("{} is left as it is: the files before it hang", order.path.display());
            }
        }
    }
}

impl Executor {
    /// Says in the app's `pid_file` that this run serves, or that it does no more.
    pub(super) fn tell_pid(&mut self, run: Run, what: What) {
        let Some(live) = self.runs.get(&run) else { return };
        let path = path_of(&live.spec, live.proc.instance.slot);
        if let (Some(path), Some(account), Some(pid)) = (path, &live.account, live.pid) {
            self.pid_files.give(Order { path, account: account.clone(), pid, what });
        }
    }
}

/// Where the file of an instance is.
fn path_of(spec: &AppSpec, slot: Slot) -> Option<PathBuf> {
    let path = Path::new(spec.pid_file.as_deref()?);
    if spec.instances <= 1 {
        return Some(path.into());
    }
    let stem = path.file_stem()?.to_string_lossy();
    let extension = path.extension().map(|text| format!(".{}", text.to_string_lossy())).unwrap_or_default();
    Some(path.with_file_name(format!("{stem}-{slot}{extension}")))
}

fn carry_out(order: &Order) {
    let Account { uid, gid, groups, .. } = &order.account;
    let done = identity::as_user(*uid, *gid, groups, || match order.what {
        What::Write => write(&order.path, order.pid),
        What::Remove => remove(&order.path, order.pid),
    });
    if let Err(error) = done.and_then(|done| done) {
        let verb = if order.what == What::Write { "write" } else { "remove" };
        tracing::warn!("cannot {verb} {} as {}: {error}", order.path.display(), order.account.name);
    }
}

/// Whole or not at all: whoever reads it finds a number.
fn write(path: &Path, pid: i32) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    // What somebody has put there is not followed: it is their name, not their file, that is taken.
    let _ = std::fs::remove_file(&draft);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft)?;
    writeln!(file, "{pid}")?;
    std::fs::rename(&draft, path)
}

fn remove(path: &Path, pid: i32) -> io::Result<()> {
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let mut said = String::new();
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?.take(32).read_to_string(&mut said)?,
    };
    if said.trim() == pid.to_string() { std::fs::remove_file(path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_removed_by_whom_it_names_alone() {
        let dir = std::env::temp_dir().join(format!("stead-pid-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.pid");
        remove(&path, 7).unwrap();
        write(&path, 7).unwrap();
        write(&path, 8).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "8\n");
        remove(&path, 7).unwrap();
        assert!(path.exists());
        remove(&path, 8).unwrap();
        // Only if nothing else is in it.
        std::fs::remove_dir(&dir).unwrap();
    }
}
