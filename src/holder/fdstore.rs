//! The table in systemd's fd store: what a holder finds that comes after one that was killed.
//! Owns: the names there, what stands in the store of each process, and the table that is made of it again.
//! Never: keeps what a dead process has no use for.
//!
//! The end of a process that is another's child is read by `sys::pidfd::peek`; systemd reaps them meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::rc::Rc;

use super::protocol::{Exit, MAX_TOKEN, Stream, Token};
use super::run::Holder;
use super::say::say;
use super::store::Store;
use super::systemd::Systemd;
use super::table::{Proc, State, Streams, Table};
use crate::sys::{inherit, pidfd};

/// The first descriptor that systemd passes (sd_listen_fds(3)).
const FIRST: RawFd = 3;
/// The longest name there (sd_notify(3), FDNAME).
const NAME_MAX: usize = 255;

/// What is kept of a process, as named in the store.
const PIDFD: &str = "pidfd";
const STREAMS: [&str; Stream::ALL.len()] = ["stdout", "stderr", "ipc", "spilled-stdout", "spilled-stderr"];

/// What a descriptor is of.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Pidfd(Token),
    Stream(Token, usize),
    Stored(String),
}

fn of_proc(token: Token, kind: &str) -> String {
    format!("proc/{token}/{kind}")
}

