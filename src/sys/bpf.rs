//! Attaching BPF programs so that what holds them is a file descriptor, which can be given to another process.
//! Owns: bpf(BPF_LINK_CREATE), and setsockopt(SO_ATTACH_REUSEPORT_EBPF). Never: loads a program.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What calls a program: `enum bpf_attach_type` of linux/bpf.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Attach {
    SockOps = 3,
    Bind4 = 8,
    Bind6 = 9,
    PostBind4 = 12,
    PostBind6 = 13,
    SockRelease = 34,
}

/// `struct { … } link_create` of `union bpf_attr`, as far as cgroups need it.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    kind: u32,
    flags: u32,
}

const BPF_LINK_CREATE: libc::c_long = 28;

/// Attaches a program to a cgroup until the last copy of what is returned is closed. Linux 5.7.
pub fn attach_to_cgroup(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, kind: Attach) -> io::Result<OwnedFd> {
    let attr = LinkCreate {
        program: program.as_raw_fd() as u32,
        target: cgroup.as_raw_fd() as u32,
        kind: kind as u32,
        flags: 0,
    };
    // SAFETY: the kernel reads `attr`, of the size given, and takes what lies beyond for zeros.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attr, size_of::<LinkCreate>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made for us (bpf(2)), close-on-exec as all of them are.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Has the program choose for the group of sockets that this one shares its address with.
pub fn attach_to_group(program: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let program = program.as_raw_fd();
    // SAFETY: the kernel reads one int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_EBPF,
            (&raw const program).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
