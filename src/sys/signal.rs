//! Signal dispositions of this process.
//! Owns: undoing what whoever started us had set.
//! Never: installs a handler.

use std::io;

/// Every signal back to its default, real-time ones included, save SIGPIPE, which is ignored. An ignored SIGCHLD,
/// inherited, would make the kernel reap our children before we hear of them, and they would inherit the rest.
pub fn reset_inherited() -> io::Result<()> {
    for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        let handler = if signal == libc::SIGPIPE { libc::SIG_IGN } else { libc::SIG_DFL };
        // struct sigaction of the kernel: handler, flags, restorer, mask. libc's own wrapper refuses signals 32 and 33.
        let action = [handler as u64, 0, 0, 0];
        // SAFETY: no handler function is installed, and the kernel reads four words.
        let done = unsafe {
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal as libc::c_long, action.as_ptr(), none, size_of::<u64>())
        };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
