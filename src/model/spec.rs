//! An app's settings, resolved: nothing optional that means "default", no string that means an enum.
//! Owns: the shape of a spec. Never: reads a file, knows a default; `config` does both.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::AppName;
use super::listen::Listen;
use super::quantity::{Bytes, CpuPercent, Surge};
use super::sandbox::Sandbox;
use super::signal::Signal;
use super::times::Times;

/// Everything stead needs to know to run an app. Two equal specs are the same revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppSpec {
    pub name: AppName,
    pub namespace: String,
    pub command: Command,
    /// Absolute.
    pub cwd: String,
    pub env: BTreeMap<String, String>,
    /// Absolute; read as the app's user before each run.
    pub env_file: Option<String>,
    /// Absolute; written as the app's user. With several instances, their numbers are put before its extension.
    #[serde(default)]
    pub pid_file: Option<String>,
    /// The variable that holds the instance's number.
    #[serde(default = "instance_var")]
    pub instance_var: String,
    /// A variable that is a number, to which the instance's is added.
    #[serde(default)]
    pub increment_var: Option<String>,
    pub identity: Identity,
    pub limits: Limits,
    pub process: ProcessSettings,
    /// What it is kept from.
    #[serde(default)]
    pub sandbox: Sandbox,
    pub instances: u32,
    pub max_surge: Surge,
    pub replace: Replace,
    pub share_ports: bool,
    /// How the connections of a shared port are spread over the instances.
    #[serde(default)]
    pub balance: Balance,
    /// Sockets that stead makes and passes, fd 3 and on in this order. No two overlap.
    #[serde(default)]
    pub listen: Vec<Listen>,
    /// Whether a file that has it starts it.
    #[serde(default = "yes")]
    pub autostart: bool,
    pub ready_on: ReadyOn,
    pub start_timeout: Duration,
    pub drain_timeout: Duration,
    pub stop_timeout: Duration,
    pub stop_signal: Signal,
    pub stop_scope: StopScope,
    pub restart: Restart,
    /// Exit codes that are as good as 0 for `on-failure`, and for every other policy an end.
    #[serde(default)]
    pub stop_exit_codes: Vec<u8>,
    /// None: at once, then exponential with jitter.
    pub restart_delay: Option<Duration>,
    /// The first delay where each is half as long again as the one before. Never set together with `restart_delay`.
    #[serde(default)]
    pub exp_backoff_restart_delay: Option<Duration>,
    /// 0: no limit.
    pub max_restarts: u32,
    pub min_uptime: Duration,
    /// What is done to it by the calendar.
    #[serde(default)]
    pub times: Times,
    pub log: LogSettings,
}

/// What is executed. All absolute, decided where the caller's PATH is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The file given to execve(2): the interpreter, or the program itself.
    pub program: String,
    /// The arguments after argv[0]: interpreter arguments, the script, its arguments.
    pub args: Vec<String>,
    /// The script among `args`, if there is one; checked for existence before a start.
    pub script: Option<String>,
    /// What the person wrote, for people.
    pub shown: String,
}

/// Who a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// A name or a number of the user database.
    pub user: String,
    /// None: the user's primary group.
    pub group: Option<String>,
    /// None: the user's supplementary groups (initgroups(3)).
    pub groups: Option<Vec<String>>,
}

/// What the kernel holds an instance to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_max: Option<Bytes>,
    /// None with `memory_max` set means 0.
    pub memory_swap_max: Option<Bytes>,
    pub max_memory_restart: Option<Bytes>,
    pub cpu_max: Option<CpuPercent>,
    /// cgroup v2's 1 to 10000, default 100.
    pub cpu_weight: Option<u32>,
    pub tasks_max: Option<u64>,
}

/// What a process is given before its first instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    pub umask: u32,
    /// None: as inherited, 0.
    pub nice: Option<i32>,
    pub oom_score_adj: i32,
    /// By getrlimit(2) name in lower case without `RLIMIT_`: `nofile`. None within a pair is infinity.
    pub rlimits: BTreeMap<String, (Option<u64>, Option<u64>)>,
    pub no_new_privs: bool,
    /// Ambient capabilities, `CAP_NET_BIND_SERVICE`; everything else is dropped for a user other than root.
    pub capabilities: Vec<String>,
}

/// How a newer run takes the place of an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replace {
    /// Nothing running is touched before its replacement is ready.
    NewFirst,
    /// Stop, wait until it is gone, start.
    OldFirst,
    /// New-first, unless stead knows that it cannot be: then old-first, and says so.
    Auto,
    /// As `Auto` while the app listens on a port; old-first while it does not.
    ByPort,
}

/// Which instance gets a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Each ready instance in its turn.
    #[default]
    RoundRobin,
    /// By the client's address and port, over the ready instances.
    Hash,
    /// Whatever the kernel does by itself: by address and port, over everything that listens.
    Off,
}

/// What makes a new run ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadyOn {
    Auto,
    Listen,
    Notify,
    Message,
    Instant,
    /// A GET of this URL answers 2xx or 3xx.
    Http {
        url: String,
    },
    /// A connection to `host:port` is taken.
    Tcp {
        address: String,
    },
    /// This command, run as the app's user in the app's cgroup, exits 0.
    Exec {
        argv: Vec<String>,
    },
}

/// Whom the stop signal goes to. SIGKILL always goes to the whole cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopScope {
    Main,
    All,
}

/// Which deaths are followed by a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    pub format: LogFormat,
    /// Absolute; None: in stead's own log directory. Only `raw` keeps two streams apart in files.
    pub out_file: Option<String>,
    pub error_file: Option<String>,
    /// A file is rotated when it would grow past this. 0: never.
    pub max_size: Bytes,
    /// How many rotated files are kept beside the current one.
    pub max_files: u32,
    /// Rotated files are compressed, but for the newest.
    #[serde(default = "yes")]
    pub compress: bool,
    /// Of all log files of the app together: over it the oldest rotated ones go. 0: no limit.
    #[serde(default = "max_total")]
    pub max_total: Bytes,
}

/// As PM2 calls it, and what looks for it.
pub const INSTANCE_VAR: &str = "NODE_APP_INSTANCE";

/// For what was saved before there was the key.
fn instance_var() -> String {
    INSTANCE_VAR.to_owned()
}

/// The same.
fn yes() -> bool {
    true
}

/// The same.
fn max_total() -> Bytes {
    Bytes(1 << 30)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `2026-11-20T12:47:03.123456789Z stdout F text`, as container runtimes write.
    Cri,
    /// The bytes as they came, `<app>-out.log` and `<app>-error.log`.
    Raw,
    /// One JSON object a line.
    Json,
    /// journald keeps the lines.
    Journal,
    /// Nothing is kept.
    None,
}

impl AppSpec {
    /// It runs at times, and ends by itself.
    pub fn is_job(&self) -> bool {
        !self.times.schedule.is_empty()
    }

    /// Node and Bun speak the IPC channel of `child_process.fork` (NODE_CHANNEL_FD).
    pub fn runs_node(&self) -> bool {
        let program = self.command.program.rsplit('/').next().unwrap_or_default();
        matches!(program, "node" | "nodejs" | "bun")
    }
}
