//! Descriptors that go through execve(2) under their numbers, and the exec itself.
//! Owns: FD_CLOEXEC of what is carried. Never: decides what is.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Takes over a descriptor that this process was started with, and nobody else here knows. EBADF if there is none.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    set_kept(&[number], false)?;
    // SAFETY: it is open, or that would have failed; the caller says that it is nobody's yet.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has these stay open over an exec, or not.
pub fn set_kept(numbers: &[RawFd], kept: bool) -> io::Result<()> {
    for number in numbers {
        // SAFETY: used for this one call; if it is not open, the answer is EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(*number) };
        let flags = if kept { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
        fcntl(fd, FcntlArg::F_SETFD(flags))?;
    }
    Ok(())
}

/// execve(2): returns only the error.
pub fn execute(program: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: arrays of NUL-terminated strings that end with a null pointer, alive until the call returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}
