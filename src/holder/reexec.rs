//! Becoming a newer holder in place: the same process, children and descriptors, another program.
//! Owns: the table on its way through execve(2), in a memfd, and the question to the new program whether it can read it.
//! Never: goes a step that cannot be taken back before that question is answered.
//!
//! The descriptors keep their numbers, which are what the table has of them; close-on-exec is taken off them for the
//! moment of the exec. A process between clone and exec cannot be carried, so those are waited for.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use nix::errno::Errno;

use super::protocol::{Exit, Stream, Token};
use super::run::{Holder, environment};
use super::say::say;
use super::store::Store;
use super::table::{Proc, State, Streams, Table};
use super::wire::{Malformed, Reader, Writer};
use crate::sys::clone::{Launch, Verdict};
use crate::sys::{inherit, memfd, pidfd};

/// Raised when the table changes its form.
const VERSION: u32 = 2;

/// The number of the memfd, in the environment of the program that comes after.
pub const VARIABLE: &str = "STEAD_HOLDER_TABLE";

/// The question whether a program can read the table that is its fd 3.
pub const QUESTION: &CStr = c"--can-read-table";

/// How long the answer may take: reading a few hundred kilobytes.
const PATIENCE_MS: u16 = 10_000;

/// What is carried.
#[derive(Debug, PartialEq, Eq)]
pub struct Carried {
    rows: Vec<(Token, Row)>,
    stored: Vec<(String, RawFd)>,
    lock: RawFd,
    nofile: (u64, u64),
    terminating: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    pid: i32,
    pidfd: Option<RawFd>,
    streams: [Option<RawFd>; Stream::ALL.len()],
    /// None: it runs. Otherwise how it ended, and whether it was reaped.
    end: Option<(Exit, bool)>,
    stranger: bool,
}

/// How far this holder has come in becoming a newer one.
pub(super) enum Upgrade {
    No,
    /// As soon as no process is between clone and exec.
    Asked,
    /// The program on disk can read the table. As soon as the daemon is dead.
    Offered(OwnedFd),
}

/// What a holder begins with that comes after another.
pub struct Inherited {
    pub table: Table,
    pub store: Store,
    pub lock: OwnedFd,
    pub nofile: (u64, u64),
    pub terminating: bool,
}

impl Carried {
    fn encode(&self) -> Vec<u8> {
        let fd = |out: &mut Writer, fd: Option<RawFd>| out.i32(fd.unwrap_or(-1));
        let mut out = Writer::default();
        out.u32(VERSION);
        out.list(&self.rows, |out, (token, row)| {
            out.u64(*token);
            out.i32(row.pid);
            fd(out, row.pidfd);
            row.streams.iter().for_each(|stream| fd(out, *stream));
            match row.end {
                None => out.u8(0),
                Some((Exit::Code(code), reaped)) => {
                    out.u8(1 + u8::from(reaped));
                    out.i32(code);
                }
                Some((Exit::Signal { signal, core_dumped }, reaped)) => {
                    out.u8(3 + u8::from(reaped));
                    out.i32(signal);
                    out.u8(core_dumped.into());
                }
                Some((Exit::Unknown, reaped)) => out.u8(5 + u8::from(reaped)),
            }
            out.u8(row.stranger.into());
        });
        out.list(&self.stored, |out, (name, number)| {
            out.bytes(name.as_bytes());
            fd(out, Some(*number));
        });
        fd(&mut out, Some(self.lock));
        out.u64(self.nofile.0);
        out.u64(self.nofile.1);
        out.u8(self.terminating.into());
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Carried, Malformed> {
        let mut from = Reader(bytes);
        if from.u32()? != VERSION {
            return Err(Malformed("a version of the table that this holder does not know"));
        }
        fn fd(from: &mut Reader<'_>) -> Result<Option<RawFd>, Malformed> {
            match from.i32()? {
                -1 => Ok(None),
                number if number > 2 => Ok(Some(number)),
                _ => Err(Malformed("a descriptor that cannot be carried")),
            }
        }
        let must = |fd: Option<RawFd>| fd.ok_or(Malformed("a descriptor is missing"));
        let rows = from.list(|from| {
            let (token, pid, pidfd) = (from.u64()?, from.i32()?, fd(from)?);
            let mut streams = [None; Stream::ALL.len()];
            for stream in &mut streams {
                *stream = fd(from)?;
            }
            let kind = from.u8()?;
            let end = match kind {
                0 => None,
                1 | 2 => Some((Exit::Code(from.i32()?), kind == 2)),
                3 | 4 => Some((Exit::Signal { signal: from.i32()?, core_dumped: from.flag()? }, kind == 4)),
                5 | 6 => Some((Exit::Unknown, kind == 6)),
                _ => return Err(Malformed("an unknown state")),
            };
            let stranger = from.flag()?;
            Ok((token, Row { pid, pidfd, streams, end, stranger }))
        })?;
        let stored = from.list(|from| Ok((from.string()?, must(fd(from)?)?)))?;
        let lock = must(fd(&mut from)?)?;
        let nofile = (from.u64()?, from.u64()?);
        let terminating = from.flag()?;
        from.end()?;
        let carried = Carried { rows, stored, lock, nofile, terminating };
        let mut numbers = carried.fds();
        numbers.sort_unstable();
        match numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(Malformed("one descriptor for two things")),
            false => Ok(carried),
        }
    }

