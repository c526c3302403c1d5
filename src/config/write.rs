//! A spec back to keys and values: for views, for D-Bus, for files.
//! Owns: the notation of each setting. `resolve(to_raw(spec))` is `spec`, wherever it is resolved.
//! Never: leaves a relative path or a name to be looked up: the reader may have another directory and another PATH.

use std::fmt::Write as _;

use super::command::shown_for;
use super::keys::{self, Key};
use super::raw::{Entry, KeyText, Node, RawApp, Value};
use super::resolve::default_stop_signal;
use super::rlimit;
use super::sandbox::{PROTECT_HOME, PROTECT_SYSTEM, SECCOMP};
use super::times::default_restart;
use crate::model::quantity::{Bytes, format_span};
use crate::model::spec::{AppSpec, Balance, LogFormat, ReadyOn, Replace, Restart, StopScope};
use crate::model::times::Pattern;

/// The words of `replace`, of `restart` and so on: one list for reading and writing.
pub(super) const REPLACE: &[(&str, Replace)] = &[
    ("auto", Replace::Auto),
    ("new-first", Replace::NewFirst),
    ("old-first", Replace::OldFirst),
    ("by-port", Replace::ByPort),
];
pub(super) const BALANCE: &[(&str, Balance)] =
    &[("round-robin", Balance::RoundRobin), ("hash", Balance::Hash), ("off", Balance::Off)];
