//! Reaching the daemon, and starting holder and daemon where nobody else does.
//! Owns: the decision that nothing runs, the background start, and waiting until the private socket answers.
//! Never: starts anything under systemd where stead is installed as a service: two parents would fight over the apps.

use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Code, Failure, Result};
use super::paths::Paths;
use super::talk::Talk;
use crate::bus::proxy::{Client, ClientError};

/// How long a daemon may take until it answers, having loaded its state and adopted what lives. One deadline for all
/// that a command tries: a daemon that was waited for is not waited for again.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(10);

/// The holder's program, and the name the kernel knows it by.
const HOLDER: &str = "stead-holder";

/// The daemon's and the apps' base, whatever the shell of whoever typed this had.
const BASE_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The daemon that runs. Where its holder lives, it is on its way back, and is waited for.
pub async fn connect(paths: &Paths) -> Result<Client> {
    within_patience(paths, connect_at_last(paths)).await
}

async fn connect_at_last(paths: &Paths) -> Result<Client> {
    match Client::connect(&paths.runtime).await {
        Err(ClientError::Absent { .. } | ClientError::Closed) if holder_lives(paths) => answer(paths, None).await,
        other => Ok(other?),
    }
}

/// The daemon, started in the background if none runs.
pub async fn connect_or_launch(paths: &Paths, talk: &Talk) -> Result<Client> {
    within_patience(paths, connect_or_launch_at_last(paths, talk)).await
}

async fn connect_or_launch_at_last(paths: &Paths, talk: &Talk) -> Result<Client> {
    match connect_at_last(paths).await {
        Err(failure) if failure.code == Code::Unavailable && !holder_lives(paths) => {
            if let Some(unit) = service(paths) {
                let text = format!("stead is installed as a service ({unit}) that does not run: systemctl start stead");
                return Err(Failure::new(Code::Unavailable, text));
            }
            let holder = launch(paths)?;
            let client = answer(paths, Some(holder)).await?;
            talk.note(&format!("started the daemon; it writes to {}", paths.daemon_log().display()));
            Ok(client)
        }
        other => other,
    }
}

/// Waits until the holder has let go of its lock, which is when it and its daemon are gone.
pub async fn gone(paths: &Paths, patience: Duration) -> Result {
    let Ok(lock) = File::open(paths.lock()) else { return Ok(()) };
    let (done, waited) = tokio::sync::oneshot::channel();
    // flock(2) blocks and cannot be told to stop; the thread ends with the process.
    std::thread::spawn(move || done.send(Flock::lock(lock, FlockArg::LockShared).is_ok()));
    match tokio::time::timeout(patience, waited).await {
        Ok(Ok(true)) => Ok(()),
        Ok(_) => Err(Failure::failed(format!("cannot lock {}", paths.lock().display()))),
        Err(_) => Err(Failure::failed("the apps are stopped, but the holder is still there: see \"stead doctor\"")),
    }
}

/// Whether a holder has its lock. Read from the kernel's list: trying the lock would, for a moment, keep a holder that
/// starts right now from getting it.
pub fn holder_lives(paths: &Paths) -> bool {
    let Ok(metadata) = std::fs::metadata(paths.lock()) else { return false };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    owners(&locks, metadata.ino()).any(|pid| is_holder(&pid))
}

/// proc_locks(5): `1: FLOCK  ADVISORY  WRITE 708 08:01:393219 0 EOF`. By inode only: on btrfs and overlayfs the device
/// there is not the one of stat(2).
fn owners(locks: &str, inode: u64) -> impl Iterator<Item = String> {
    locks.lines().filter_map(move |line| {
        let mut fields = line.split_whitespace().skip(1);
        // "->" stands here in the line of one who waits for the lock.
        fields.next().filter(|kind| *kind == "FLOCK")?;
        let pid = fields.nth(2)?;
        let file = fields.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
        (file == inode).then(|| pid.to_owned())
    })
}

