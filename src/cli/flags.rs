//! Config keys as flags of `start`: `--memory-max 64M` is `memory_max = "64M"`.
//! Owns: which keys have a flag, and how a flag's text becomes the value that a file would hold.
//! Never: judges a value; `config::resolve` does, for files and flags alike.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use crate::config::keys::{self, Kind};
use crate::config::raw::Value;

/// The target and the arguments after `--` say these, `--env` has a grammar of its own, and the others are a file's.
const NO_FLAG: [&str; 5] = ["run", "args", "env", "profile", "shown"];

/// In `-h`; all the others are in `--help`.
const COMMON: [&str; 16] = [
    "name",
    "instances",
    "memory_max",
    "max_memory_restart",
    "user",
    "cwd",
    "env_file",
    "interpreter",
    "restart",
    "restart_delay",
    "max_restarts",
    "min_uptime",
    "stop_signal",
    "stop_timeout",
    "start_timeout",
    "ready_on",
];

/// The keys that were given as flags, in the order of the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyFlags {
    pub values: Vec<(String, Value)>,
}

fn with_flag() -> impl Iterator<Item = &'static keys::Key> {
    keys::all().filter(|key| !NO_FLAG.contains(&key.name))
}

fn arg(key: &'static keys::Key) -> Arg {
    // clap wants names that live as long as the program, and these do.
    let flag: &'static str = key.flag().leak();
    let arg = Arg::new(key.name)
        .long(flag.trim_start_matches("--"))
        .help(key.help)
        .help_heading("Settings, as in a config file")
        .hide_short_help(!COMMON.contains(&key.name))
        .value_name(value_name(key.kind));
    let arg = match key.name {
        "name" => arg.short('n'),
        "instances" => arg.short('i'),
        _ => arg,
    };
    match key.kind {
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Choice(words) => arg.value_parser(PossibleValuesParser::new(words)),
        Kind::Switch(words) => {
            arg.value_parser(PossibleValuesParser::new(["true", "false"].into_iter().chain(words.iter().copied())))
        }
        // `--nice -5`, `--interpreter-args --max-old-space-size=200`, `-i -1`: the last is wrong, and said so as a
        // number of instances and not as an unknown flag.
        Kind::Count { .. } | Kind::Words | Kind::Instances => arg.allow_hyphen_values(true),
        Kind::Path if key.name == "cwd" => arg.value_hint(ValueHint::DirPath),
        Kind::Path => arg.value_hint(ValueHint::AnyPath),
        Kind::Account if key.name == "user" => arg.value_hint(ValueHint::Username),
        Kind::Text if key.name == "interpreter" => arg.value_hint(ValueHint::CommandName),
        _ => arg,
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "TEXT",
        Kind::Path => "PATH",
        Kind::Words | Kind::Accounts | Kind::Listen | Kind::Paths => "LIST",
        Kind::Run => "PROGRAM",
        Kind::Bool => "true|false",
        Kind::Count { .. } => "N",
        Kind::Choice(_) | Kind::Switch(_) => "WORD",
        Kind::Bytes => "SIZE",
        Kind::Span => "TIME",
        Kind::Cpu => "PERCENT",
        Kind::Surge => "N|PERCENT",
        Kind::Signal => "SIGNAL",
        Kind::Instances => "N|max",
        Kind::Ready => "HOW",
        Kind::Times => "PATTERN",
        Kind::Codes => "N,...",
        Kind::Umask => "OCTAL",
        Kind::Account => "NAME",
        Kind::Env | Kind::Rlimits | Kind::Profiles => "K=V,...",
    }
}

/// `nofile=65536,core=0` as a table. What has no `=` gets an empty value, for `resolve` to name.
fn table(text: &str) -> Value {
    Value::table(text.split(',').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.trim().to_owned(), value.trim().parse().map_or_else(|_| value.trim().into(), Value::Int))
    }))
}

impl FromArgMatches for KeyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut values = Vec::new();
        for key in with_flag() {
            let Some(text) = matches.get_one::<String>(key.name) else { continue };
            let value = match key.kind {
                Kind::Rlimits => table(text),
                _ => key.value_of(text),
            };
            values.push((key.name.to_owned(), value));
        }
        Ok(Self { values })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for KeyFlags {
    fn augment_args(command: Command) -> Command {
        command.args(with_flag().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<KeyFlags, clap::Error> {
        let command = KeyFlags::augment_args(Command::new("start"));
        KeyFlags::from_arg_matches(&command.try_get_matches_from(["start"].into_iter().chain(line.split(' ')))?)
    }

    fn value(line: &str, key: &str) -> Option<Value> {
        flags(line).unwrap().values.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    #[test]
    fn a_flag_is_the_value_that_a_file_would_hold() {
        assert_eq!(value("--memory-max 64M", "memory_max"), Some("64M".into()));
        assert_eq!(value("-i 4", "instances"), Some(Value::Int(4)));
        assert_eq!(value("--instances max", "instances"), Some("max".into()));
        assert_eq!(value("-i 0x", "instances"), Some("0x".into()));
        assert_eq!(value("--nice -5", "nice"), Some(Value::Int(-5)));
        assert_eq!(value("--share-ports=false", "share_ports"), Some(Value::Bool(false)));
        assert_eq!(value("--share-ports", "share_ports"), Some(Value::Bool(true)));
        assert_eq!(value("--protect-system true", "protect_system"), Some(Value::Bool(true)));
        assert_eq!(value("--protect-system strict", "protect_system"), Some("strict".into()));
        assert_eq!(value("--read-only-paths /a,b", "read_only_paths"), Some(Value::texts(["/a", "b"])));
        let nofile = Value::table([("nofile".to_owned(), Value::Int(65536)), ("core".to_owned(), "1:2".into())]);
        assert_eq!(value("--rlimits nofile=65536,core=1:2", "rlimits"), Some(nofile));
        assert_eq!(flags("-n api").unwrap().values.len(), 1, "what is not given is not set");
    }

    #[test]
    fn a_word_that_is_none_of_the_choices_is_refused_with_them() {
        let error = flags("--restart sometimes").unwrap_err().to_string();
        assert!(error.contains("on-failure"), "{error}");
        assert!(flags("--memory-mx 64M").unwrap_err().to_string().contains("--memory-max"));
    }

    #[test]
    fn every_common_flag_is_a_key() {
        for name in COMMON.iter().chain(&NO_FLAG) {
            assert!(keys::find(name).is_some(), "{name}");
        }
    }
}
