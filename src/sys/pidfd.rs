//! Processes by pidfd: opening, signalling, and hearing of their end.
//! Owns: the calls that nix lacks, and the decoding of a wait status.
//! Never: signals a bare pid, save a process group whose leader the caller has not reaped.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_long, c_uint};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How a process ended, in the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal {
        signal: i32,
        core_dumped: bool,
    },
    /// Somebody else has reaped it, and the kernel does not tell how it ended.
    Unknown,
}

/// A pidfd for a process that the caller knows to be the one it means.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only; the returned fd is new and ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as c_int))
    }
}

/// A copy of another process's descriptor, close-on-exec (pidfd_getfd(2), Linux 5.6). EBADF if it has none of this number.
pub fn copy_fd(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only; the returned fd is new and ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), c_long::from(number), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as c_int))
    }
}

/// Succeeds on a zombie too; ESRCH once it has been reaped.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo makes this kill(2).
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), c_long::from(signal), none, 0) })
        .map(drop)
}

/// kill(2) on a process group. The caller holds its leader unreaped, which keeps the number from being used again.
pub fn signal_group(leader: i32, signal: i32) -> io::Result<()> {
    if leader <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: integers only; greater than 1, so it is neither our own group nor everybody.
    check(unsafe { libc::kill(-leader, signal) }.into()).map(drop)
}

/// How a process ended, if it has. A child stays a zombie, so its pid and its /proc entry stay what they are.
pub fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    match wait(libc::P_PIDFD, pidfd.as_raw_fd() as c_uint, flags) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(end_of_stranger(pidfd)),
        child => Ok(child?.map(|(_, exit)| exit)),
    }
}

/// How a process ended that is somebody else's child, if it has. Read while it is a zombie; after that the kernel tells
/// since 6.15, and before nobody does.
fn end_of_stranger(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    if !wait_for_end(pidfd, 0) {
        return None;
    }
    Some(zombie_exit(pidfd).or_else(|| reaped_exit(pidfd)).unwrap_or(Exit::Unknown))
}

/// Field 52 of /proc/PID/stat, the wait status of a zombie (proc_pid_stat(5); for root).
fn zombie_exit(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    let pid = pid_of(pidfd)?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    if fields.next()? != "Z" {
        return None;
    }
    let status = fields.nth(48)?.parse().ok()?;
    // The number was still its own when that was read.
    pid_of(pidfd).map(|_| decode(status))
}

/// What the kernel remembers of a process that was reaped (pidfd_info of linux/pidfd.h, PIDFD_INFO_EXIT, Linux 6.15).
fn reaped_exit(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    const INFO_EXIT: u64 = 1 << 3;
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    nix::ioctl_readwrite!(get_info, 0xff, 11, Info);
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel fills in as much of the struct as its size says, which is in the request's number.
    unsafe { get_info(pidfd.as_raw_fd(), &raw mut info) }.ok()?;
    (info.mask & INFO_EXIT != 0).then(|| decode(info.exit_code))
}

/// A wait status (wait(2)).
fn decode(status: c_int) -> Exit {
    if libc::WIFSIGNALED(status) {
        return Exit::Signal { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) };
    }
    Exit::Code(libc::WEXITSTATUS(status))
}

/// The pid of a process that has not been reaped, as this pid namespace has it (proc_pid_fdinfo(5)).
pub fn pid_of(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    (pid > 0).then_some(pid)
}

/// Waits until a process has ended, but not longer than that.
pub fn wait_for_end(pidfd: BorrowedFd<'_>, limit_ms: u16) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::from(limit_ms)), Ok(1))
}

/// How a child ended, if it has; nothing is left of it. ECHILD for a process that is somebody else's child.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    Ok(wait(libc::P_PIDFD, pidfd.as_raw_fd() as c_uint, libc::WEXITED | libc::WNOHANG)?.map(|(_, exit)| exit))
}

