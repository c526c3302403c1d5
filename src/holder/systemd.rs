//! What systemd is told, and what it is given to keep. The holder is the unit's main process, so only it is listened to.
//! Owns: the socket of NOTIFY_SOCKET, and what waits for room in it.
//! Never: hands the address on: an app that spoke there would be taken for us. Never blocks on a systemd that is busy.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use super::say::say;
use crate::sys::socket;

/// Variables that stand between systemd and its service (sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)).
pub const VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];

/// How long a busy systemd is waited for in the end.
const FAREWELL_MS: u16 = 1000;

/// One datagram.
struct Letter {
    text: String,
    fd: Option<Rc<OwnedFd>>,
}

#[derive(Default)]
pub struct Systemd {
    /// None: it has not started us.
    socket: Option<OwnedFd>,
    waiting: VecDeque<Letter>,
}

impl Systemd {
    pub fn from_environment() -> Systemd {
        let path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
        let socket = path.and_then(|path| {
            let complain = |error: &io::Error| say!("NOTIFY_SOCKET={}: {error}", path.display());
            socket::connect_datagram(&path).inspect_err(complain).ok()
        });
        Systemd { socket, waiting: VecDeque::new() }
    }

    /// `status` is for people who ask systemctl.
    pub fn ready(&mut self, status: &str) {
        self.say(format!("READY=1\nSTATUS={status}"));
    }

    /// READY=1 ends it (sd_notify(3)).
    pub fn reloading(&mut self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
        let now = now.map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000);
        self.say(format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    pub fn stopping(&mut self) {
        self.say("STOPPING=1".to_owned());
    }

    /// All is well.
    pub fn alive(&mut self, status: &str) {
        self.say(format!("WATCHDOG=1\nSTATUS={status}"));
    }

    /// Keeps a copy for whoever comes after a holder that was killed. Without FDPOLL=0 systemd would drop a pipe whose
    /// writer is gone, and what was written last with it.
    pub fn keep(&mut self, name: &str, fd: &Rc<OwnedFd>) {
        self.send(Letter { text: format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"), fd: Some(Rc::clone(fd)) });
    }

    pub fn forget(&mut self, name: &str) {
        let text = format!("FDSTOREREMOVE=1\nFDNAME={name}");
        // What has not been given yet need not be given.
        let given = format!("\nFDNAME={name}");
        let before = self.waiting.len();
        self.waiting.retain(|letter| letter.fd.is_none() || !letter.text.ends_with(&given));
        if self.waiting.len() == before {
            self.send(Letter { text, fd: None });
        }
    }

    fn say(&mut self, text: String) {
        self.send(Letter { text, fd: None });
    }

    fn send(&mut self, letter: Letter) {
        if self.socket.is_some() {
            self.waiting.push_back(letter);
            if self.waiting.len() == 1 {
                self.flush();
            }
        }
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self) {
        let Some(socket) = &self.socket else { return };
        while let Some(Letter { text, fd }) = self.waiting.front() {
            let fds: Vec<BorrowedFd<'_>> = fd.iter().map(|fd| fd.as_fd()).collect();
            match socket::send(socket.as_fd(), text.as_bytes(), &fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => say!("cannot tell systemd {text:?}: {error}"),
                Ok(()) => {}
            }
            self.waiting.pop_front();
        }
    }

    /// The last that is sent: waits for room, but not for long.
    pub fn finish(&mut self) {
        while !self.waiting.is_empty() {
            let Some(socket) = &self.socket else { return };
            if !socket::wait_for_room(socket.as_fd(), FAREWELL_MS) {
                return;
            }
            self.flush();
        }
    }

    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Something waits for room in the socket.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}
