//! What each key of PM2 and of FinalPM means here: the one table.
//! Owns: every key there is in either tool, with its other spellings. The conversions are driven by it, the warning takes
//! its reasons from it, and the README's tables are made of it.
//! Never: code. How a value is converted stands in `pm2` and `finalpm`.

/// One key of the other tool.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// Besides the camelCase of each, which PM2 takes, too.
    pub aliases: &'static [&'static str],
    pub means: Means,
    /// How the value is converted, why it has no effect, or what to do instead.
    pub note: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// This key of ours, if there is one in this stead.
    Key(&'static str),
    /// It has its effect, by several keys or none.
    Converted,
    /// Nothing, and one warning says so.
    Ignored,
    /// An error.
    Refused,
}

use Means::{Converted, Ignored, Key, Refused};

const fn row(name: &'static str, aliases: &'static [&'static str], means: Means, note: &'static str) -> Row {
    Row { name, aliases, means, note }
}

const AGENT: &str = "stead puts no agent into your app";

/// The keys of an app in PM2's ecosystem file.
pub static PM2: &[Row] = &[
    row(
        "script",
        &["exec", "cmd", "command"],
        Key("run"),
        "A file, a program in PATH, or a command line if it has a space. A file \
        is looked for in `cwd`, then beside the config. One without an extension that stead knows runs with node, unless it is a \
        binary or its `#!` names another program.",
    ),
    row(
        "name",
        &[],
        Key("name"),
        "A name with other characters than stead takes is converted (`@acme/web` to `acme-web`); two apps \
        cannot have the same one.",
    ),
    row("namespace", &[], Key("namespace"), "Converted as a name is."),
    row(
        "cwd",
        &[],
        Key("cwd"),
        "Without it: the directory you are in, as with PM2, or that of the file if the script is there.",
    ),
    row("args", &[], Key("args"), "A string is split as PM2 splits it."),
    row(
        "interpreter",
        &["exec_interpreter"],
        Key("interpreter"),
        "`none`, a program, a path, or `node@20.1.0` for one that nvm has \
        installed.",
    ),
    row("interpreter_args", &["node_args"], Key("interpreter_args"), ""),
    row(
        "exec_mode",
        &[],
        Key("replace"),
        "`cluster`: new-first. `fork`: new-first while the app listens on a port, \
        old-first while it does not (`by-port`). Either way instances share ports in the kernel.",
    ),
    row("instances", &[], Key("instances"), "`max` and 0: one for each CPU; -1: one less."),
    row("instance_var", &[], Key("instance_var"), ""),
    row("increment_var", &[], Key("increment_var"), ""),
    row(
        "env",
        &[],
        Key("env"),
        "An object in it becomes its JSON. Besides, apps inherit your environment, as with PM2, but for what \
        belongs to a login (`TERM`, `SSH_*`, `XDG_*` and the like).",
    ),
    row(
        "env_<name>",
        &[],
        Key("profile"),
        "Chosen by `--env <name>`; a name that stands nowhere in the file is an error.",
    ),
    row(
        "filter_env",
        &[],
        Converted,
        "`true`: nothing is inherited, as documented (PM2 7 itself takes no notice); text: not this variable; a list: none with such text in its name.",
    ),
    row("append_env_to_name", &[], Converted, "With `--env`."),
    row("port", &[], Converted, "`PORT` in `env`."),
    row("uid", &["user"], Key("user"), "Root only."),
    row("gid", &[], Key("group"), "Root only."),
    row(
        "out_file",
        &["out", "output", "out_log"],
        Key("out_file"),
        "With `log_format = \"raw\"`. Relative to `cwd`; its directory is made. `/dev/null` or \
        `NULL` for both streams: `log_format = \"none\"`; for one of them it has no effect.",
    ),
    row("error_file", &["error", "err", "err_file", "err_log"], Key("error_file"), "The same."),
    row("log_file", &["log"], Ignored, "stead's own log holds both streams in order: stead logs"),
    row("merge_logs", &["combine_logs"], Key("merge_logs"), ""),
    row("disable_logs", &[], Key("log_format"), "`none`."),
    row("log_type", &[], Key("log_format"), "`json`."),
    row(
        "log_date_format",
        &[],
        Key("log_date_format"),
        "With `log_format = \"raw\"`; in stead's own format each line has its time.",
    ),
    row("time", &[], Key("log_date_format"), "The same, `YYYY-MM-DDTHH:mm:ss`."),
    row("pid_file", &["pid"], Key("pid_file"), "Relative to `cwd`."),
    row(
        "autorestart",
        &[],
        Key("restart"),
        "false: `never`, and `ready_on = \"instant\"`: it may do its work and end.",
    ),
    row("autostart", &[], Key("autostart"), ""),
    row("stop_exit_codes", &[], Key("stop_exit_codes"), ""),
    row("max_restarts", &[], Key("max_restarts"), "0 says nothing there, as in every key of PM2 with a `_`."),
    row("min_uptime", &[], Key("min_uptime"), "Milliseconds, or `5s`, `1m`, `1h`."),
    row("restart_delay", &[], Key("restart_delay"), "Milliseconds."),
    row(
        "exp_backoff_restart_delay",
        &[],
        Key("exp_backoff_restart_delay"),
        "Milliseconds; it wins over `restart_delay`.",
    ),
    row(
        "max_memory_restart",
        &[],
        Key("max_memory_restart"),
        "All processes of the instance count, not only its first.",
    ),
    row("cron_restart", &["cron"], Key("cron_restart"), "0: none."),
    row("watch", &[], Key("watch"), "Relative to `cwd`."),
    row("ignore_watch", &[], Key("ignore_watch"), "Texts; a regular expression has no effect."),
    row("watch_delay", &[], Key("watch_delay"), "Milliseconds."),
    row("watch_options", &[], Ignored, "the kernel tells of changes, and there is nothing to tune"),
    row("kill_timeout", &[], Key("stop_timeout"), "Milliseconds. Without it stead waits 10s, where PM2 waits 1.6s."),
    row("shutdown_with_message", &[], Key("shutdown_with_message"), ""),
    row(
        "treekill",
        &[],
        Key("stop_scope"),
        "true, also if it is not given: `all`; false: `main`. Without it stead signals the main \
        process only.",
    ),
    row("wait_ready", &[], Key("ready_on"), "`message`; for what is not run by node it has no effect."),
    row(
        "listen_timeout",
        &[],
        Key("start_timeout"),
        "Milliseconds. One below stead's 30s has no effect: PM2 goes on when it is over, \
        stead gives up.",
    ),
    row("source_map_support", &[], Converted, "true: `--enable-source-maps` for node."),
    row("disable_source_map_support", &[], Converted, "Nothing is enabled that was not asked for."),
    row("execute_command", &[], Converted, "As `exec_mode` fork."),
    row("kill_retry_time", &[], Ignored, "nothing is polled: the kernel tells of an end at once"),
    row("force", &[], Ignored, "a start changes the app of that name, or starts it"),
    row("name_prefix", &[], Ignored, "it has none in PM2's files either"),
    row("username", &[], Ignored, "PM2 only notes it; `user` says whom an app runs as"),
    row("write", &[], Ignored, "stead import writes a file"),
    row("vizion", &[], Ignored, "stead does not read your repository"),
    row("post_update", &[], Ignored, "there is no pull: deploy, then run stead start"),
    row("install_url", &[], Ignored, "it is PM2's own, for its modules"),
    row("windowsHide", &[], Ignored, "there are no windows here"),
    row("pmx", &[], Ignored, AGENT),
    row("automation", &[], Ignored, AGENT),
    row("trace", &[], Ignored, AGENT),
    row("disable_trace", &[], Ignored, AGENT),
    row("v8", &[], Ignored, AGENT),
    row("event_loop_inspector", &[], Ignored, AGENT),
    row("deep_monitoring", &[], Ignored, AGENT),
    row("io", &[], Ignored, AGENT),
];

/// What else can stand at the top of PM2's file.
pub static PM2_TOP: &[Row] = &[
    row("apps", &["pm2"], Converted, "A list, or one app. A list or an app can also stand there by itself."),
    row(
        "deploy",
        &[],
        Converted,
        "The `env` of an environment is laid over `env` of each app, and under its `env_<name>`; the \
        rest is for a deployment, not for a start.",
    ),
    row("static", &[], Refused, "stead runs no file server of its own out of a file: write an app that is one"),
];

/// The keys of an application in FinalPM's config.
pub static FINALPM: &[Row] = &[
    row("name", &[], Key("name"), "Without it: `default`."),
    row("type", &[], Converted, "An application of type `logger` is left out: stead keeps logs itself."),
    row("mode", &[], Converted, "Both are the same here: any instance can share a port."),
    row("base-path", &[], Converted, "Without it: the directory of the file."),
    row("cwd", &[], Key("cwd"), "Relative to `base-path`."),
    row("run", &[], Key("run"), "Relative to `cwd`; always run by node. Without it: `./server.js`."),
    row("args", &[], Key("args"), ""),
    row("node-args", &[], Key("interpreter_args"), ""),
    row("env", &[], Key("env"), "Over your environment and `npm_package_config_*` of the nearest package.json."),
    row("ready-on", &[], Key("ready_on"), "`listen` in both modes."),
    row(
        "stop-signal",
        &[],
        Key("stop_signal"),
        "`SIGINT`, `SIGTERM`. Instead of `message` and `disconnect`: SIGINT, and a warning.",
    ),
    row("kill-signal", &[], Ignored, "stead kills with SIGKILL, which leaves nothing behind"),
    row("instances", &[], Key("instances"), ""),
    row(
        "max-instances",
        &[],
        Key("max_surge"),
        "What it allows beyond `instances`; 0, also if it is not given: as many again.",
    ),
    row("unique-instances", &[], Key("instance_var"), "`FINAL_PM_INSTANCE_NUMBER`. Instances have numbers either way."),
    row("restart-crashing", &[], Key("restart"), "false: `never`. It goes on for ever, as there (`max_restarts = 0`)."),
    row(
        "restart-new-crashing",
        &[],
        Converted,
        "As `restart-crashing` has it: other than that it has no effect, and a warning.",
    ),
    row(
        "restart-crashing-delay",
        &[],
        Key("restart_delay"),
        "Milliseconds. Without it: at once, then ever longer, up to 15s.",
    ),
    row("stop-timeout", &[], Key("stop_timeout"), "Milliseconds. Without it 10m, where FinalPM waits for ever."),
    row("start-timeout", &[], Key("start_timeout"), "The same."),
    row("logger", &[], Ignored, "stead keeps logs itself: stead logs"),
    row("logger-args", &[], Ignored, "stead keeps logs itself: `out_file` says where"),
    row("max-buffered-log-bytes", &[], Ignored, "nothing is buffered: lines are in the log file"),
    row("log-retention-timeout", &[], Ignored, "logs are files, rotated by size: `log_max_size`"),
    row("max-log-line-length", &[], Ignored, "lines are kept whole"),
    row("builtin", &[], Ignored, "it is FinalPM's own"),
    row("config-path", &[], Ignored, "it is FinalPM's own"),
];

/// What else can stand at the top of FinalPM's config.
pub static FINALPM_TOP: &[Row] = &[
    row("applications", &[], Converted, "A list."),
    row("home", &[], Ignored, "stead's state is in /var/lib/stead"),
    row("socket", &[], Ignored, "the host has one stead, reached over D-Bus"),
    row("daemon-log", &[], Ignored, "stead's own log: journalctl -u stead"),
    row("ignore-env", &[], Ignored, "it counts only outside the file, there too"),
    row("npm-global-config", &[], Refused, "it will have no effect in a file, there neither: take it out"),
    row("npm-user-config", &[], Refused, "it will have no effect in a file, there neither: take it out"),
];

/// The row of a key in any of its spellings.
pub fn find(rows: &'static [Row], key: &str) -> Option<&'static Row> {
    let spellings = |row: &Row| std::iter::once(row.name).chain(row.aliases.iter().copied());
    let is = |row: &&Row| spellings(row).any(|name| name == key);
    let is_camel = |row: &&Row| spellings(row).any(|name| name.contains('_') && camel(name) == key);
    rows.iter().find(is).or_else(|| rows.iter().find(is_camel))
}

/// `max_memory_restart` as `maxMemoryRestart`.
pub fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_spelling_means_two_keys() {
        for rows in [PM2, PM2_TOP, FINALPM, FINALPM_TOP] {
            let mut spellings = BTreeSet::new();
            for row in rows {
                for spelling in row.aliases.iter().copied().chain([row.name]) {
                    assert!(spellings.insert(spelling), "{spelling}");
                    assert!(std::ptr::eq(find(rows, spelling).unwrap(), row), "{spelling}");
                }
            }
        }
        assert_eq!(find(PM2, "maxMemoryRestart").map(|row| row.name), Some("max_memory_restart"));
        assert_eq!(find(PM2, "execInterpreter").map(|row| row.name), Some("interpreter"));
        assert_eq!(find(FINALPM, "nodeArgs").map(|row| row.name), None);
    }

    #[test]
    fn a_reason_is_told_wherever_there_is_none_to_guess() {
        for row in [PM2, PM2_TOP, FINALPM, FINALPM_TOP].into_iter().flatten() {
            let told = !row.note.is_empty();
            match row.means {
                Key(_) => assert!(!told || row.note.ends_with('.'), "{}", row.name),
                Converted => assert!(told && row.note.ends_with('.'), "{}", row.name),
                Ignored | Refused => assert!(told && !row.note.ends_with('.'), "{}", row.name),
            }
        }
    }
}
