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
