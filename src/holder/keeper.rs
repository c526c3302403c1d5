//! Keeping the daemon running.
//! Owns: its process, when it is started again, and the one timer there is: none once the daemon has run for 250 ms.
//! Never: reads a clock, or gives up while there is anything to keep.
//!
//!     Down ── start ──> Young ── 250 ms ──> Settled ── death ──> Down, start at once
//!      ↑                  └── death ──> Waiting ── 10 ms × 2, up to 10 s ──> Down, start
//!      └ Leaving: the daemon has said Quit; its death, or 5 s, is the end

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::link::Link;
use super::plan::{Failure, Plan, Step};
use super::protocol::FD_VARIABLE;
use crate::sys::clone::{Child, Launch, Verdict};
use crate::sys::pidfd::{self, Exit};
use crate::sys::timer::Timer;

/// In the environment of the daemon that an upgrade brings, and of no other.
const UPGRADED: &CStr = c"STEAD_UPGRADED=1";
const YOUTH: Duration = Duration::from_millis(250);
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LAST_DELAY: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(5);

/// The daemon's process and our end of the line to it.
pub struct Running {
    pub child: Child,
    pub link: Link,
}

/// What the timer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Young,
    Settled,
    Waiting,
    Leaving,
}

pub struct Keeper {
    plan: Plan,
    pub running: Option<Running>,
    pub phase: Phase,
    pub timer: Option<Timer>,
    delay: Duration,
    /// It has said that it serves, at least once.
    pub served: bool,
    /// The next one comes with new programs, by somebody's wish, and is told so.
    pub upgraded: bool,
}

impl Keeper {
    pub fn new(program: CString, mut env: Vec<CString>) -> Keeper {
        env.retain(|entry| !entry.as_bytes().starts_with(FD_VARIABLE.as_bytes()) && entry.as_c_str() != UPGRADED);
        env.extend(CString::new(format!("{FD_VARIABLE}=3")));
        let args = vec![program.clone()];
        // A session of its own: Ctrl-C at a terminal is for the holder, which passes it on as a wish.
        let plan = Plan { program, args, env, steps: vec![Step::Setsid], ..Plan::default() };
        Keeper {
            plan,
            running: None,
            phase: Phase::Waiting,
            timer: None,
            delay: FIRST_DELAY,
            served: false,
            upgraded: false,
        }
    }

    /// Starts the daemon. Whoever calls watches the new fds.
    pub fn start(&mut self, null: BorrowedFd<'_>) -> Result<(), String> {
        let (link, theirs) = Link::pair().map_err(|error| format!("cannot make a socket for the daemon: {error}"))?;
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let fds = [null, stdout.as_fd(), stderr.as_fd(), theirs.as_fd()];
        let Plan { program, args, env, steps, .. } = &self.plan;
        let mut env = env.clone();
        env.extend(self.upgraded.then(|| UPGRADED.to_owned()));
        let launch = Launch { program, args, env: &env, cgroup: None, fds: &fds, steps };
        let child = launch.start().map_err(|failure| self.sentence(failure))?;
        self.running = Some(Running { child, link });
        self.upgraded = false;
        // Without its timer it stays young, and its next death costs a delay.
        let _ = self.arm(Phase::Young, YOUTH);
        Ok(())
    }

    /// The error of an exec that has failed, if it has.
    pub fn exec_error(&self) -> Option<String> {
        match self.running.as_ref()?.child.report.verdict() {
            Verdict::Failed(failure) => Some(self.sentence(failure)),
            Verdict::Pending | Verdict::Running => None,
        }
    }

    fn sentence(&self, failure: crate::sys::child::Failure) -> String {
        Failure::from_child(failure, &self.plan).sentence(&self.plan)
    }

    /// Reaps it. None if it is not dead.
    pub fn bury(&mut self) -> Option<Exit> {
        let exit = pidfd::reap(self.running.as_ref()?.child.pidfd.as_fd()).ok()??;
        self.running = None;
        Some(exit)
    }

    /// How long to wait before it is started again. Nothing, if it had settled.
    pub fn next_delay(&mut self) -> Option<Duration> {
        if self.phase == Phase::Settled {
            self.delay = FIRST_DELAY;
            return None;
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(LAST_DELAY);
        Some(delay)
    }

    pub fn wait(&mut self, delay: Duration) -> io::Result<()> {
        self.arm(Phase::Waiting, delay)
    }

    /// It has run for long enough: its next death is not the same trouble again.
    pub fn settle(&mut self) {
        self.phase = Phase::Settled;
        self.delay = FIRST_DELAY;
    }

    /// It has said Quit, and has a few seconds to go.
    pub fn leave(&mut self) -> io::Result<()> {
        self.arm(Phase::Leaving, FAREWELL)
    }

    /// SIGKILL, for a daemon that cannot be spoken to: it is no use, and its successor is.
    pub fn kill(&self) {
        if let Some(running) = &self.running {
            // It may be dead already, which is as good.
            let _ = pidfd::send_signal(running.child.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// The timer of the phase before has been dropped by whoever watched it.
    fn arm(&mut self, phase: Phase, after: Duration) -> io::Result<()> {
        self.phase = phase;
        self.timer = Some(Timer::after(after)?);
        Ok(())
    }
}
