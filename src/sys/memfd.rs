//! Memory that outlives its process: a sealed memfd, and a map of it.
//! Owns: the file, the mapping and its bounds.
//! Never: hands out a reference into the map: another process may hold the same memory, so bytes are copied in and out.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A new memfd of this size, zeroed. It can neither shrink nor grow, so a map of it never faults.
pub fn create(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len(bytes)?;
    let fd = OwnedFd::from(file);
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
    Ok(fd)
}

/// A shared map of a whole memfd made by `create`.
#[derive(Debug)]
pub struct Map {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the map is memory that belongs to no thread, and it is reached by copies only.
unsafe impl Send for Map {}

impl Map {
    /// EINVAL for a file that could shrink under the map.
    pub fn of(memfd: &OwnedFd) -> io::Result<Map> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let seals = SealFlag::from_bits_retain(fcntl(memfd, FcntlArg::F_GET_SEALS)?);
        if !seals.contains(SealFlag::F_SEAL_SHRINK) {
            return Err(invalid());
        }
        let len = nix::sys::stat::fstat(memfd)?.st_size;
        let len = usize::try_from(len).ok().filter(|&len| len > 0).ok_or_else(invalid)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel chooses, of a file sealed against shrinking.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, memfd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Map { at: NonNull::new(at.cast()).ok_or_else(invalid)?, len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies out. False, and nothing copied, if that is out of bounds.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        let Some(from) = self.place(offset, into.len()) else { return false };
        // SAFETY: `place` has checked the bounds; `into` is not part of the map, since no reference to the map exists.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        true
    }

    /// Copies in. False, and nothing copied, if that is out of bounds.
    pub fn write(&mut self, offset: usize, from: &[u8]) -> bool {
        let Some(to) = self.place(offset, from.len()) else { return false };
        // SAFETY: as for `read`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        // What is written next must not reach the memory before this: whoever finds it after our death reads in order.
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
        true
    }

    fn place(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        // SAFETY: offset is within the map.
        (end <= self.len).then(|| unsafe { self.at.as_ptr().add(offset) })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` with this length, and nothing refers to it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_map_writes_another_reads() {
        let memfd = create("test", 4096).unwrap();
        let (mut one, other) = (Map::of(&memfd).unwrap(), Map::of(&memfd).unwrap());
        assert!(one.write(4090, b"abcdef"));
        let mut seen = [0; 6];
        assert!(other.read(4090, &mut seen));
        assert_eq!(&seen, b"abcdef");
    }

    #[test]
    fn nothing_is_copied_out_of_bounds() {
        let memfd = create("test", 16).unwrap();
        let mut map = Map::of(&memfd).unwrap();
        assert!(!map.write(11, b"abcdef"));
        assert!(!map.read(usize::MAX, &mut [0; 2]));
        let mut all = [1; 16];
        assert!(map.read(0, &mut all));
        assert_eq!(all, [0; 16]);
    }

    #[test]
    fn a_file_that_could_shrink_is_not_mapped() {
        let memfd = memfd_create("test", MFdFlags::MFD_CLOEXEC).unwrap();
        File::from(memfd.try_clone().unwrap()).set_len(4096).unwrap();
        assert!(Map::of(&memfd).is_err());
    }
}