pub(super) const RESTART: &[(&str, Restart)] =
    &[("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
pub(super) const STOP_SCOPE: &[(&str, StopScope)] = &[("main", StopScope::Main), ("all", StopScope::All)];
pub(super) const LOG_FORMATS: &[(&str, LogFormat)] = &[
    ("cri", LogFormat::Cri),
    ("raw", LogFormat::Raw),
    ("json", LogFormat::Json),
    ("journal", LogFormat::Journal),
    ("none", LogFormat::None),
];

/// The keys that say what this spec is: those at their default are left out.
pub fn to_raw(spec: &AppSpec) -> Vec<(String, Value)> {
    settings(spec)
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .filter(|(key, value)| key.default_node().is_none_or(|default| default.value != *value))
        .map(|(key, value)| (key.name.to_owned(), value))
        .collect()
}

/// The same as a file's text.
pub fn to_toml(spec: &AppSpec) -> String {
    app_toml(&RawApp::new(to_raw(spec)))
}

/// The text of one app, which reads as the same raw app.
pub fn app_toml(app: &RawApp) -> String {
    let mut text = "[[app]]\n".to_owned();
    let mut tables = String::new();
    for entry in &app.entries {
        match &entry.node.value {
            Value::Table(entries) => table(&format!("app.{}", KeyText(&entry.key)), entries, &mut tables),
            // Writing to a String cannot fail.
            value => drop(writeln!(text, "{} = {value}", KeyText(&entry.key))),
        }
    }
    text + &tables
}

/// Tables have headers of their own, which must stand after all plain keys. One that holds tables only needs none.
fn table(path: &str, entries: &[Entry], out: &mut String) {
    let is_table = |entry: &&Entry| matches!(entry.node.value, Value::Table(_));
    if entries.is_empty() || !entries.iter().all(|entry| is_table(&entry)) {
        let _ = writeln!(out, "\n[{path}]");
        for entry in entries.iter().filter(|entry| !is_table(entry)) {
            let _ = writeln!(out, "{} = {}", KeyText(&entry.key), entry.node.value);
        }
    }
    for entry in entries {
        if let Value::Table(below) = &entry.node.value {
            table(&format!("{path}.{}", KeyText(&entry.key)), below, out);
        }
    }
}

/// Every key of the table with its value in this spec, defaults included; None where the spec has nothing to say.
pub(super) fn settings(spec: &AppSpec) -> Vec<(&'static Key, Option<Value>)> {
    let run = Run::of(spec);
    keys::all().filter(|key| key.name != "profile").map(|key| (key, setting(spec, &run, key.name))).collect()
}

/// `run` and its siblings, taken apart again.
struct Run {
    run: Value,
    interpreter: Option<Value>,
    interpreter_args: Vec<String>,
    args: Vec<String>,
}

impl Run {
    fn of(spec: &AppSpec) -> Self {
        let command = &spec.command;
        let script = command.script.as_ref().and_then(|script| {
            // The first one: resolving puts the same arguments together again, wherever they are parted.
            command.args.iter().position(|arg| arg == script).map(|at| (script, at))
        });
        match script {
            Some((script, at)) => Run {
                run: script.clone().into(),
                interpreter: Some(command.program.clone().into()),
                interpreter_args: command.args[..at].to_vec(),
                args: command.args[at + 1..].to_vec(),
            },
            // A list is run exactly as it stands, a shell included.
            None => Run {
                run: Value::texts(std::iter::once(&command.program).chain(&command.args).cloned()),
                interpreter: None,
                interpreter_args: Vec::new(),
                args: Vec::new(),
            },
        }
    }
}

fn setting(spec: &AppSpec, run: &Run, key: &str) -> Option<Value> {
    let limits = &spec.limits;
    let process = &spec.process;
    let sandbox = &spec.sandbox;
    let list = |items: &[String]| (!items.is_empty()).then(|| Value::texts(items.iter().cloned()));
    let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| Value::Str(exact(bytes)));
    let span = |span| Some(Value::Str(format_span(span)));
    let text = |text: &Option<String>| text.clone().map(Value::Str);
    match key {
        "name" => Some(spec.name.as_str().into()),
        "namespace" => Some(spec.namespace.clone().into()),
        "run" => Some(run.run.clone()),
        "args" => list(&run.args),
        "interpreter" => run.interpreter.clone(),
        "interpreter_args" => list(&run.interpreter_args),
        "shown" => {
            let said = shown_for(&run.run, &run.args);
            (spec.command.shown != said).then(|| spec.command.shown.clone().into())
        }
        "cwd" => Some(spec.cwd.clone().into()),
        "env" => (!spec.env.is_empty())
            .then(|| Value::table(spec.env.iter().map(|(name, value)| (name.clone(), value.clone().into())))),
        "env_file" => text(&spec.env_file),
        "pid_file" => text(&spec.pid_file),
        "instance_var" => Some(spec.instance_var.clone().into()),
        "increment_var" => text(&spec.increment_var),
        "user" => Some(spec.identity.user.clone().into()),
        "group" => text(&spec.identity.group),
        // An empty list takes all supplementary groups away; none at all leaves the user's.
        "groups" => spec.identity.groups.as_ref().map(|groups| Value::texts(groups.iter().cloned())),
        "capabilities" => list(&process.capabilities),
        "no_new_privs" => Some(Value::Bool(process.no_new_privs)),
        "instances" => Some(Value::Int(spec.instances.into())),
        "max_surge" => Some(Value::Str(spec.max_surge.to_string())),
        "replace" => word(REPLACE, spec.replace),
        "share_ports" => Some(Value::Bool(spec.share_ports)),
        "balance" => word(BALANCE, spec.balance),
        "listen" => (!spec.listen.is_empty()).then(|| Value::texts(spec.listen.iter().map(ToString::to_string))),
        "ready_on" => Some(ready_on(&spec.ready_on)),
        "start_timeout" => span(spec.start_timeout),
        "drain_timeout" => span(spec.drain_timeout),
        "stop_timeout" => span(spec.stop_timeout),
        "stop_signal" => {
            (spec.stop_signal != default_stop_signal(spec)).then(|| Value::Str(spec.stop_signal.to_string()))
        }
        "stop_scope" => word(STOP_SCOPE, spec.stop_scope).filter(|_| spec.stop_scope != StopScope::Main),
        "schedule" => patterns(&spec.times.schedule),
        "cron_restart" => patterns(&spec.times.cron_restart),
        "time_zone" => text(&spec.times.time_zone),
        "restart" => word(RESTART, spec.restart).filter(|_| spec.restart != default_restart(&spec.times)),
        "exp_backoff_restart_delay" => spec.exp_backoff_restart_delay.and_then(span),
        "stop_exit_codes" => codes(&spec.stop_exit_codes),
        "autostart" => Some(Value::Bool(spec.autostart)),
        "restart_delay" => spec.restart_delay.and_then(span),
        "max_restarts" => Some(Value::Int(spec.max_restarts.into())),
        "min_uptime" => span(spec.min_uptime),
        "memory_max" => bytes(limits.memory_max),
        "memory_swap_max" => bytes(limits.memory_swap_max),
        "max_memory_restart" => bytes(limits.max_memory_restart),
        "cpu_max" => limits.cpu_max.map(|percent| Value::Str(percent.to_string())),
        "cpu_weight" => limits.cpu_weight.map(|weight| Value::Int(weight.into())),
        "tasks_max" => limits.tasks_max.and_then(|n| i64::try_from(n).ok()).map(Value::Int),
        "nice" => process.nice.map(|nice| Value::Int(nice.into())),
        "oom_score_adj" => Some(Value::Int(process.oom_score_adj.into())),
        "umask" => Some(Value::Str(format!("{:03o}", process.umask))),
        "rlimits" => (!process.rlimits.is_empty())
            .then(|| Value::table(process.rlimits.iter().map(|(name, pair)| (name.clone(), rlimit::write(*pair))))),
        "protect_system" => switch(PROTECT_SYSTEM, sandbox.protect_system),
        "protect_home" => switch(PROTECT_HOME, sandbox.protect_home),
        "private_tmp" => Some(Value::Bool(sandbox.private_tmp)),
        "read_only_paths" => list(&sandbox.read_only_paths),
        "read_write_paths" => list(&sandbox.read_write_paths),
        "restrict_namespaces" => Some(Value::Bool(sandbox.restrict_namespaces)),
        "seccomp" => word(SECCOMP, sandbox.seccomp),
        "log_format" => word(LOG_FORMATS, spec.log.format),
        "out_file" => text(&spec.log.out_file),
        "error_file" => text(&spec.log.error_file),
        "log_max_size" => Some(Value::Str(exact(spec.log.max_size))),
        "log_max_files" => Some(Value::Int(spec.log.max_files.into())),
        "log_compress" => Some(Value::Bool(spec.log.compress)),
        "log_max_total" => Some(Value::Str(exact(spec.log.max_total))),
        // A new key of the table must be written here; a test asks for every one.
        _ => None,
    }
}

fn codes(codes: &[u8]) -> Option<Value> {
    let nodes = codes.iter().map(|code| Node::from(Value::Int((*code).into())));
    (!codes.is_empty()).then(|| Value::List(nodes.collect()))
}

/// One as a text, as most people write it.
fn patterns(patterns: &[Pattern]) -> Option<Value> {
    match patterns {
        [] => None,
        [one] => Some(one.as_str().into()),
        several => Some(Value::texts(several.iter().map(Pattern::as_str))),
    }
}

fn word<T: PartialEq>(words: &[(&str, T)], value: T) -> Option<Value> {
    words.iter().find(|(_, of)| *of == value).map(|(word, _)| (*word).into())
}

/// A word, but for the two that are booleans.
fn switch<T: PartialEq>(words: &[(&str, T)], value: T) -> Option<Value> {
    let (word, _) = words.iter().find(|(_, of)| *of == value)?;
    Some(word.parse().map_or_else(|_| (*word).into(), Value::Bool))
}

fn ready_on(ready_on: &ReadyOn) -> Value {
    match ready_on {
        ReadyOn::Auto => "auto".into(),
        ReadyOn::Listen => "listen".into(),
        ReadyOn::Notify => "notify".into(),
        ReadyOn::Message => "message".into(),
        ReadyOn::Instant => "instant".into(),
        ReadyOn::Http { url } => url.as_str().into(),
        ReadyOn::Tcp { address } => Value::Str(format!("tcp://{address}")),
        ReadyOn::Exec { argv } => Value::texts(argv.iter().cloned()),
    }
}

/// The largest unit that loses nothing; `Bytes` itself is shown rounded, for tables.
pub(super) fn exact(Bytes(bytes): Bytes) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10), ("B", 0)];
    let (unit, shift) = units.into_iter().find(|(_, shift)| bytes.trailing_zeros() >= *shift).unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}
