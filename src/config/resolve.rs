//! Raw settings to an `AppSpec`: the one door.
//! Owns: defaults, and the order in which everything is looked at.
//! Never: asks the machine; `Context` brings the answers. Never: returns a spec if anything at all was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::command::{self, Places};
use super::ends;
use super::error::{Errors, Fault, nearest, quoted};
use super::fields as f;
use super::host::{Host, Named, name_given};
use super::keys;
use super::listen;
use super::parse::{self, File};
use super::raw::{RawApp, Value};
use super::reader::Reader;
use super::ready::ready_on;
use super::rlimit::rlimits;
use super::rules::{check_authority, check_together};
use super::sandbox::sandbox;
use super::source::Source;
use super::times::{default_restart, times};
use super::write::{LOG_FORMATS, REPLACE, RESTART, STOP_SCOPE};
use crate::model::ids::AppName;
use crate::model::quantity::{Bytes, Surge};
use crate::model::signal::Signal;
use crate::model::spec::{
    AppSpec, Identity, Limits, LogFormat, LogSettings, ProcessSettings, ReadyOn, Replace, StopScope,
};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    Root,
    /// Anybody else: sets nothing that gives more than they have.
    Owner,
}

/// What a spec depends on besides its text.
pub struct Context<'a> {
    pub authority: Authority,
    /// Whom an app runs as that does not say; None where it must say, as in `apps.d`.
    pub default_user: Option<&'a str>,
    /// Absolute; what relative paths are relative to: the file's directory, or the caller's.
    pub base_dir: &'a str,
    /// What `instances = "max"` means.
    pub cpus: u32,
    /// Ports below it are root's: net.ipv4.ip_unprivileged_port_start.
    pub unprivileged_port_start: u16,
    /// `--env NAME`.
    pub profile: Option<&'a str>,
    /// The absolute path of a program by its bare name, as the caller's PATH has it. Asked for names without a slash
    /// only; a daemon that has no business with a PATH answers None, and such names are refused.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Whether an absolute path is a file. A daemon that must not look may say yes: a spec from the CLI names absolute
    /// paths, and exec(2) as the app's user has the last word.
    pub is_file: &'a dyn Fn(&str) -> bool,
}

/// One app's spec, or everything that is wrong with it. `source` is the text its spans are of.
pub fn resolve(raw: &RawApp, source: Option<&Source>, ctx: &Context<'_>) -> Result<AppSpec, Errors> {
    resolve_with(raw, source, ctx, None)
}

/// Every app of a file, or everything that is wrong with any.
pub fn resolve_file(file: &File, ctx: &Context<'_>) -> Result<Vec<AppSpec>, Errors> {
    resolve_file_with(file, ctx, None)
}

/// Text to specs in one go: the errors of the text and of every app are reported together.
pub fn load(source: Source, ctx: &Context<'_>) -> Result<Vec<AppSpec>, Errors> {
    load_with(source, ctx, None)
}

pub(super) fn resolve_with(
    raw: &RawApp,
    source: Option<&Source>,
    ctx: &Context<'_>,
    host: Option<&dyn Host>,
) -> Result<AppSpec, Errors> {
    attempt(raw, ctx, host).map_err(|faults| placed(faults, source))
}

pub(super) fn resolve_file_with(
    file: &File,
    ctx: &Context<'_>,
    host: Option<&dyn Host>,
) -> Result<Vec<AppSpec>, Errors> {
    let (specs, faults) = resolve_all(file, ctx, host);
    if faults.is_empty() { Ok(specs) } else { Err(placed(faults, Some(&file.source))) }
}

pub(super) fn load_with(source: Source, ctx: &Context<'_>, host: Option<&dyn Host>) -> Result<Vec<AppSpec>, Errors> {
    let (file, mut faults) = parse::read(source);
    let (specs, more) = resolve_all(&file, ctx, host);
    faults.extend(more);
    if faults.is_empty() { Ok(specs) } else { Err(placed(faults, Some(&file.source))) }
}

fn placed(faults: Vec<Fault>, source: Option<&Source>) -> Errors {
    Errors::place(faults, source).expect("only a failed reading is placed, and it has a fault")
}