/// The inode numbers of two file systems may be the same, and the file may once have been open to others: a lock is the
/// holder's if a holder has it.
fn is_holder(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == HOLDER)
}

/// The unit file, if systemd runs this host and knows stead.
fn service(paths: &Paths) -> Option<&'static str> {
    const UNITS: [&str; 3] = [
        "/etc/systemd/system/stead.service",
        "/usr/lib/systemd/system/stead.service",
        "/lib/systemd/system/stead.service",
    ];
    if paths.private || !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    UNITS.into_iter().find(|unit| Path::new(unit).exists())
}

/// Where the holder is: beside this program, or where packages put it.
pub fn holder_program() -> Result<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(HOLDER)));
    let candidates = beside.into_iter().chain([PathBuf::from("/usr/lib/stead/stead-holder")]);
    let tried: Vec<PathBuf> = candidates.collect();
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => {
            let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::failed(format!("stead-holder is not installed: neither {}", tried.join(" nor "))))
        }
    }
}

/// Starts the holder in a session of its own, its output in the daemon's log, with nothing of this terminal.
fn launch(paths: &Paths) -> Result<Pid> {
    let program = holder_program()?;
    let cannot = |what: &Path, error: io::Error| Failure::failed(format!("cannot make {}: {error}", what.display()));
    for directory in [&paths.runtime, &paths.log] {
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(|error| cannot(directory, error))?;
    }
    let log_path = paths.daemon_log();
    let log = File::options().create(true).append(true).mode(0o640).open(&log_path);
    let log = log.map_err(|error| cannot(&log_path, error))?;
    let null = File::options().read(true).open("/dev/null").map_err(|error| cannot(Path::new("/dev/null"), error))?;
    spawn(&program, &null, &log)
        .map_err(|error| Failure::failed(format!("cannot start {}: {}", program.display(), io::Error::from(error))))
}

fn spawn(program: &Path, input: &File, output: &File) -> nix::Result<Pid> {
    let mut files = PosixSpawnFileActions::init()?;
    files.add_dup2(input.as_raw_fd(), 0)?;
    files.add_dup2(output.as_raw_fd(), 1)?;
    files.add_dup2(output.as_raw_fd(), 2)?;
    let mut attributes = PosixSpawnAttr::init()?;
    // Rust ignores SIGPIPE, and what is ignored stays so over exec.
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_flags(
        // nix does not name this one.
        PosixSpawnFlags::from_bits_retain(libc::POSIX_SPAWN_SETSID.into())
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    let name = CString::new(program.as_os_str().as_bytes()).map_err(|_| nix::errno::Errno::EINVAL)?;
    let here = std::env::current_dir();
    // A daemon in somebody's directory would keep its file system from being unmounted. This process has one thread
    // that minds where it is, and is put back.
    let moved = std::env::set_current_dir("/").is_ok();
    let pid = posix_spawn(program, &files, &attributes, &[&name], &environment());
    if let (true, Ok(here)) = (moved, here) {
        let _ = std::env::set_current_dir(here);
    }
    pid
}

/// Nothing of the caller's but what is stead's own: an API key in root's shell is not the daemon's business.
fn environment() -> Vec<CString> {
    let own = std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"STEAD_"));
    let own = own.filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok());
    std::iter::once(CString::new(BASE_PATH).expect("a constant without NUL")).chain(own).collect()
}

/// Also for a daemon that is there and takes the connection, but says nothing.
async fn within_patience(paths: &Paths, client: impl Future<Output = Result<Client>>) -> Result<Client> {
    match tokio::time::timeout(LAUNCH_PATIENCE, client).await {
        Ok(result) => result,
        Err(_) => {
            let seconds = LAUNCH_PATIENCE.as_secs();
            Err(unavailable(paths, &format!("the daemon does not answer within {seconds} seconds")))
        }
    }
}

