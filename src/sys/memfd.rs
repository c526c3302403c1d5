//! Memory that outlives its process, as long as anybody holds the file.
//! Owns: its making and its giving back. Never: maps it: it is read and written like any file.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A new memfd of this size, zeroed. It can neither shrink nor grow.
pub fn create(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len(bytes)?;
    let fd = OwnedFd::from(file);
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
    Ok(fd)
}

/// A new memfd without a size of its own: it grows as it is written.
pub fn growing(name: &str) -> io::Result<OwnedFd> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?)
}

/// All that is written in it.
pub fn read_all(memfd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let file = File::from(memfd.try_clone_to_owned()?);
    let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Makes this all that is written in it.
pub fn write_all(memfd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let file = File::from(memfd.try_clone_to_owned()?);
    file.set_len(0)?;
    file.write_all_at(bytes, 0)
}

/// Gives the memory of a part back; it reads as zeros. Whole pages only (fallocate(2), FALLOC_FL_PUNCH_HOLE).
pub fn give_back(file: &File, part: std::ops::Range<u64>) -> io::Result<()> {
    let number = |n: u64| i64::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(file, mode, number(part.start)?, number(part.end.saturating_sub(part.start))?)?)
}
