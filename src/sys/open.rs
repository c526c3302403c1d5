//! Opening files beneath a directory, never through a symbolic link: openat2(2) and its siblings.
//! Owns: these calls, and watching a directory for changes. Never: decides a name, a mode or an owner.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{Mode, SFlag, mkdirat};
use nix::unistd::{Gid, UnlinkatFlags, fchown, unlinkat};

fn beneath(dir: BorrowedFd<'_>, path: &str, flags: OFlag, mode: u32) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::from_bits_truncate(mode))
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    // EAGAIN means that a rename ran at the same time and the kernel could not tell whether the path stayed beneath.
    for _ in 0..16 {
        match openat2(dir, path, how) {
            Err(Errno::EAGAIN) => {}
            other => return Ok(other?),
        }
    }
    Err(Errno::EAGAIN.into())
}

/// Opens the directory that others are opened beneath. Its own path may go through links: an admin chose it.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// A directory that root has chosen, and whether nobody but root can make its path lead elsewhere.
#[derive(Debug)]
pub struct Chosen {
    pub dir: OwnedFd,
    pub steady: bool,
}

/// Opens a directory by its absolute path with the caller's rights, through links of root only: a link that somebody
/// else planted would have root act where they may not. `ELOOP` at such a link.
pub fn open_dir_of_root(path: &str) -> io::Result<Chosen> {
    const LINKS_MAX: usize = 40;
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = || nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let names = |path: &str| -> Vec<String> { path.split('/').rev().map(str::to_owned).collect() };
    let mut left = names(path);
    let mut chosen = Chosen { dir: top()?, steady: true };
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name.is_empty() || name == "." {
            continue;
        }
        let next = nix::fcntl::openat(&chosen.dir, name.as_str(), flags, Mode::empty())?;
        let stat = nix::sys::stat::fstat(&next)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFLNK if stat.st_uid != 0 || links == LINKS_MAX => return Err(Errno::ELOOP.into()),
            SFlag::S_IFLNK => {
                links += 1;
                let target = nix::fcntl::readlinkat(&next, "")?;
                let target = target.to_str().ok_or(Errno::EILSEQ)?;
                if target.starts_with('/') {
                    chosen.dir = top()?;
                }
                left.extend(names(target));
            }
            SFlag::S_IFDIR => {
                // In a sticky directory nobody can move what is root's.
                let closed = stat.st_mode & 0o022 == 0 || stat.st_mode & 0o1000 != 0;
                chosen = Chosen { dir: next, steady: chosen.steady && stat.st_uid == 0 && closed };
            }
            _ => return Err(Errno::ENOTDIR.into()),
        }
    }
    Ok(chosen)
}

/// Opens a directory by its absolute path, whatever links lead there, to find names in it.
pub fn open_dir_path(path: &str) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

pub fn open_dir(dir: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    beneath(dir, path, OFlag::O_DIRECTORY, 0)
}

/// Opens for appending; `mode` given: makes it if it is missing. Never waits for a FIFO's reader.
pub fn open_append(dir: BorrowedFd<'_>, path: &str, mode: Option<u32>) -> io::Result<File> {
    let create = if mode.is_some() { OFlag::O_CREAT } else { OFlag::empty() };
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | create;
    Ok(File::from(beneath(dir, path, flags, mode.unwrap_or(0))?))
}

pub fn open_read(dir: BorrowedFd<'_>, path: &str) -> io::Result<File> {
    Ok(File::from(beneath(dir, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, 0)?))
}

/// Makes a file for writing. EEXIST if there is one.
pub fn create_new(dir: BorrowedFd<'_>, path: &str) -> io::Result<File> {
    Ok(File::from(beneath(dir, path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?))
}

/// A file without a name, which is gone with its last descriptor.
pub fn nameless(dir: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(beneath(dir, ".", OFlag::O_RDWR | OFlag::O_TMPFILE, 0o600)?))
}

pub fn make_dir(dir: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    Ok(mkdirat(dir, name, Mode::from_bits_truncate(mode))?)
}

/// `name` and `to` have no slash: both stand in `dir` itself.
pub fn rename(dir: BorrowedFd<'_>, name: &str, to: &str) -> io::Result<()> {
    Ok(nix::fcntl::renameat(dir, name, dir, to)?)
}

pub fn unlink(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?)
}

pub fn set_group(file: BorrowedFd<'_>, gid: u32) -> io::Result<()> {
    Ok(fchown(file, None, Some(Gid::from_raw(gid)))?)
}

/// The names in a directory, without `.` and `..`. Names that are not UTF-8 are none of ours and left out.
pub fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut open = nix::dir::Dir::from_fd(beneath(dir, ".", OFlag::O_DIRECTORY, 0)?)?;
    let mut names = Vec::new();
    for entry in open.iter() {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Tells what changed in the directories and files watched.
pub struct Changes(Inotify);

/// Something changed in a watched directory or file. The default: so much that the kernel lost count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// What `watch` returned.
    pub watch: Option<i32>,
    /// The name within a directory; None for a watched file itself.
    pub name: Option<String>,
    /// The name is new there.
    pub made: bool,
}

impl Changes {
    pub fn new() -> io::Result<Self> {
        Ok(Self(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?))
    }

    /// Watching the same directory twice is once. The path goes by the fd, so it is the file that was opened.
    pub fn watch(&self, open: BorrowedFd<'_>) -> io::Result<i32> {
        let path = format!("/proc/self/fd/{}", open.as_raw_fd());
        let seen =
            AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE;
        Ok(self.0.add_watch(path.as_str(), seen)?.as_raw())
    }

    /// What changed since the last call; nothing if nothing did.
    pub fn take(&self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        loop {
            match self.0.read_events() {
                Ok(events) => changes.extend(events.into_iter().map(|event| {
                    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                        return Change::default();
                    }
                    let name = event.name.map(|name| name.to_string_lossy().into_owned());
                    let made = event.mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
                    Change { watch: Some(event.wd.as_raw()), name, made }
                })),
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{lchown, symlink};

    #[test]
    fn root_goes_through_its_own_links_and_through_nobody_elses() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let base = std::env::temp_dir().join(format!("stead-open-{}", std::process::id()));
        std::fs::create_dir_all(base.join("real/inner")).unwrap();
        let base = base.to_str().unwrap();
        symlink("real", format!("{base}/ours")).unwrap();
        symlink(format!("{base}/real"), format!("{base}/theirs")).unwrap();
        lchown(format!("{base}/theirs"), Some(65534), Some(65534)).unwrap();
        assert!(open_dir_of_root(&format!("{base}/ours/./inner")).unwrap().steady);
        let error = open_dir_of_root(&format!("{base}/theirs/inner")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ELOOP as i32));
        std::os::unix::fs::chown(format!("{base}/real"), Some(65534), None).unwrap();
        assert!(!open_dir_of_root(&format!("{base}/ours/inner")).unwrap().steady);
        std::fs::remove_dir_all(base).unwrap();
    }
}