/// Waits until the socket answers, or the holder that was started ends.
async fn answer(paths: &Paths, mut holder: Option<Pid>) -> Result<Client> {
    let trouble = |error: io::Error| Failure::failed(format!("cannot wait for the daemon: {error}"));
    // Watched before the first look, so that nothing can happen between the two.
    let events = watch(&paths.runtime).map_err(trouble)?;
    let mut deaths = signal(SignalKind::child()).map_err(trouble)?;
    loop {
        match Client::connect(&paths.runtime).await {
            Err(ClientError::Absent { .. } | ClientError::Closed) => {}
            other => return Ok(other?),
        }
        if let Some(pid) = holder
            && let Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) =
                waitpid(pid, Some(WaitPidFlag::WNOHANG))
        {
            // Somebody else's holder was faster, and its daemon is as good.
            if !holder_lives(paths) {
                return Err(unavailable(paths, &format!("the holder ended at once ({})", ended(status))));
            }
            holder = None;
        }
        tokio::select! {
            changed = drain(&events) => changed.map_err(trouble)?,
            _ = deaths.recv() => {}
        }
    }
}

fn ended(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit code {code}"),
        WaitStatus::Signaled(_, signal, _) => signal.to_string(),
        other => format!("{other:?}"),
    }
}

/// Readable whenever something has appeared in the directory.
fn watch(directory: &Path) -> io::Result<pipe::Receiver> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ATTRIB;
    inotify.add_watch(directory, events)?;
    // It is no pipe, but one end of a descriptor that is read until it would block, which is all that is used of one.
    pipe::Receiver::from_owned_fd_unchecked(inotify.into())
}

/// Waits for an event and forgets it: what happened is seen by looking.
async fn drain(events: &pipe::Receiver) -> io::Result<()> {
    events.readable().await?;
    let mut buffer = [0; 4096];
    while let Ok(1..) = events.try_read(&mut buffer) {}
    Ok(())
}

fn unavailable(paths: &Paths, what: &str) -> Failure {
    let text = match log_end(paths) {
        Some((log, lines)) => format!("{what}. The end of {log}:\n{lines}"),
        None => format!("{what}: see {}", paths.log_words()),
    };
    Failure::new(Code::Unavailable, text)
}

/// The daemon's log and its last lines, if it has written any.
pub fn log_end(paths: &Paths) -> Option<(String, String)> {
    let log = paths.daemon_log();
    let lines = last_lines(&log, 10).ok().filter(|lines| !lines.is_empty())?;
    Some((log.display().to_string(), lines))
}

/// What starts a daemon here.
pub fn how_to_start(paths: &Paths) -> &'static str {
    if service(paths).is_some() { "systemctl start stead" } else { "stead start, with an app" }
}

/// The last lines of a file, at most 16 KiB of them.
fn last_lines(path: &Path, count: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(16 << 10)))?;
    let mut bytes = Vec::new();
    file.take(16 << 10).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(count)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_of_a_lock_are_found_by_its_inode_and_kind() {
        let locks = "\
1: POSIX  ADVISORY  READ  5433 08:01:7864448 128 128
2: FLOCK  ADVISORY  WRITE 2001 08:01:7864554 0 EOF
2: -> FLOCK  ADVISORY  READ 2009 08:01:7864999 0 EOF
";
        assert!(owners(locks, 7_864_554).eq(["2001"]));
        assert_eq!(owners(locks, 7_864_448).count(), 0, "another kind of lock");
        assert_eq!(owners(locks, 7_864_999).count(), 0, "one who waits");
        assert_eq!(owners("", 1).count(), 0);
    }

    #[test]
    fn a_lock_that_somebody_else_has_is_no_holder() {
        let directory = std::env::temp_dir().join(format!("stead-launch-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let paths =
            Paths { runtime: directory.clone(), state: directory.clone(), log: directory.clone(), private: true };
        assert!(!holder_lives(&paths));
        let lock = Flock::lock(File::create(paths.lock()).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let inode = lock.metadata().unwrap().ino();
        assert!(owners(&locks, inode).any(|pid| pid == std::process::id().to_string()));
        assert!(!holder_lives(&paths), "it is this test's");
        drop(lock);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
