//! How and why a proc ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use super::time::Wall;

/// What wait(2) says of a dead process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal {
        signal: Signal,
        core_dumped: bool,
    },
    /// Nobody was left to hear the status: the holder had been killed.
    Unknown,
}

/// Why a run ended, in the words of `list --json`. Decided once, from kernel facts and from what stead itself had asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The program ended by itself.
    Exit,
    /// A signal that stead did not send.
    Signal,
    /// Nobody heard how: the holder had been killed, and the kernel is older than 6.15.
    Unknown,
    /// The kernel killed it at `memory_max`.
    Oom,
    /// Replaced because it was over `max_memory_restart`.
    Memory,
    /// Asked to stop by a person, and did.
    Stopped,
    /// Asked to stop, did not within `stop_timeout`, and was killed.
    StopTimeout,
    /// Killed by a person with `stead kill`.
    Killed,
    /// Replaced by a newer run.
    Replaced,
    /// Replaced at a time of `cron_restart`.
    Cron,
    /// Not ready within `start_timeout`, and killed.
    StartTimeout,
    /// Never ran: see the message.
    SpawnFailed,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Exit => "exit",
            Reason::Signal => "signal",
            Reason::Unknown => "unknown",
            Reason::Oom => "oom",
            Reason::Memory => "memory",
            Reason::Stopped => "stopped",
            Reason::StopTimeout => "stop-timeout",
            Reason::Killed => "killed",
            Reason::Replaced => "replaced",
            Reason::Cron => "cron",
            Reason::StartTimeout => "start-timeout",
            Reason::SpawnFailed => "spawn-failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The end of an instance's latest run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    pub reason: Reason,
    /// None if the run never started.
    pub exit: Option<Exit>,
    pub at: Wall,
    /// What there is to say beyond the reason, such as the stage and error of a failed spawn.
    pub message: Option<String>,
}

impl fmt::Display for LastExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match self.exit {
            Some(Exit::Code(code)) => write!(f, ", code {code}")?,
            Some(Exit::Signal { signal, core_dumped }) => {
                write!(f, ", {signal}{}", if core_dumped { " (core dumped)" } else { "" })?;
            }
            Some(Exit::Unknown) => write!(f, ", status unknown")?,
            None => {}
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}