fn resolve_all(file: &File, ctx: &Context<'_>, host: Option<&dyn Host>) -> (Vec<AppSpec>, Vec<Fault>) {
    let mut specs: Vec<AppSpec> = Vec::new();
    let mut faults = Vec::new();
    let mut names: BTreeMap<AppName, Option<std::ops::Range<usize>>> = BTreeMap::new();
    for raw in &file.apps {
        let name = match attempt(raw, ctx, host) {
            Ok(spec) => {
                let name = spec.name.clone();
                faults.extend(listen::clash(raw, &spec, &specs));
                specs.push(spec);
                Some(name)
            }
            Err(wrong) => {
                faults.extend(wrong);
                name_given(raw)
            }
        };
        let Some(name) = name else { continue };
        let span = raw.get("name").map_or(&raw.span, |node| &node.span);
        match names.get(&name) {
            None => drop(names.insert(name, span.clone())),
            Some(first) => {
                let line = first.as_ref().map(|span| file.source.position(span.start).0);
                let before = line.map_or_else(String::new, |line| format!(", first in line {line}"));
                let problem = format!("two apps are called {}{before}", quoted(name.as_str()));
                faults.push(Fault::new(span.clone(), problem, "give one of them another `name`").key("name"));
            }
        }
    }
    if let Some(profile) = ctx.profile
        && !file.apps.is_empty()
    {
        let known: BTreeSet<&str> = file.apps.iter().flat_map(RawApp::profiles).collect();
        if !known.contains(profile) {
            let mend = match nearest(profile, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if known.is_empty() => format!("write `[app.profile.{profile}.env]`, and variables below it"),
                None => format!("there are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
            };
            faults.push(Fault::new(None, format!("no app has a profile {}", quoted(profile)), mend));
        }
    }
    (specs, faults)
}

fn attempt(raw: &RawApp, ctx: &Context<'_>, host: Option<&dyn Host>) -> Result<AppSpec, Vec<Fault>> {
    let mut r = Reader::new(raw);
    check_keys(&mut r);
    let spec = build(&mut r, ctx, host);
    if let Some(spec) = &spec {
        check_authority(&mut r, spec, ctx);
        check_together(&mut r, spec);
    }
    match (spec, r.into_faults()) {
        (Some(spec), faults) if faults.is_empty() => Ok(spec),
        (_, faults) => Err(faults),
    }
}

fn check_keys(r: &mut Reader<'_>) {
    for entry in &r.raw.entries {
        if keys::find(&entry.key).is_none() {
            let mend = match keys::nearest_to(&entry.key) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "leave it out: stead has no such key".to_owned(),
            };
            r.push(Fault::new(entry.key_span.clone(), "unknown key", mend).key(entry.key.as_str()));
        }
    }
}