/// Reaps a dead child by pid. It cannot be another process while it has not been reaped.
pub fn reap_pid(pid: i32) -> io::Result<Option<Exit>> {
    Ok(wait(libc::P_PID, pid as c_uint, libc::WEXITED | libc::WNOHANG)?.map(|(_, exit)| exit))
}

/// The pid of a dead child of any kind, left as it is. None if no child is dead, or none exists.
pub fn peek_any() -> io::Result<Option<i32>> {
    match wait(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) {
        Ok(dead) => Ok(dead.map(|(pid, _)| pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

fn wait(kind: libc::idtype_t, id: c_uint, flags: c_int) -> io::Result<Option<(i32, Exit)>> {
    // nix's waitid has no place for real-time signals in its status, hence libc's.
    // SAFETY: siginfo_t is plain data, for which zero is a value; the kernel fills it in.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::waitid(kind, id, &raw mut info, flags).into())?;
        info
    };
    // SAFETY: waitid fills the fields of SIGCHLD, or leaves all at zero if nothing has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        code => Exit::Signal { signal: status, core_dumped: code == libc::CLD_DUMPED },
    };
    Ok(Some((pid, exit)))
}

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_signal_reaches_the_process_and_a_peek_leaves_it_a_zombie() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pidfd = open(child.id() as i32).unwrap();
        assert_eq!(peek(pidfd.as_fd()).unwrap(), None);
        send_signal(pidfd.as_fd(), libc::SIGRTMIN()).unwrap();
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        let end = Exit::Signal { signal: libc::SIGRTMIN(), core_dumped: false };
        assert_eq!(peek(pidfd.as_fd()).unwrap(), Some(end));
        assert_eq!(peek(pidfd.as_fd()).unwrap(), Some(end));
        assert_eq!(reap(pidfd.as_fd()).unwrap(), Some(end));
        assert_eq!(send_signal(pidfd.as_fd(), 15).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert!(child.wait().is_err(), "there is nothing left to wait for");
    }

    /// A grandchild, whose parent reaps it when told to.
    #[test]
    fn the_end_of_somebody_elses_child_is_known_while_it_is_a_zombie_and_from_linux_6_15_on_after_that() {
        use std::io::{BufRead, BufReader, Write};
        use std::process::Stdio;
        let script = "import os, sys\npid = os.fork()\nif not pid: os._exit(42 if sys.stdin.readline() else 1)\n\
             print(pid, flush=True)\nos.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n\
             print('dead', flush=True)\nsys.stdin.readline()\nos.waitpid(pid, 0)\nprint('gone', flush=True)\nsys.stdin.readline()";
        let mut parent = std::process::Command::new("python3");
        let mut parent = parent.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (parent.stdin.take().unwrap(), BufReader::new(parent.stdout.take().unwrap()).lines());
        let pid = from.next().unwrap().unwrap().parse().unwrap();
        let pidfd = open(pid).unwrap();
        assert_eq!((peek(pidfd.as_fd()).unwrap(), pid_of(pidfd.as_fd())), (None, Some(pid)));
        writeln!(to, "end").unwrap();
        assert_eq!(from.next().unwrap().unwrap(), "dead");
        assert_eq!(peek(pidfd.as_fd()).unwrap(), Some(Exit::Code(42)));
        writeln!(to, "reap").unwrap();
        assert_eq!(from.next().unwrap().unwrap(), "gone");
        let end = peek(pidfd.as_fd()).unwrap().unwrap();
        let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap(), numbers.next().unwrap());
        assert_eq!(end, if version >= (6, 15) { Exit::Code(42) } else { Exit::Unknown });
        assert_eq!(pid_of(pidfd.as_fd()), None);
        drop(to);
        parent.wait().unwrap();
    }

    #[test]
    fn a_group_of_everybody_is_refused() {
        for leader in [-1, 0, 1] {
            assert!(signal_group(leader, 0).is_err());
        }
    }
}
