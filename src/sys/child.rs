//! What a child does between clone and exec.
//! Owns: the primitive steps and the order around them: cgroup, fds, steps, signals, exec.
//! Never: allocates, locks, unwinds or touches libc state other than errno after the clone. Everything a step needs is
//! prepared before it, so that the child makes system calls only.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::ptr;

use libc::{c_char, c_int, c_long, c_ulong};

use super::credentials;
use super::mounts::{self, Kept};

/// One thing done in the child before exec, in the order given. Each stands for one kind of system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write 0 into this `cgroup.procs`. For v1 hierarchies, which clone3(2) cannot enter.
    EnterCgroup(CString),
    Setsid,
    Umask(u32),
    Rlimit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    Nice(i32),
    /// Inherited from the parent otherwise, and the parent is protected from the OOM killer.
    OomScoreAdj(i32),
    /// After `SetUid`, so that the path is walked with the app's rights.
    Chdir(CString),
    SetGroups(Vec<u32>),
    /// Real, effective and saved.
    SetGid(u32),
    /// Real, effective and saved. Clears the capabilities unless `KeepCaps` came before it.
    SetUid(u32),
    NoNewPrivs,
    /// Permitted capabilities outlive `SetUid`. Undone by exec.
    KeepCaps,
    /// Drop every capability outside this mask from the bounding set, for good.
    Bounding(u64),
    /// capset(2).
    Capabilities {
        effective: u64,
        permitted: u64,
        inheritable: u64,
    },
    /// Raise these in the ambient set, which is what a program without file capabilities keeps over exec.
    Ambient(u64),
    /// Give it a variable of this name with its own pid, which nobody knows before the clone. At most one.
    OwnPid(CString),
    /// A mount namespace of its own. Before every other step about mounts.
    MountNamespace,
    /// Walk paths with this user's rights from here on, after `SetGroups` and `SetGid`: what this user could not find is
    /// not found. Of all capabilities CAP_SYS_ADMIN alone is in effect meanwhile, for mounts. 0 undoes it.
    WalkAs(u32),
    /// Keep the mounts from here down as they are, for `PutBack`. At most `MAX_KEPT`.
    Keep(CString),
    /// Put what the first `Keep` has kept that was not put back yet over this, its path: what was made read-only around
    /// it since then is not here.
    PutBack(CString),
    /// Everything from here down. Needs Linux 5.12.
    ReadOnly {
        path: CString,
        must_exist: bool,
    },
    /// An empty tmpfs over this directory, with these options, if there is such a directory.
    Cover {
        path: CString,
        options: CString,
        read_only: bool,
    },
    /// Every system call from here on is judged by this program. Needs CAP_SYS_ADMIN or `NoNewPrivs`; what comes after
    /// it must be among what it lets pass.
    Seccomp(Vec<Instruction>),
}

/// struct sock_filter of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// Where a launch failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// No process was made.
    Clone,
    /// The process could not enter its v2 cgroup.
    Cgroup,
    /// Standard streams and passed fds could not be put in their places.
    Fds,
    /// The step with this index.
    Step(u32),
    Exec,
}

/// A launch that came to nothing, and the kernel's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub at: At,
    pub errno: i32,
}

/// Length of a report: kind, step index, errno.
pub(super) const REPORT_LEN: usize = 12;

/// How many fds a child can be given.
pub const MAX_FDS: usize = 64;

impl Failure {
    fn to_report(self) -> [u8; REPORT_LEN] {
        let (kind, index) = match self.at {
            At::Clone => (0u32, 0),
            At::Cgroup => (1, 0),
            At::Fds => (2, 0),
            At::Step(index) => (3, index),
            At::Exec => (4, 0),
        };
        let (k, i, e) = (kind.to_ne_bytes(), index.to_ne_bytes(), self.errno.to_ne_bytes());
        [k[0], k[1], k[2], k[3], i[0], i[1], i[2], i[3], e[0], e[1], e[2], e[3]]
    }

    pub(super) fn from_report(report: &[u8; REPORT_LEN]) -> Failure {
        let word = |at: usize| u32::from_ne_bytes([report[at], report[at + 1], report[at + 2], report[at + 3]]);
        let at = match word(0) {
            0 => At::Clone,
            1 => At::Cgroup,
            2 => At::Fds,
            3 => At::Step(word(4)),
            _ => At::Exec,
        };
        Failure { at, errno: word(8) as i32 }
    }
}

