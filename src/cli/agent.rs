//! Who asks for a password on this terminal when polkit wants one: its own agent, pkttyagent(1), as with systemctl.
//! Owns: the agent's process. Never: sees a password.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// pkttyagent, for this process. Gone with it.
#[derive(Debug)]
pub struct Agent(Child);

impl Agent {
    /// Returns once polkit knows of it. None where there is no such program; polkit then says no by itself. It asks here
    /// even where a desktop would: as a mere fallback (its `--fallback`) polkit 122 finds it in login sessions alone.
    pub fn start() -> Option<Self> {
        let mut command = Command::new("pkttyagent");
        // Its subject is its parent, us; that it has registered it says by closing what is its standard output.
        command.args(["--notify-fd", "1"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        if let Some(mut told) = child.stdout.take() {
            let _ = told.read_to_end(&mut Vec::new());
        }
        Some(Self(child))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It puts the terminal back in order if it was asking.
        let pid = i32::try_from(self.0.id()).map(Pid::from_raw);
        if pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok()) {
            let _ = self.0.wait();
        }
    }
}
