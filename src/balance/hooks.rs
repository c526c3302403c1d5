//! The programs of `hooks.bpf.c`, attached to the cgroup that holds all apps.
//! Owns: their links, and the decoding of what they tell.
//! Never: follows from the news; the daemon does.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya::maps::{Array, HashMap, MapData, RingBuf};
use aya::programs::Program;

use super::kept::{self, Kept};
use super::object::{Loader, Unable};
use crate::sys::bpf::{self, Attach};

/// What an app did that the daemon should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// listen(2) has succeeded. `run` is the id of the run's cgroup; None if the socket was never bound by name.
    Listens { run: Option<u64>, port: u16, cookie: u64 },
    /// A socket that listened is closed.
    Closes { run: u64, cookie: u64 },
    /// bind(2) named a port that another app has, so it is not shared. All but the port are ids of cgroups.
    Taken { run: u64, port: u16, holder: u64 },
}

/// The attached programs. They stay attached as long as anybody holds a copy of their links.
#[derive(Debug)]
pub struct Hooks {
    unshared: HashMap<MapData, u64, u64>,
    _links: Vec<OwnedFd>,
}

/// The kernel's end of the news.
pub struct Ring(RingBuf<MapData>);

/// Each program and what calls it. Releases are counted before binds are, so that no count begins too low.
const PROGRAMS: [(&str, Attach); 6] = [
    ("bind4", Attach::Bind4),
    ("bind6", Attach::Bind6),
    ("release", Attach::SockRelease),
    ("post_bind4", Attach::PostBind4),
    ("post_bind6", Attach::PostBind6),
    ("listens", Attach::SockOps),
];

impl Hooks {
    /// What is kept of the hooks, by name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROGRAMS.into_iter().map(|(name, _)| name).chain(["unshared", "news"])
    }

    /// `base` is the v2 directory with the apps' directories. Also gives what is to be kept.
    pub fn attach(loader: &mut Loader, base: &Path) -> Result<(Self, Ring, Kept), Unable> {
        let refused = |what| move |source| Unable::Refused { what, source };
        let dir = File::open(base).map_err(refused("cannot open the apps' cgroup"))?;
        // The id of a cgroup is the inode number of its directory (cgroup-v2.rst; bpf-helpers(7)).
        let id = dir.metadata().map_err(refused("cannot look at the apps' cgroup"))?.ino();
        let mut programs = loader.load(aya::include_bytes_aligned!("hooks.bpf.o"))?;
        let mut home: Array<_, u64> = programs.take_map("base").ok_or(Unable::Incomplete("map `base`"))?.try_into()?;
        home.set(0, id, 0)?;
        let mut kept = Kept::new();
        let mut links = Vec::new();
        for (name, kind) in PROGRAMS {
            let program = programs.program_mut(name).ok_or(Unable::Incomplete(name))?;
            match program {
                Program::CgroupSockAddr(program) => program.load()?,
                Program::CgroupSock(program) => program.load()?,
                Program::SockOps(program) => program.load()?,
                _ => return Err(Unable::Incomplete(name)),
            }
            let link = bpf::attach_to_cgroup(program.fd()?.as_fd(), dir.as_fd(), kind)
                .map_err(refused("a program cannot be attached to the apps' cgroup"))?;
            kept.insert(name.to_owned(), link.try_clone().map_err(kept::refused)?);
            links.push(link);
        }
        let unshared = kept::take(&mut programs, "unshared", &mut kept)?;
        let ring = kept::take(&mut programs, "news", &mut kept)?;
        Ok((Self { unshared, _links: links }, Ring(ring), kept))
    }

    /// Takes over what an earlier daemon attached, news that nobody has heard yet included.
    pub fn resume(mut kept: Kept) -> Result<(Self, Ring), Unable> {
        let unshared = kept::resume(&mut kept, "unshared")?;
        let ring = kept::resume(&mut kept, "news")?;
        let link = |(name, _): (&'static str, Attach)| kept.remove(name).ok_or(Unable::Incomplete(name));
        let links = PROGRAMS.into_iter().map(link).collect::<Result<_, _>>()?;
        Ok((Self { unshared, _links: links }, Ring(ring)))
    }

    /// Whether the instances of an app (the id of its cgroup) share ports. They do unless told otherwise.
    pub fn share(&mut self, app: u64, shares: bool) -> Result<(), Unable> {
        match shares {
            true => match self.unshared.remove(&app) {
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => Ok(()),
                // An app that was never there.
                Err(aya::maps::MapError::SyscallError(error))
                    if error.io_error.kind() == std::io::ErrorKind::NotFound =>
                {
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            false => Ok(self.unshared.insert(app, 1, 0)?),
        }
    }
}

impl Ring {
    /// What has come in since the last call.
    pub fn read(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        while let Some(bytes) = self.0.next() {
            news.extend(decode(&bytes));
        }
        news
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `struct news` of hooks.bpf.c: six words.
fn decode(bytes: &[u8]) -> Option<News> {
    let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    let port = u16::try_from(word(3)?).ok()?;
    match word(0)? {
        1 => Some(News::Listens { run: Some(word(2)?).filter(|run| *run != 0), port, cookie: word(4)? }),
        2 => Some(News::Taken { run: word(2)?, port, holder: word(5)? }),
        3 => Some(News::Closes { run: word(2)?, cookie: word(4)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: [u64; 6]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn news_is_decoded_and_garbage_is_none() {
        assert_eq!(decode(&words([1, 0, 7, 80, 9, 0])), Some(News::Listens { run: Some(7), port: 80, cookie: 9 }));
        assert_eq!(decode(&words([1, 0, 0, 80, 9, 0])), Some(News::Listens { run: None, port: 80, cookie: 9 }));
        assert_eq!(decode(&words([2, 5, 7, 80, 0, 3])), Some(News::Taken { run: 7, port: 80, holder: 3 }));
        assert_eq!(decode(&words([3, 0, 7, 80, 9, 0])), Some(News::Closes { run: 7, cookie: 9 }));
        assert_eq!(decode(&words([4, 0, 0, 0, 0, 0])), None);
        assert_eq!(decode(&words([1, 0, 0, 70_000, 0, 0])), None);
        assert_eq!(decode(&[1, 2, 3]), None);
    }
}