/// A name may have no control characters and no colon.
fn of_stored(name: &str) -> Option<String> {
    let mut text = "kept/".to_owned();
    for byte in name.bytes() {
        match byte {
            b'!'..=b'~' if byte != b':' && byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    (text.len() <= NAME_MAX).then_some(text)
}

fn parse(text: &str) -> Option<Name> {
    if let Some(rest) = text.strip_prefix("kept/") {
        let mut bytes = Vec::new();
        let mut rest = rest.bytes();
        while let Some(byte) = rest.next() {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            bytes.push(match byte {
                b'%' => u8::try_from(digit(rest.next())? << 4 | digit(rest.next())?).ok()?,
                byte => byte,
            });
        }
        return String::from_utf8(bytes).ok().map(Name::Stored);
    }
    let (token, kind) = text.strip_prefix("proc/")?.split_once('/')?;
    let token = token.parse().ok().filter(|token| *token < MAX_TOKEN)?;
    match STREAMS.iter().position(|stream| *stream == kind) {
        Some(stream) => Some(Name::Stream(token, stream)),
        None => (kind == PIDFD).then_some(Name::Pidfd(token)),
    }
}

impl Systemd {
    /// A process has come to its exec.
    pub fn keep_proc(&mut self, token: Token, proc: &Proc) {
        if let Some(pidfd) = &proc.pidfd {
            self.keep(&of_proc(token, PIDFD), pidfd);
        }
        for (stream, kind) in proc.streams.iter().zip(STREAMS) {
            if let Some(stream) = stream {
                self.keep(&of_proc(token, kind), stream);
            }
        }
    }

    pub fn forget_proc(&mut self, token: Token, proc: &Proc) {
        if proc.pidfd.is_some() {
            self.forget_pidfd(token);
        }
        for (stream, fd) in proc.streams.iter().enumerate() {
            if fd.is_some() {
                self.forget_stream(token, stream);
            }
        }
    }

    pub fn forget_pidfd(&mut self, token: Token) {
        self.forget(&of_proc(token, PIDFD));
    }

    pub fn keep_stream(&mut self, token: Token, stream: usize, fd: &Rc<OwnedFd>) {
        self.keep(&of_proc(token, STREAMS[stream]), fd);
    }

    pub fn forget_stream(&mut self, token: Token, stream: usize) {
        self.forget(&of_proc(token, STREAMS[stream]));
    }

    /// In the store of this process and in systemd's, instead of an earlier one of the name.
    pub fn keep_stored(&mut self, store: &mut Store, name: String, fd: OwnedFd) {
        // systemd would keep both (sd_notify(3), FDSTORE).
        if store.get(&name).is_some() {
            self.forget_stored(&name);
        }
        match of_stored(&name) {
            Some(kept) => self.keep(&kept, &store.put(name, fd)),
            None => {
                say!("{name}: too long a name for systemd; it would be lost with this process");
                store.put(name, fd);
            }
        }
    }

    pub fn forget_stored(&mut self, name: &str) {
        if let Some(name) = of_stored(name) {
            self.forget(&name);
        }
    }
}

impl Holder {
    /// Nothing is to be taken over from this holder: who comes after it begins anew.
    pub(super) fn forget_all(&mut self) {
        for name in self.store.names() {
            self.systemd.forget_stored(&name);
        }
        for (token, proc) in &self.table.0 {
            self.systemd.forget_proc(*token, proc);
        }
    }
}

/// What a holder before us had, if systemd gives any of it to this process.
pub fn recover(systemd: &mut Systemd) -> Option<(Table, Store)> {
    let variable = |name: &str| std::env::var(name).ok();
    let pid: u32 = variable("LISTEN_PID")?.parse().ok()?;
    let count: RawFd = variable("LISTEN_FDS")?.parse().ok()?;
    if pid != std::process::id() || count < 1 {
        return None;
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut fds = Vec::new();
    for (number, name) in (FIRST..FIRST.saturating_add(count)).zip(names.split(':')) {
        match inherit::take(number) {
            Ok(fd) => fds.push((name.to_owned(), fd)),
            Err(error) => say!("systemd passes {name} as {number}: {error}"),
        }
    }
    Some(sort(fds, systemd))
}

fn sort(fds: Vec<(String, OwnedFd)>, systemd: &mut Systemd) -> (Table, Store) {
    let (mut procs, mut store) = (BTreeMap::<Token, (Option<OwnedFd>, Streams)>::new(), Store::default());
    for (name, fd) in fds {
        match parse(&name) {
            Some(Name::Pidfd(token)) => procs.entry(token).or_default().0 = Some(fd),
            Some(Name::Stream(token, stream)) => procs.entry(token).or_default().1[stream] = Some(Rc::new(fd)),
            Some(Name::Stored(name)) => drop(store.put(name, fd)),
            None => systemd.forget(&name),
        }
    }
    let row = |(token, (pidfd, streams)): (Token, (Option<OwnedFd>, Streams))| {
        let pid = pidfd.as_ref().and_then(|pidfd| pidfd::pid_of(pidfd.as_fd())).unwrap_or(0);
        let state = match &pidfd {
            Some(pidfd) => state_of(pidfd),
            // The daemon has dealt with its end.
            None => State::Reaped(Exit::Unknown),
        };
        (token, Proc { pid, pidfd: pidfd.map(Rc::new), streams, state, stranger: true })
    };
    (Table(procs.into_iter().map(row).collect()), store)
}

fn state_of(pidfd: &OwnedFd) -> State {
    let end: io::Result<Option<Exit>> = pidfd::peek(pidfd.as_fd());
    match end {
        Ok(None) => State::Running,
        Ok(Some(exit)) => State::Dead(exit),
        Err(_) => State::Dead(Exit::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_processes_come_back_and_others_are_not_taken_for_them() {
        assert_eq!(parse(&of_proc(7, PIDFD)), Some(Name::Pidfd(7)));
        assert_eq!(parse(&of_proc(8, "stderr")), Some(Name::Stream(8, 1)));
        for strange in ["", "stored", "proc/7", "proc/x/ipc", "proc/7/stdin", "kept/%4", "proc/1152921504606846976/ipc"]
        {
            assert_eq!(parse(strange), None, "{strange}");
        }
        assert_eq!(of_stored(&"x".repeat(NAME_MAX)), None);
    }

    proptest! {
        #[test]
        fn a_name_of_the_store_comes_back_as_systemd_allows_it(name in "\\PC{0,60}|[a-z/:%]{0,60}") {
            if let Some(text) = of_stored(&name) {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
                prop_assert_eq!(parse(&text), Some(Name::Stored(name)));
            }
        }
    }
}
