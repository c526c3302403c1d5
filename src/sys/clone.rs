//! Making a process: clone3(2) with a pidfd, straight into its v2 cgroup.
//! Owns: the clone, its fallbacks, and the report pipe by which a child says that exec failed.
//! Never: shares memory with the child (CLONE_VM, vfork). It would save the copy of a few page tables, but the kernel's
//! OOM killer kills everything that shares the memory of its victim, so a child dying of its own memory limit before
//! exec would take its parent along; and a parent that waits for exec hangs with a chdir into a dead NFS.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_char, c_long};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

use super::child::{self, At, Failure, MAX_FDS, PID_ROOM, Prepared, REPORT_LEN, Step};
use super::pidfd;

/// A program about to be started.
pub struct Launch<'a> {
    pub program: &'a CStr,
    pub args: &'a [CString],
    pub env: &'a [CString],
    /// A v2 cgroup directory that the child is born in.
    pub cgroup: Option<&'a CStr>,
    /// `fds[n]` becomes fd n of the program; at most `MAX_FDS`.
    pub fds: &'a [BorrowedFd<'a>],
    pub steps: &'a [Step],
}

/// A process that exists, though its exec may still fail.
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub report: Report,
}

/// The read end of the pipe that closes at exec.
pub struct Report(OwnedFd);

/// What a report says so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Between clone and exec.
    Pending,
    /// exec succeeded, or the child was killed before it: its exit status tells.
    Running,
    Failed(Failure),
}

impl Report {
    /// Reads without blocking.
    pub fn verdict(&self) -> Verdict {
        let mut report = [0; REPORT_LEN];
        match nix::unistd::read(&self.0, &mut report) {
            Ok(REPORT_LEN) => Verdict::Failed(Failure::from_report(&report)),
            // A report is shorter than PIPE_BUF, so it comes whole or not at all.
            Ok(_) => Verdict::Running,
            Err(Errno::EAGAIN | Errno::EINTR) => Verdict::Pending,
            Err(errno) => Verdict::Failed(Failure { at: At::Exec, errno: errno as i32 }),
        }
    }
}

impl std::os::fd::AsFd for Report {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// struct clone_args of linux/sched.h up to `cgroup`, which came with 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Before `cgroup` the structure ended here (5.5); such a kernel takes no more.
const SIZE_BEFORE_CGROUP: usize = 80;

impl Launch<'_> {
    /// Makes the process and returns at once: the child goes on to exec by itself, and `Child::report` says how it went.
    /// The caller has one thread.
    pub fn start(&self) -> Result<Child, Failure> {
        let failed = |at| move |errno: Errno| Failure { at, errno: errno as i32 };
        if self.fds.len() > MAX_FDS {
            return Err(Failure { at: At::Fds, errno: libc::EMFILE });
        }
        let cgroup = match self.cgroup {
            Some(path) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                Some(open(path, flags, Mode::empty()).map_err(failed(At::Cgroup))?)
            }
            None => None,
        };
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(failed(At::Clone))?;
        let argv = pointers(self.args, None);
        let mut variable = self.pid_variable();
        let own_pid = variable.as_mut().map(|text| text.as_mut_ptr());
        let envp = pointers(self.env, own_pid);
        // The child writes into its copy; the end of the buffer is that of the string.
        let room = |text: *mut u8| text.wrapping_add(variable.as_ref().map_or(0, |text| text.len() - PID_ROOM));
        let mut fds = [-1; MAX_FDS];
        for (place, fd) in fds.iter_mut().zip(self.fds) {
            *place = fd.as_raw_fd();
        }
        let mut prepared = Prepared {
            program: self.program,
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            late_cgroup: None,
            fds: &fds[..self.fds.len()],
            steps: self.steps,
            own_pid: own_pid.map_or(ptr::null_mut(), room),
            report: write.as_raw_fd(),
        };
        let (pid, pidfd) = make(cgroup.as_ref().map(AsRawFd::as_raw_fd), &mut prepared).map_err(|error| {
            let at = if cgroup.is_some() { At::Cgroup } else { At::Clone };
            Failure { at, errno: error.raw_os_error().unwrap_or(libc::EIO) }
        })?;
        Ok(Child { pid, pidfd, report: Report(read) })
    }

    /// `NAME=`, and room for what only the child knows.
    fn pid_variable(&self) -> Option<Vec<u8>> {
        let name = self.steps.iter().find_map(|step| match step {
            Step::OwnPid(name) => Some(name),
            _ => None,
        })?;
        Some([name.as_bytes(), b"=", &[0; PID_ROOM]].concat())
    }
}

