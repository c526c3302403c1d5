//! The command line's grammar.
//! Owns: every verb, flag and its help. The flags of `start` that are config keys come from the table of keys (`flags`).
//! Never: acts on anything it has read.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::flags::KeyFlags;
use super::talk::ColorWish;
use super::target;

const EXAMPLES: &str = "\
Examples:
  stead start worker.py -i 4            four instances
  stead start app.py --memory-max 200M -- --port 80
  stead start stead.toml                what the file describes
  stead list                            what runs
  stead logs api -f                     what it says
  stead restart api                     replace it

\"stead help exit-codes\" explains the exit codes.";

const SELECTORS: &str = "\
Selectors: all, an app (api), an instance (api/2), an id (7), pid=1234, /regex/ on names, @namespace;
with a generation before it: queue: new: running: old: marked: (old:api)";

/// For verbs to which an instance is one thing, whatever generations it has.
const WHOLE: &str = "\
Selectors: all, an app (api), an instance (api/2), an id (7), /regex/ on names, @namespace";

const APPS: &str = "\
Selectors of whole apps: all, an app (api), /regex/ on names, @namespace";

#[derive(Debug, Parser)]
#[command(name = "stead", version, about = "Keeps programs running", after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = ColorWish::Auto, value_name = "WHEN", hide_short_help = true)]
    pub color: ColorWish,
    /// Run the command on these hosts, over ssh. A .toml file of this host is sent there
    #[arg(short = 'H', long = "host", value_name = "[USER@]HOST,...", value_delimiter = ',', value_hint = ValueHint::Hostname)]
    pub hosts: Vec<String>,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start an app: a file, a script, a program, a command line, or one that is known
    Start(Box<Start>),
    /// Stop gracefully; the app stays known
    #[command(after_help = SELECTORS)]
    Stop(Selected),
    /// Replace what runs, a few at a time; start what is down
    #[command(after_help = WHOLE, visible_alias = "reload")]
    Restart(Selected),
    /// Stop apps and forget them
    #[command(after_help = APPS, alias = "del")]
    Delete(Selected),
    /// Kill everything of an instance at once (SIGKILL); it stays down
    #[command(after_help = SELECTORS)]
    Kill(MaybeSelected),
    /// Send a signal to the main process
    #[command(after_help = SELECTORS, alias = "sendSignal")]
    Signal(SendSignal),
    /// Change how many instances an app has
    Scale(Scale),
    /// Show what runs
    #[command(after_help = SELECTORS, visible_aliases = ["ls", "status"])]
    List(List),
    /// Show everything about an app
    #[command(after_help = SELECTORS, aliases = ["describe", "desc", "info"])]
    Show(Show),
    /// Show what apps write
    #[command(after_help = SELECTORS, alias = "log")]
    Logs(Logs),
    /// Empty log files
    #[command(after_help = SELECTORS)]
    Flush(Selected),
    /// Set counters and back-off to zero; what is errored becomes stopped
    #[command(after_help = WHOLE)]
    Reset(Selected),
    /// Check a config file
    Check(Check),
    /// Show what starting a config file would do
    Plan(Plan),
    /// Write a stead.toml to begin with
    Init,
    /// Show a config of PM2 or FinalPM, or what PM2 runs, as a stead.toml
    Import(Import),
    /// Look for what is wrong with this host
    Doctor(Json),
    /// Keep under a name what runs now and how; a boot needs no save
    #[command(visible_alias = "dump")]
    Save(Named),
    /// Bring up again what was up when it was saved
    Resurrect(Named),
    /// Replace stead itself by the programs on disk; every app runs on
    Upgrade,
    /// Stop every app, then stead itself; the next start brings them back
    Shutdown,
    /// Make these programs, built from source, a service of systemd
    ///
    /// Writes the units, the bus policy, polkit's actions and rule, and /etc/stead, with the programs where they are; then
    /// enables and starts stead.service. Run it again after a new build: a service that runs is reloaded, and no app is
    /// touched. A stead that was started by hand is left alone, and so is a package's.
    Startup(DryRun),
    /// Take back what startup has installed; apps' state and logs stay
    ///
    /// Removes the files that startup has written, but for settings that have been changed since. The service must be
    /// stopped before.
    Unstartup(DryRun),
    /// Explain a command, or the exit codes
    Help(Help),
    /// Run a program of whoever typed the command, as them
    #[command(name = "__child", hide = true)]
    Child(Child),
    /// What a shell offers for completion
    #[command(name = "__complete", hide = true)]
    Complete(Complete),
}