    fn fds(&self) -> Vec<RawFd> {
        let rows = self.rows.iter().flat_map(|(_, row)| std::iter::once(row.pidfd).chain(row.streams)).flatten();
        rows.chain(self.stored.iter().map(|(_, fd)| *fd)).chain([self.lock]).collect()
    }

    /// Takes the descriptors over. Call it once, in the process that they were carried into.
    pub fn inherit(self) -> io::Result<Inherited> {
        let Carried { rows, stored, lock, nofile, terminating } = self;
        let take = |fd: Option<RawFd>| fd.map(|fd| inherit::take(fd).map(Rc::new)).transpose();
        let mut table = BTreeMap::new();
        for (token, Row { pid, pidfd, streams: numbers, end, stranger }) in rows {
            let state = match end {
                None => State::Running,
                Some((exit, false)) => State::Dead(exit),
                Some((exit, true)) => State::Reaped(exit),
            };
            let mut streams = Streams::default();
            for (stream, number) in streams.iter_mut().zip(numbers) {
                *stream = take(number)?;
            }
            table.insert(token, Proc { pid, pidfd: take(pidfd)?, streams, state, stranger });
        }
        let mut store = Store::default();
        for (name, fd) in stored {
            store.put(name, inherit::take(fd)?);
        }
        Ok(Inherited { table: Table(table), store, lock: inherit::take(lock)?, nofile, terminating })
    }
}

/// Reads the table of a memfd.
pub fn read(memfd: BorrowedFd<'_>) -> Result<Carried, String> {
    let bytes = memfd::read_all(memfd).map_err(|error| format!("cannot read the table: {error}"))?;
    Carried::decode(&bytes).map_err(|error| format!("cannot read the table: {error}"))
}

impl Holder {
    /// The daemon, then the holder, are to be replaced by the programs on disk. Every app stays as it is.
    pub(super) fn ask_for_upgrade(&mut self) {
        if matches!(self.upgrade, Upgrade::No) && !self.terminating {
            self.systemd.reloading();
            self.upgrade = Upgrade::Asked;
        }
    }

    /// Goes on as far as can be gone now. Does not return if it goes to the end.
    pub(super) fn go_on_with_upgrade(&mut self) {
        if matches!(self.upgrade, Upgrade::No) || !self.can_be_carried() {
            return;
        }
        match std::mem::replace(&mut self.upgrade, Upgrade::No) {
            Upgrade::No => {}
            Upgrade::Asked => match self.offer() {
                Ok(memfd) => {
                    self.upgrade = Upgrade::Offered(memfd);
                    self.keeper.kill();
                }
                Err(why) => {
                    say!("not replaced: {why}");
                    let status = self.status();
                    self.systemd.ready(&status);
                }
            },
            Upgrade::Offered(memfd) if self.keeper.running.is_some() => self.upgrade = Upgrade::Offered(memfd),
            Upgrade::Offered(memfd) => {
                say!("{}; going on as before", self.become_newer(&memfd));
                self.restart_daemon();
            }
        }
    }

    /// Whether every process is past its exec, so that the table can be carried.
    fn can_be_carried(&self) -> bool {
        !self.systemd.has_waiting()
            && !self.table.0.values().any(|proc| matches!(proc.state, State::Starting { .. } | State::Failed(_)))
    }

