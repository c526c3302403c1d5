//! What systemd is told. The holder is the unit's main process, so only it is listened to.
//! Owns: the address in NOTIFY_SOCKET. Never: hands it on: an app that spoke there would be taken for us.

use std::path::PathBuf;

use crate::sys::socket;

pub struct Systemd(Option<PathBuf>);

impl Systemd {
    pub fn from_environment() -> Systemd {
        Systemd(std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// READY=1 ends it (sd_notify(3)).
    pub fn reloading(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
        let now = now.map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, state: &str) {
        if let Some(path) = &self.0
            && let Err(error) = socket::send_datagram(path, state.as_bytes())
        {
            eprintln!("stead-holder: cannot tell systemd {state} at {}: {error}", path.display());
        }
    }
}