/// Everything the child needs, laid out before the clone.
pub(super) struct Prepared<'a> {
    pub program: &'a CStr,
    /// Null-terminated, pointing into strings that outlive the exec.
    pub argv: *const *const c_char,
    pub envp: *const *const c_char,
    /// A v2 cgroup directory the clone could not put the child into.
    pub late_cgroup: Option<RawFd>,
    /// `fds[n]` becomes fd n.
    pub fds: &'a [RawFd],
    pub steps: &'a [Step],
    /// `PID_ROOM` bytes of zeros in `envp`, behind the `=` of the variable of `OwnPid`; null without that step.
    pub own_pid: *mut u8,
    pub report: RawFd,
}

/// The longest pid, and the NUL behind it.
pub(super) const PID_ROOM: usize = 12;

pub(super) type Done = Result<(), c_int>;

/// Runs the steps and the program; comes back only by reporting and exiting.
pub(super) fn run(mut child: Prepared<'_>) -> ! {
    let failure = attempt(&mut child);
    let report = failure.to_report();
    // SAFETY: writes a stack buffer to an fd and leaves without running any destructor or exit handler, of which this
    // process, a copy, owns none.
    unsafe {
        libc::write(child.report, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

fn attempt(child: &mut Prepared<'_>) -> Failure {
    let fail = |at| move |errno| Failure { at, errno };
    if let Some(dir) = child.late_cgroup
        && let Err(errno) = enter(dir, c"cgroup.procs")
    {
        return Failure { at: At::Cgroup, errno };
    }
    if let Err(failure) = place_fds(child).map_err(fail(At::Fds)) {
        return failure;
    }
    let mut kept = Kept::new();
    for (index, step) in child.steps.iter().enumerate() {
        if let Err(failure) = take(step, child.own_pid, &mut kept).map_err(fail(At::Step(index as u32))) {
            return failure;
        }
    }
    reset_signals();
    // SAFETY: program, argv and envp are null-terminated and alive, as `Prepared` demands.
    unsafe { libc::execve(child.program.as_ptr(), child.argv, child.envp) };
    Failure { at: At::Exec, errno: errno() }
}

fn errno() -> c_int {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

pub(super) fn check(result: c_long) -> Result<c_long, c_int> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// Two passes, because a source may stand where another's target is.
fn place_fds(child: &mut Prepared<'_>) -> Done {
    let targets = child.fds.len().min(MAX_FDS) as c_int;
    let clear_of_targets = |fd: RawFd| -> Result<RawFd, c_int> {
        if fd >= targets {
            return Ok(fd);
        }
        // SAFETY: duplicates an fd number; a bad one is EBADF.
        check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, targets) }.into()).map(|fd| fd as RawFd)
    };
    child.report = clear_of_targets(child.report)?;
    let mut sources = [-1; MAX_FDS];
    for (source, &fd) in sources.iter_mut().zip(child.fds) {
        *source = clear_of_targets(fd)?;
    }
    for target in 0..targets {
        // SAFETY: both are fd numbers; dup2 leaves the new one without FD_CLOEXEC.
        check(unsafe { libc::dup2(sources[target as usize], target) }.into())?;
    }
    // Every fd of ours has FD_CLOEXEC already; this is for those that came with us from whoever started us. Kernels
    // before 5.11 lack the flag, and there the first reason has to do.
    // SAFETY: only sets flags on fd numbers.
    unsafe {
        libc::syscall(libc::SYS_close_range, targets as c_long, c_long::from(u32::MAX), libc::CLOSE_RANGE_CLOEXEC)
    };
    Ok(())
}

fn take(step: &Step, own_pid: *mut u8, kept: &mut Kept) -> Done {
    // SAFETY: each call takes integers, or pointers to data of the step, which outlives the call. The raw calls change
    // this single-threaded process only, where libc's wrappers would look for other threads to change with it.
    let result = unsafe {
        match step {
            Step::EnterCgroup(path) => return write_to(libc::AT_FDCWD, path, b"0"),
            Step::Setsid => libc::setsid().into(),
            Step::Umask(mask) => {
                libc::umask(*mask);
                0
            }
            Step::Rlimit { resource, soft, hard } => {
                let limit = libc::rlimit64 { rlim_cur: *soft, rlim_max: *hard };
                let none = ptr::null_mut::<libc::rlimit64>();
                libc::syscall(libc::SYS_prlimit64, 0, *resource as c_long, &raw const limit, none)
            }
            Step::Nice(nice) => libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS as c_long, 0, *nice as c_long),
            Step::OomScoreAdj(score) => {
                let mut text = [0; 12];
                return write_to(libc::AT_FDCWD, c"/proc/self/oom_score_adj", decimal(*score, &mut text));
            }
            Step::Chdir(path) => libc::chdir(path.as_ptr()).into(),
            Step::SetGroups(groups) => libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            Step::SetGid(gid) => libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid),
            Step::SetUid(uid) => libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid),
            Step::NoNewPrivs => libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0).into(),
            Step::KeepCaps => libc::prctl(libc::PR_SET_KEEPCAPS, 1 as c_ulong, 0, 0, 0).into(),
            Step::Bounding(keep) => return credentials::drop_bounding(*keep),
            Step::Capabilities { effective, permitted, inheritable } => {
                return credentials::capset(*effective, *permitted, *inheritable);
            }
            Step::Ambient(raise) => return credentials::raise_ambient(*raise),
            Step::OwnPid(_) => return write_pid(own_pid),
            Step::MountNamespace => return mounts::own_namespace(),
            Step::WalkAs(uid) => return credentials::walk_as(*uid),
            Step::Keep(path) => return kept.keep(path),
            Step::PutBack(path) => return kept.put_back(path),
            Step::ReadOnly { path, must_exist } => return mounts::make_read_only(path, *must_exist),
            Step::Cover { path, options, read_only } => return mounts::cover(path, options, *read_only),
            Step::Seccomp(program) => return load(program),
        }
    };
    check(result).map(drop)
}