    fn carried(&self) -> Carried {
        let raw = |fd: &Option<Rc<OwnedFd>>| fd.as_ref().map(|fd| fd.as_raw_fd());
        let row = |(token, proc): (&Token, &Proc)| {
            let end = match proc.state {
                State::Dead(exit) => Some((exit, false)),
                State::Reaped(exit) => Some((exit, true)),
                State::Running | State::Starting { .. } | State::Failed(_) => None,
            };
            let streams = std::array::from_fn(|at| raw(&proc.streams[at]));
            (*token, Row { pid: proc.pid, pidfd: raw(&proc.pidfd), streams, end, stranger: proc.stranger })
        };
        Carried {
            rows: self.table.0.iter().map(row).collect(),
            stored: self.store.all().map(|(name, fd)| (name.to_owned(), fd.as_raw_fd())).collect(),
            lock: self.lock.as_raw_fd(),
            nofile: self.nofile,
            terminating: self.terminating,
        }
    }

    /// Puts the table where the program that comes after finds it, and asks that program whether it can read it.
    fn offer(&self) -> Result<OwnedFd, String> {
        let memfd = memfd::growing("stead-holder-table").map_err(|error| format!("cannot make a memfd: {error}"))?;
        memfd::write_all(memfd.as_fd(), &self.carried().encode())
            .map_err(|error| format!("cannot write the table: {error}"))?;
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let fds = [self.null.as_fd(), stdout.as_fd(), stderr.as_fd(), memfd.as_fd()];
        let program = &self.program;
        let args = [program.clone(), QUESTION.to_owned()];
        let launch = Launch { program, args: &args, env: &[], cgroup: None, fds: &fds, steps: &[] };
        let shown = program.to_string_lossy();
        let failed = |errno| format!("cannot start {shown}: {}", Errno::from_raw(errno).desc());
        let child = launch.start().map_err(|failure| failed(failure.errno))?;
        if !pidfd::wait_for_end(child.pidfd.as_fd(), PATIENCE_MS) {
            let _ = pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL);
            // It is reaped as the orphan that it is now.
            return Err(format!("{shown} does not answer"));
        }
        let verdict = child.report.verdict();
        let exit = pidfd::reap(child.pidfd.as_fd());
        match (verdict, exit) {
            (Verdict::Failed(failure), _) => Err(failed(failure.errno)),
            (_, Ok(Some(Exit::Code(0)))) => Ok(memfd),
            _ => Err(format!("{shown} cannot read this holder's table: it stays as it is")),
        }
    }

    /// Executes the program on disk in the place of this one. It returns only if that fails, with all as it was.
    fn become_newer(&self, memfd: &OwnedFd) -> String {
        let carried = self.carried();
        let mut fds = carried.fds();
        fds.push(memfd.as_raw_fd());
        // The descriptors that systemd once passed are in the table.
        let mut env =
            environment(|name| name != VARIABLE && name.to_str().is_none_or(|name| !name.starts_with("LISTEN_")));
        env.extend(CString::new(format!("{VARIABLE}={}", memfd.as_raw_fd())));
        // The daemon may have said something since it was offered.
        let written = memfd::write_all(memfd.as_fd(), &carried.encode());
        let error = match written.and_then(|()| inherit::set_kept(&fds, true)) {
            Ok(()) => inherit::execute(&self.program, &self.args, &env),
            Err(error) => error,
        };
        let _ = inherit::set_kept(&fds, false);
        format!("cannot execute {}: {error}", self.program.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Carried {
        let row = |pid, end| Row {
            pid,
            pidfd: Some(pid + 10),
            streams: [Some(pid + 100), None, Some(pid + 1000), Some(pid + 2000), None],
            end,
            stranger: pid == 3,
        };
        Carried {
            rows: vec![
                (7, row(1, None)),
                (8, row(2, Some((Exit::Code(3), true)))),
                (10, row(4, Some((Exit::Unknown, true)))),
                (9, row(3, Some((Exit::Signal { signal: 9, core_dumped: true }, false)))),
            ],
            stored: vec![("runtime".to_owned(), 3), ("listen/a/0/80".to_owned(), 4)],
            lock: 5,
            nofile: (1024, 4096),
            terminating: true,
        }
    }

    #[test]
    fn a_table_comes_back_as_it_was() {
        assert_eq!(Carried::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn a_table_of_another_version_or_with_one_fd_twice_is_refused() {
        let mut bytes = sample().encode();
        bytes[0] = 99;
        assert!(Carried::decode(&bytes).is_err());
        let twice = Carried { lock: 3, ..sample() };
        assert!(Carried::decode(&twice.encode()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300, sane in any::<bool>()) {
            if sane {
                bytes = sample().encode();
                bytes.truncate(cut);
            }
            let _ = Carried::decode(&bytes);
        }
    }
}
