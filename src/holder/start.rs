//! From main to the loop: arguments, the runtime directory, the lock, and what a subreaper needs.
//! Owns: everything that is done once. Never: starts when another holder has the same runtime directory.

use std::ffi::{CString, OsString};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::fdstore;
use super::keeper::Keeper;
use super::protocol::NOTIFY;
use super::reexec::{self, Inherited};
use super::run::{Given, Holder, daemon_environment};
use super::say::{self, say};
use super::systemd::Systemd;
use crate::sys::{inherit, rlimit, signal, socket};

const USAGE: &str = "\
usage: stead-holder [--daemon PATH]

Starts steadd and keeps it running, and keeps the processes that steadd has started when it ends.
It is started by stead, or by systemd, and not by hand. The runtime directory is $STEAD_RUNTIME_DIR, or /run/stead.
";

/// The holder, from its arguments to its exit code.
pub fn main() -> ExitCode {
    match parse(std::env::args_os().skip(1)) {
        Ok(Arguments::Run { daemon }) => match hold(daemon) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                say!("{error}");
                ExitCode::from(1)
            }
        },
        Ok(Arguments::CanReadTable) => match can_read_table() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say!("{error}");
                ExitCode::from(1)
            }
        },
        Ok(Arguments::Help) => say::out(USAGE),
        Ok(Arguments::Version) => say::out(concat!("stead-holder ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            say!("{error}\n{}", USAGE.trim_end());
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Arguments {
    Run {
        daemon: Option<PathBuf>,
    },
    /// Asked by a holder that is to become this program.
    CanReadTable,
    Help,
    Version,
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let mut daemon = None;
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"--daemon" => daemon = Some(args.next().ok_or("--daemon needs a path")?.into()),
            word if word == reexec::QUESTION.to_bytes() => return Ok(Arguments::CanReadTable),
            b"--help" | b"-h" => return Ok(Arguments::Help),
            b"--version" | b"-V" => return Ok(Arguments::Version),
            _ => return Err(format!("unknown argument {}", arg.display())),
        }
    }
    Ok(Arguments::Run { daemon })
}

fn hold(daemon: Option<PathBuf>) -> Result<u8, String> {
    let found = daemon.clone().map_or_else(find_daemon, Ok)?;
    let daemon_program = c_string(found.as_os_str())?;
    let program = c_string(std::env::current_exe().map_err(|e| format!("cannot find itself: {e}"))?.as_os_str())?;
    let mut args = vec![program.clone()];
    if let Some(daemon) = &daemon {
        args.extend([c"--daemon".to_owned(), c_string(daemon.as_os_str())?]);
    }
    let runtime = runtime_dir();
    let notify = runtime.join("notify");
    let mut keeper = Keeper::new(daemon_program, daemon_environment());
    let mut systemd = Systemd::from_environment();
    let given = match inherited()? {
        Some(Inherited { table, store, lock, nofile, terminating }) => {
            say!("replaced by version {}", env!("CARGO_PKG_VERSION"));
            let lock = Flock::lock(File::from(lock), FlockArg::LockExclusiveNonblock);
            let lock = lock.map_err(|(_, errno)| format!("has lost its lock: {}", errno.desc()))?;
            (keeper.served, keeper.upgraded) = (true, true);
            Given { keeper, store, table, systemd, nofile, lock, program, args, terminating }
        }
        None => {
            signal::reset_inherited().map_err(|error| format!("cannot reset signals: {error}"))?;
            make_runtime_dir(&runtime).map_err(|error| format!("cannot create {}: {error}", runtime.display()))?;
            let lock = lock(&runtime.join("lock"))?;
            nix::sys::prctl::set_child_subreaper(true)
                .map_err(|errno| format!("cannot become a subreaper: {}", errno.desc()))?;
            let nofile =
                rlimit::raise_nofile().map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
            let (table, mut store) = match fdstore::recover(&mut systemd) {
                Some((table, store)) => {
                    say!("the one before was killed; {} processes are taken over", table.0.len());
                    keeper.served = true;
                    (table, store)
                }
                None => Default::default(),
            };
            // The path goes with the runtime directory, if systemd has removed that.
            if store.get(NOTIFY).is_none() || !notify.exists() {
                systemd.keep_stored(&mut store, NOTIFY.to_owned(), bind_notify(&notify)?);
            }
            Given { keeper, store, table, systemd, nofile, lock, program, args, terminating: false }
        }
    };
    let holder = Holder::new(given).map_err(|error| format!("cannot set up the event loop: {error}"))?;
    let result = holder.run();
    let _ = std::fs::remove_file(&notify);
    result
}