/// Reads every key, whatever becomes of the others. Each key that has no default of its own in this code has one in the
/// table, so a value is made up here only if a fault is on record; the made-up spec serves to find more faults.
fn build(r: &mut Reader<'_>, ctx: &Context<'_>, host: Option<&dyn Host>) -> Option<AppSpec> {
    let base = ctx.base_dir;
    let cwd_given = r.has("cwd");
    let cwd = r.read("cwd", f::path(base));
    // A wrong `cwd` would make every relative path in the app look wrong too.
    let cwd_known = cwd.is_some() || !cwd_given;
    let cwd = cwd.unwrap_or_else(|| f::absolute("/", base));
    let identity = identity(r, ctx);
    let lookup = |name: &str| host.map_or_else(|| (ctx.lookup)(name), |host| host.program(name, &identity));
    let places = Places { cwd: &cwd, ctx, lookup: &lookup };
    let resolved = if cwd_known { command::command(r, &places) } else { None };
    let name = r.read("name", f::name);
    let env = env(r, ctx);
    let limits = limits(r);
    let process = process(r);
    let sandbox = sandbox(r, base);
    let log = log(r, base);
    let namespace = r.read("namespace", f::name);
    let env_file = r.read("env_file", f::path(base));
    let pid_file = r.read("pid_file", f::path(base));
    let instance_var = r.read("instance_var", f::variable);
    let increment_var = r.read("increment_var", f::variable);
    let instances = r.read("instances", f::instances(ctx.cpus));
    let autostart = r.read("autostart", f::boolean);
    let max_surge = r.read("max_surge", f::surge);
    let replace = r.read("replace", f::choice(REPLACE));
    let share_ports = r.read("share_ports", f::boolean);
    let balance = r.read("balance", listen::balance);
    let listen = r.read("listen", listen::listen(base));
    let ready_on = r.read("ready_on", |key, node| match ready_on(key, node)? {
        ReadyOn::Exec { mut argv } if cwd_known => {
            argv[0] = command::program_of(&places, &argv[0])?;
            Ok(ReadyOn::Exec { argv })
        }
        ready_on => Ok(ready_on),
    });
    let start_timeout = r.read("start_timeout", |key, node| match f::span(key, node)? {
        Duration::ZERO => {
            f::fail("no app is ready at once", "give it some time, as in \"30s\", or `ready_on = \"instant\"`")
        }
        span => Ok(span),
    });
    let mut span = |name: &str| r.read(name, f::span);
    let drain_timeout = span("drain_timeout");
    let stop_timeout = span("stop_timeout");
    let restart_delay = span("restart_delay");
    let min_uptime = span("min_uptime");
    let stop_signal = r.read("stop_signal", f::signal);
    let stop_scope = r.read("stop_scope", f::choice(STOP_SCOPE));
    let times = times(r);
    let first_delay = r.read("exp_backoff_restart_delay", ends::first_delay);
    let stop_exit_codes = r.read("stop_exit_codes", ends::codes);
    let restart = r.read("restart", f::choice(RESTART));
    let max_restarts = r.read("max_restarts", f::count).and_then(|n| u32::try_from(n).ok());
    if let Some(host) = host {
        let named = Named {
            identity: &identity,
            cwd: Some(cwd.as_str()).filter(|_| cwd_known),
            env_file: env_file.as_deref(),
            pid_file: pid_file.as_deref(),
            out_file: log.out_file.as_deref(),
            error_file: log.error_file.as_deref(),
            listen: listen.as_deref().unwrap_or_default(),
            time_zone: times.time_zone.as_deref(),
        };
        for missing in host.missing(&named) {
            r.fault(missing.key, missing.problem, missing.mend);
        }
    }
    let resolved = resolved?;
    let shell_stays = resolved.shell_stays;
    let mut spec = AppSpec {
        name: name.unwrap_or(resolved.name),
        namespace: namespace.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        command: resolved.command,
        cwd,
        env,
        env_file,
        pid_file,
        instance_var: instance_var.unwrap_or_default(),
        increment_var,
        identity,
        limits,
        process,
        sandbox,
        instances: instances.unwrap_or_default(),
        max_surge: max_surge.unwrap_or(Surge::Count(1)),
        replace: replace.unwrap_or(Replace::Auto),
        share_ports: share_ports.unwrap_or_default(),
        balance: balance.unwrap_or_default(),
        listen: listen.unwrap_or_default(),
        autostart: autostart.unwrap_or(true),
        ready_on: ready_on.unwrap_or(ReadyOn::Auto),
        start_timeout: start_timeout.unwrap_or_default(),
        drain_timeout: drain_timeout.unwrap_or_default(),
        stop_timeout: stop_timeout.unwrap_or_default(),
        stop_signal: Signal::TERM,
        stop_scope: stop_scope.unwrap_or(if shell_stays { StopScope::All } else { StopScope::Main }),
        restart: restart.unwrap_or(default_restart(&times)),
        stop_exit_codes: stop_exit_codes.unwrap_or_default(),
        restart_delay,
        exp_backoff_restart_delay: first_delay,
        max_restarts: max_restarts.unwrap_or_default(),
        min_uptime: min_uptime.unwrap_or_default(),
        times,
        log,
    };
    spec.stop_signal = stop_signal.unwrap_or_else(|| default_stop_signal(&spec));
    Some(spec)
}

/// What Node's users handle, as PM2 and FinalPM taught them; SIGTERM for everything else.
pub(super) fn default_stop_signal(spec: &AppSpec) -> Signal {
    if spec.runs_node() { Signal::INT } else { Signal::TERM }
}