fn pointers(strings: &[CString], last: Option<*mut u8>) -> Vec<*const c_char> {
    let last = last.map(|text| text.cast_const().cast());
    strings.iter().map(|string| string.as_ptr()).chain(last).chain([ptr::null()]).collect()
}

/// The best way the kernel has: clone3 into the cgroup, clone3 and a late entry, fork and a late entry.
fn make(cgroup: Option<RawFd>, prepared: &mut Prepared<'_>) -> io::Result<(i32, OwnedFd)> {
    if let Some(dir) = cgroup {
        match clone3(Some(dir), prepared) {
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::E2BIG | libc::EINVAL | libc::ENOSYS | libc::EPERM)) => {}
            result => return result,
        }
    }
    prepared.late_cgroup = cgroup;
    match clone3(None, prepared) {
        // Before 5.3, and in containers whose seccomp filter does not know clone3.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => fork(prepared),
        result => result,
    }
}

fn clone3(cgroup: Option<RawFd>, prepared: &Prepared<'_>) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: CLONE_PIDFD,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    let mut size = SIZE_BEFORE_CGROUP;
    if let Some(dir) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = dir as u64;
        size = size_of::<CloneArgs>();
    }
    // SAFETY: without CLONE_VM and with a null stack this is fork(2): the child gets a copy of everything and returns
    // here with 0. `pidfd` outlives the call.
    let pid: c_long = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) };
    match pid {
        0 => child::run(copy(prepared)),
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just put a new fd there, and nobody else knows of it.
        pid => Ok((pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

fn fork(prepared: &Prepared<'_>) -> io::Result<(i32, OwnedFd)> {
    // SAFETY: the child makes system calls only.
    match unsafe { libc::fork() } {
        0 => child::run(copy(prepared)),
        -1 => Err(io::Error::last_os_error()),
        // A child of ours that nobody has reaped keeps its pid, so this names the right process.
        pid => match pidfd::open(pid) {
            Ok(pidfd) => Ok((pid, pidfd)),
            Err(error) => {
                // SAFETY: the same pid, not reaped yet. Without a pidfd nothing could ever watch it.
                unsafe {
                    libc::kill(pid, libc::SIGKILL);
                    libc::waitpid(pid, ptr::null_mut(), 0);
                }
                Err(error)
            }
        },
    }
}

fn copy<'a>(prepared: &Prepared<'a>) -> Prepared<'a> {
    Prepared { ..*prepared }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd::Exit;
    use std::os::fd::AsFd;

    fn run(program: &CStr, args: &[&CStr], steps: &[Step]) -> (Verdict, Exit) {
        let null = std::fs::File::open("/dev/null").unwrap();
        let args: Vec<CString> = args.iter().map(|arg| CString::from(*arg)).collect();
        let fds = [null.as_fd(), null.as_fd(), null.as_fd()];
        let child = Launch { program, args: &args, env: &[], cgroup: None, fds: &fds, steps }.start().unwrap();
        wait_readable(child.report.as_fd());
        let verdict = child.report.verdict();
        wait_readable(child.pidfd.as_fd());
        (verdict, pidfd::reap(child.pidfd.as_fd()).unwrap().unwrap())
    }

    fn wait_readable(fd: BorrowedFd<'_>) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    }

    #[test]
    fn a_program_runs_and_its_exit_code_is_heard() {
        let (verdict, exit) = run(c"/bin/sh", &[c"sh", c"-c", c"exit 7"], &[]);
        assert_eq!((verdict, exit), (Verdict::Running, Exit::Code(7)));
    }

    #[test]
    fn a_missing_program_is_reported_with_stage_and_errno() {
        let (verdict, _) = run(c"/nowhere/at/all", &[c"x"], &[]);
        assert_eq!(verdict, Verdict::Failed(Failure { at: At::Exec, errno: libc::ENOENT }));
    }

    #[test]
    fn a_child_finds_its_own_pid_in_the_variable_named_for_it() {
        let steps = [Step::OwnPid(c"LISTEN_PID".into())];
        let (_, exit) = run(c"/bin/sh", &[c"sh", c"-c", c"test \"$LISTEN_PID\" = $$"], &steps);
        assert_eq!(exit, Exit::Code(0));
    }

    #[test]
    fn a_failed_step_is_reported_by_its_index() {
        let steps = [Step::Setsid, Step::Chdir(c"/nowhere".into())];
        let (verdict, _) = run(c"/bin/true", &[c"true"], &steps);
        assert_eq!(verdict, Verdict::Failed(Failure { at: At::Step(1), errno: libc::ENOENT }));
    }
}