fn enter(dir: RawFd, file: &CStr) -> Done {
    write_to(dir, file, b"0")
}

fn write_to(dir: RawFd, path: &CStr, text: &[u8]) -> Done {
    // SAFETY: a null-terminated path and a live buffer; the fd is closed here and nowhere else.
    unsafe {
        let fd = check(libc::openat(dir, path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC).into())? as c_int;
        let written = check(libc::write(fd, text.as_ptr().cast(), text.len()) as c_long);
        libc::close(fd);
        written.map(drop)
    }
}

fn write_pid(room: *mut u8) -> Done {
    if room.is_null() {
        return Err(libc::EINVAL);
    }
    let mut text = [0; 12];
    // SAFETY: `room` has `PID_ROOM` bytes, as `Prepared` demands, one more than a number of 32 bits can have digits.
    unsafe {
        let digits = decimal(libc::getpid(), &mut text);
        ptr::copy_nonoverlapping(digits.as_ptr(), room, digits.len());
    }
    Ok(())
}

fn load(program: &[Instruction]) -> Done {
    /// struct sock_fprog of linux/filter.h.
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const Instruction,
    }
    let len = u16::try_from(program.len()).map_err(|_| libc::E2BIG)?;
    let program = Program { len, filter: program.as_ptr() };
    let mode = libc::SECCOMP_MODE_FILTER as c_ulong;
    // SAFETY: `program` counts the instructions it points to, which have the kernel's layout and outlive the call.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) }.into()).map(drop)
}

/// Ignored signals and a blocked mask would outlive exec, and a program finds SIGPIPE ignored only if it asked.
fn reset_signals() {
    let (action, everything_off) = ([0u64; 4], 0u64);
    // The parent ignores SIGPIPE and nothing else (`signal::reset_inherited`), and exec undoes what is handled; sixty
    // calls more would be a tenth of a spawn.
    // SAFETY: a zeroed kernel sigaction is SIG_DFL without flags.
    unsafe {
        let (signal, none) = (libc::SIGPIPE as c_long, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), none, size_of::<u64>());
    }
    // SAFETY: an empty 64-bit signal set of the size the kernel expects.
    unsafe {
        let how = libc::SIG_SETMASK as c_long;
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const everything_off, ptr::null_mut::<u64>(), 8);
    }
}

/// `format!` allocates, so by hand.
fn decimal(value: i32, text: &mut [u8; 12]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        text[at] = b'-';
    }
    &text[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_what_format_says() {
        for value in [0, 7, -1, 1000, -1000, i32::MAX, i32::MIN] {
            assert_eq!(decimal(value, &mut [0; 12]), value.to_string().as_bytes());
        }
    }

    #[test]
    fn a_report_says_again_what_it_was_made_from() {
        for at in [At::Clone, At::Cgroup, At::Fds, At::Step(0), At::Step(77), At::Exec] {
            let failure = Failure { at, errno: libc::ENOENT };
            assert_eq!(Failure::from_report(&failure.to_report()), failure);
        }
    }
}