fn identity(r: &mut Reader<'_>, ctx: &Context<'_>) -> Identity {
    let group = r.read("group", f::account);
    let groups = r.read("groups", f::accounts);
    let user = match (r.has("user"), ctx.default_user) {
        (true, default) => r.read("user", f::account).or(default.map(str::to_owned)).unwrap_or_default(),
        (false, Some(user)) => user.to_owned(),
        (false, None) => {
            let problem = "missing: nobody started this app by hand, so it must say whom it runs as";
            r.fault("user", problem, "write `user = \"NAME\"`");
            String::new()
        }
    };
    Identity { user, group, groups }
}

fn env(r: &mut Reader<'_>, ctx: &Context<'_>) -> BTreeMap<String, String> {
    let mut env = r.read("env", f::env).unwrap_or_default();
    let chosen = r.read("profile", |key, node| {
        let Value::Table(profiles) = &node.value else { return f::wrong_type(key, node) };
        let mut chosen = BTreeMap::new();
        let mut faults = Vec::new();
        for profile in profiles {
            let path = format!("profile.{}", profile.key);
            let wrong = |span: &Option<std::ops::Range<usize>>, path: String, problem: &str| {
                Fault::new(span.clone(), problem, "a profile holds `env` and nothing else").key(path)
            };
            let Value::Table(entries) = &profile.node.value else {
                faults.push(wrong(&profile.node.span, path, "must be a table"));
                continue;
            };
            for entry in entries {
                if entry.key != "env" {
                    faults.push(wrong(&entry.key_span, format!("{path}.{}", entry.key), "unknown key"));
                    continue;
                }
                match f::env(key, &entry.node) {
                    Ok(env) if ctx.profile == Some(profile.key.as_str()) => chosen = env,
                    Ok(_) => {}
                    Err(wrong) => faults.extend(wrong.into_iter().map(|fault| {
                        let below = fault.key.clone().unwrap_or_else(|| "env".to_owned());
                        let span = fault.span.clone().or_else(|| entry.node.span.clone());
                        Fault { span, ..fault.key(format!("{path}.{below}")) }
                    })),
                }
            }
        }
        if faults.is_empty() { Ok(chosen) } else { Err(faults) }
    });
    env.extend(chosen.unwrap_or_default());
    env
}

fn limits(r: &mut Reader<'_>) -> Limits {
    Limits {
        memory_max: r.read("memory_max", f::memory),
        memory_swap_max: r.read("memory_swap_max", f::bytes),
        max_memory_restart: r.read("max_memory_restart", f::memory),
        cpu_max: r.read("cpu_max", f::cpu),
        cpu_weight: r.read("cpu_weight", f::count).and_then(|n| u32::try_from(n).ok()),
        tasks_max: r.read("tasks_max", f::count).and_then(|n| u64::try_from(n).ok()),
    }
}

fn process(r: &mut Reader<'_>) -> ProcessSettings {
    let small = |n: i64| i32::try_from(n).ok();
    ProcessSettings {
        umask: r.read("umask", f::umask).unwrap_or(0o022),
        nice: r.read("nice", f::count).and_then(small),
        oom_score_adj: r.read("oom_score_adj", f::count).and_then(small).unwrap_or(0),
        rlimits: r.read("rlimits", rlimits).unwrap_or_default(),
        no_new_privs: r.read("no_new_privs", f::boolean).unwrap_or(true),
        capabilities: r.read("capabilities", f::capabilities).unwrap_or_default(),
    }
}

fn log(r: &mut Reader<'_>, base: &str) -> LogSettings {
    LogSettings {
        format: r.read("log_format", f::choice(LOG_FORMATS)).unwrap_or(LogFormat::Cri),
        out_file: r.read("out_file", f::path(base)),
        error_file: r.read("error_file", f::path(base)),
        max_size: r.read("log_max_size", f::bytes).unwrap_or(Bytes(0)),
        max_files: r.read("log_max_files", f::count).and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        compress: r.read("log_compress", f::boolean).unwrap_or(true),
        max_total: r.read("log_max_total", f::bytes).unwrap_or(Bytes(0)),
    }
}