#[derive(Debug, Args)]
pub struct Start {
    /// A config file (stead.toml, ecosystem.config.js, process-config.js; - is standard input), a script, a program, a quoted
    /// command line, or selectors of known apps; without it, the config here or above
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Arguments for the app, after --
    #[arg(last = true, value_name = "ARGS", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// Set a variable, or select a profile of the file
    #[arg(long, value_name = "K=V|PROFILE")]
    pub env: Vec<String>,
    /// Of the file, only these apps
    #[arg(long, value_name = "APP,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Give the app your environment, or these variables of it
    #[arg(long, value_name = "NAMES", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    pub inherit_env: Option<Vec<String>>,
    /// The same as --restart never
    #[arg(long, conflicts_with = "restart")]
    pub no_autorestart: bool,
    #[command(flatten)]
    pub keys: KeyFlags,
}

#[derive(Debug, Args)]
pub struct Selected {
    #[arg(required = true, value_name = "SELECTOR", value_parser = target::selector)]
    pub selectors: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Named {
    /// Of the save
    #[arg(value_name = "NAME", default_value = "default")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct MaybeSelected {
    #[arg(value_name = "SELECTOR", value_parser = target::selector)]
    pub selectors: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SendSignal {
    /// SIGHUP, hup, 1
    #[arg(value_name = "SIGNAL")]
    pub signal: String,
    #[arg(required = true, value_name = "SELECTOR", value_parser = target::selector)]
    pub selectors: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Scale {
    #[arg(value_parser = target::selector)]
    pub app: String,
    /// A number, or how many more (+2) or fewer (-1); without it, as configured
    #[arg(value_name = "N|+N|-N", allow_hyphen_values = true, default_value = "", hide_default_value = true)]
    pub to: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only these
    #[arg(value_name = "SELECTOR", value_parser = target::selector)]
    pub selectors: Vec<String>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Show {
    #[arg(required = true, value_name = "SELECTOR", value_parser = target::selector)]
    pub selectors: Vec<String>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Json {
    /// For programs
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Only these
    #[arg(value_name = "SELECTOR", value_parser = target::selector)]
    pub selectors: Vec<String>,
    /// How many past lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 15)]
    pub lines: u32,
    /// Go on with new lines; the default on a terminal
    #[arg(short, long, overrides_with = "no_follow")]
    pub follow: bool,
    /// Stop after the past lines; the default when piped
    #[arg(long, alias = "nostream", overrides_with = "follow")]
    pub no_follow: bool,
    /// Lines since then: 10m ago, or 2026-11-20T12:00
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only standard error
    #[arg(long, conflicts_with = "out")]
    pub err: bool,
    /// Only standard output
    #[arg(long)]
    pub out: bool,
    /// One object a line
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
    /// The bytes as they came, without a prefix
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    /// - is standard input; without it, the config here or above
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// - is standard input; without it, the config here or above
    pub file: Option<PathBuf>,
    /// Select a profile of the file
    #[arg(long, value_name = "PROFILE")]
    pub env: Vec<String>,
    /// Of the file, only these apps
    #[arg(long, value_name = "APP,...", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Debug, Args)]
pub struct Import {
    /// An ecosystem.config.js, process-config.js or the like, or pm2: what PM2 has saved (pm2 save). Without it, the one here
    /// or above
    pub file: Option<PathBuf>,
    /// Select an environment of the file, for what depends on it
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Of the file, only these apps
    #[arg(long, value_name = "APP,...", value_delimiter = ',')]
    pub only: Vec<String>,
}

/// What the CLI starts of a person's, through itself.
#[derive(Debug, Args)]
pub struct Child {
    /// Becomes them first
    #[arg(long)]
    pub user: Option<String>,
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub struct Help {
    /// A command, or exit-codes
    pub topic: Option<String>,
}

#[derive(Debug, Args)]
pub struct DryRun {
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Complete {
    pub what: Offer,
}

/// Words that a shell offers and only the program knows. The scripts that packaging/docs makes ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Offer {
    Apps,
    Selectors,
    Signals,
    Topics,
}
