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
    Signal { signal: i32, core_dumped: bool },
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

/// How a child ended, if it has. It stays a zombie, so its pid and its /proc entry stay what they are.
pub fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    Ok(wait(libc::P_PIDFD, pidfd.as_raw_fd() as c_uint, flags)?.map(|(_, exit)| exit))
}

/// Waits until a process has ended, but not longer than that.
pub fn wait_for_end(pidfd: BorrowedFd<'_>, limit_ms: u16) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::from(limit_ms)), Ok(1))
}

/// How a child ended, if it has; nothing is left of it.
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

    #[test]
    fn a_group_of_everybody_is_refused() {
        for leader in [-1, 0, 1] {
            assert!(signal_group(leader, 0).is_err());
        }
    }
}
