//! The mounts of a child's own namespace, made between clone and exec.
//! Owns: what the steps of `child` about mounts do. Every path is walked once: what is changed is the object that was
//! found, whatever stands under its name a moment later.
//! Never: allocates, or touches a mount of the host: `own_namespace` comes first.

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use libc::c_long;

use super::child::{Done, check};

/// How many trees can be kept at once.
pub const MAX_KEPT: usize = 72;

const OPEN_TREE_CLONE: c_uint = 1;
const OPEN_TREE_CLOEXEC: c_uint = libc::O_CLOEXEC as c_uint;
const MOVE_MOUNT_EMPTY_PATHS: c_uint = 0x4 | 0x40;
const MOUNT_ATTR_RDONLY: u64 = 1;
const RESOLVE_NO_MAGICLINKS: u64 = 2;

/// struct mount_attr of linux/mount.h.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Copies of mounts as they were before anything was changed, first in, first out. Their fds close at exec.
pub(super) struct Kept {
    trees: [RawFd; MAX_KEPT],
    count: usize,
    put_back: usize,
}

impl Kept {
    pub fn new() -> Self {
        Kept { trees: [-1; MAX_KEPT], count: 0, put_back: 0 }
    }

    pub fn keep(&mut self, path: &CStr) -> Done {
        let place = self.trees.get_mut(self.count).ok_or(libc::E2BIG)?;
        let found = Found::at(path)?;
        *place = found.copy()?.into_fd();
        self.count += 1;
        Ok(())
    }

    /// The next one, at its path. Refused if another object has that name by now: what a path means may be the app's
    /// to change, and a directory of its own over one of the system's would be a forgery to whoever looks in.
    pub fn put_back(&mut self, path: &CStr) -> Done {
        let kept = &self.trees[..self.count];
        let tree = Found(*kept.get(self.put_back).ok_or(libc::EINVAL)?);
        self.put_back += 1;
        let place = Found::at(path)?;
        if place.identity()? != tree.identity()? {
            return Err(libc::ESTALE);
        }
        tree.put_over(&place)
    }
}

/// An O_PATH fd, closed when it is dropped.
struct Found(RawFd);

impl Found {
    /// The links of /proc that lead into a process are not followed: this one is still a copy of its parent, with
    /// everything that the parent has open.
    fn at(path: &CStr) -> Result<Self, c_int> {
        /// struct open_how of linux/openat2.h.
        #[repr(C)]
        struct OpenHow {
            flags: u64,
            mode: u64,
            resolve: u64,
        }
        let how = OpenHow { flags: (libc::O_PATH | libc::O_CLOEXEC) as u64, mode: 0, resolve: RESOLVE_NO_MAGICLINKS };
        let (from, size) = (libc::AT_FDCWD, size_of::<OpenHow>());
        // SAFETY: a null-terminated path, and `how` with the layout and the size that the kernel is told.
        let fd = unsafe { libc::syscall(libc::SYS_openat2, from, path.as_ptr(), &raw const how, size) };
        check(fd).map(|fd| Found(fd as RawFd))
    }

    fn into_fd(self) -> RawFd {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }

    /// A detached copy of the mounts from here down, with their flags.
    fn copy(&self) -> Result<Found, c_int> {
        let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as c_uint;
        // SAFETY: an fd, a null-terminated path and flags.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, self.0, c"".as_ptr(), flags) };
        check(fd).map(|fd| Found(fd as RawFd))
    }

    fn put_over(&self, place: &Found) -> Done {
        let empty = c"".as_ptr();
        // SAFETY: two fds, null-terminated paths and flags.
        let moved =
            unsafe { libc::syscall(libc::SYS_move_mount, self.0, empty, place.0, empty, MOVE_MOUNT_EMPTY_PATHS) };
        check(moved).map(drop)
    }

    /// EINVAL where no mount begins.
    fn set_read_only(&self) -> Done {
        let attr = MountAttr { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, userns_fd: 0 };
        let flags = (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as c_uint;
        let (path, size) = (c"".as_ptr(), size_of::<MountAttr>());
        // SAFETY: `attr` has the layout and the size that the kernel is told.
        let set = unsafe { libc::syscall(libc::SYS_mount_setattr, self.0, path, flags, &raw const attr, size) };
        check(set).map(drop)
    }

    fn identity(&self) -> Result<(libc::dev_t, libc::ino_t), c_int> {
        let mut found = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: a buffer of the right size, read only if the call filled it.
        unsafe {
            check(libc::fstat(self.0, found.as_mut_ptr()).into())?;
            let found = found.assume_init();
            Ok((found.st_dev, found.st_ino))
        }
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: this fd is ours alone.
        unsafe { libc::close(self.0) };
    }
}

/// What is mounted and unmounted on the host still arrives, or a file system there could never be let go; what is done
/// here stays here. EINVAL in a chroot, whose root is no mount: nobody in it would see what is put over it.
pub(super) fn own_namespace() -> Done {
    let none = ptr::null();
    // SAFETY: integers, a null-terminated path, and arguments that this form of mount(2) does not look at.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS).into())?;
        check(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_SLAVE, none.cast()).into()).map(drop)
    }
}

/// Everything from `path` down. In place where a mount begins, which is the only way to do it to `/`; else by a copy of
/// the tree over itself.
pub(super) fn make_read_only(path: &CStr, must_exist: bool) -> Done {
    let found = match Found::at(path) {
        Err(libc::ENOENT) if !must_exist => return Ok(()),
        found => found?,
    };
    match found.set_read_only() {
        Err(libc::EINVAL) => {
            let tree = found.copy()?;
            tree.set_read_only()?;
            tree.put_over(&found)
        }
        set => set,
    }
}

/// A new file system in memory over `path`. Where there is no such directory there is nothing to be covered.
pub(super) fn cover(path: &CStr, options: &CStr, read_only: bool) -> Done {
    let (kind, flags) = (c"tmpfs".as_ptr(), libc::MS_NOSUID | libc::MS_NODEV);
    let flags = flags | if read_only { libc::MS_RDONLY } else { 0 };
    // SAFETY: null-terminated strings and flags.
    let mounted: c_long = unsafe { libc::mount(kind, path.as_ptr(), kind, flags, options.as_ptr().cast()) }.into();
    match check(mounted) {
        Err(libc::ENOENT) => Ok(()),
        mounted => mounted.map(drop),
    }
}