fn c_string(text: &std::ffi::OsStr) -> Result<CString, String> {
    CString::new(text.as_bytes()).map_err(|_| format!("{} has a NUL byte", text.display()))
}

/// What a holder before this one has carried through its exec.
fn inherited() -> Result<Option<Inherited>, String> {
    let Some(number) = std::env::var_os(reexec::VARIABLE) else { return Ok(None) };
    let wrong = |error: io::Error| format!("{} is {}: {error}", reexec::VARIABLE, number.display());
    let number =
        number.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong(io::ErrorKind::InvalidInput.into()))?;
    let memfd = inherit::take(number).map_err(wrong)?;
    let carried = reexec::read(memfd.as_fd())?;
    carried.inherit().map(Some).map_err(|error| format!("cannot take its descriptors over: {error}"))
}

/// The answer to a holder that asks whether this program could take its place.
fn can_read_table() -> Result<(), String> {
    let table = inherit::take(3).map_err(|error| format!("fd 3: {error}"))?;
    reexec::read(table.as_fd()).map(drop)
}

/// The lock is held, so a socket that stands there is what a dead holder has left.
fn bind_notify(path: &Path) -> Result<std::os::fd::OwnedFd, String> {
    let failed = |error: io::Error| format!("cannot bind {}: {error}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    socket::bind_datagram(path).map_err(failed)
}

/// systemd's variable may list several directories; ours is the first.
fn runtime_dir() -> PathBuf {
    let own = std::env::var_os("STEAD_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let systemd = || {
        let dirs = std::env::var_os("RUNTIME_DIRECTORY")?;
        let first = dirs.as_bytes().split(|byte| *byte == b':').next().filter(|dir| !dir.is_empty())?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(first)))
    };
    own.or_else(systemd).unwrap_or_else(|| PathBuf::from("/run/stead"))
}

fn make_runtime_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

/// Held until the holder ends, however it ends. The pid in it is for people. Nobody else may open the file: flock(2)
/// asks for no more than that, and whoever held the lock would keep stead from starting.
fn lock(path: &Path) -> Result<Flock<File>, String> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    // It may have been made with another mode by somebody else's version.
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(|error| format!("cannot change the mode of {}: {error}", path.display()))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => format!("already running: {} is locked by another stead-holder", path.display()),
        errno => format!("cannot lock {}: {}", path.display(), errno.desc()),
    })?;
    let written = lock.set_len(0).and_then(|()| (&*lock).write_all(format!("{}\n", std::process::id()).as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(lock)
}

/// Beside our own file, as built and as tests have it, or where packages put it.
fn find_daemon() -> Result<PathBuf, String> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("steadd")));
    let places = beside.into_iter().chain([PathBuf::from("/usr/sbin/steadd"), PathBuf::from("/usr/bin/steadd")]);
    let places: Vec<PathBuf> = places.collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!("cannot find steadd: looked for {}", places.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Arguments, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_a_daemon_or_nothing() {
        assert_eq!(parsed(&[]), Ok(Arguments::Run { daemon: None }));
        assert_eq!(parsed(&["--daemon", "/x"]), Ok(Arguments::Run { daemon: Some("/x".into()) }));
        assert_eq!(parsed(&["-h"]), Ok(Arguments::Help));
        assert!(parsed(&["--daemon"]).is_err());
        assert!(parsed(&["start"]).is_err());
    }

    #[test]
    fn a_second_lock_on_the_same_file_is_refused() {
        let path = std::env::temp_dir().join(format!("stead-lock-{}", std::process::id()));
        let first = lock(&path).unwrap();
        let error = lock(&path).unwrap_err();
        assert!(error.starts_with("already running"), "{error}");
        drop(first);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(lock(&path).is_ok());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "an old file is closed to others, too");
        std::fs::remove_file(&path).unwrap();
    }
}
