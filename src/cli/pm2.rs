//! For hands and scripts that know PM2: `jlist` in its shape, and what to type instead of the words that stead has not.
//! Owns: the field names of PM2 7's `jlist`, and the list of those words. Never: asks the daemon. Pure: answers in, text out.

use serde_json::{Map, Value, json};

use crate::bus::proxy::{AppDetail, to_json};
use crate::model::status::{InstanceDetail, Status};

/// An array with an object for each instance, by id. Its fields are those that scripts read; what stead has no notion of
/// (versions, git, actions of PM2's agent) is not there.
pub fn jlist(apps: &[AppDetail], now_ms: u64) -> Value {
    let each = apps.iter().flat_map(|app| app.instances.iter().map(|one| (one.status.id, element(app, one, now_ms))));
    let mut each: Vec<(u32, Value)> = each.collect();
    each.sort_by_key(|(id, _)| *id);
    each.into_iter().map(|(_, element)| element).collect()
}

fn element(app: &AppDetail, one: &InstanceDetail, now_ms: u64) -> Value {
    let s = &one.status;
    let key = |name: &str| app.spec.iter().find(|(key, _)| key == name).map(|(_, value)| to_json(value));
    let text = |name: &str| key(name).and_then(|value| value.as_str().map(str::to_owned));
    let list = |name: &str| match key(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let (path, args) = match key("run") {
        Some(Value::Array(words)) => {
            let mut words = words.into_iter();
            (words.next().unwrap_or_default(), words.collect())
        }
        other => (other.unwrap_or_default(), list("args")),
    };
    let slot: u32 = s.instance.rsplit('/').next().and_then(|slot| slot.parse().ok()).unwrap_or(0);
    let env = key("env").and_then(|env| env.as_object().cloned()).unwrap_or_default();
    // PM2 has the variables twice: in `env`, and beside the fields, which win.
    let mut pm2_env: Map<String, Value> = env.clone();
    let mut put = |name: &str, value: Value| pm2_env.insert(name.to_owned(), value);
    put("name", json!(s.app));
    put("namespace", json!(s.namespace));
    put("pm_id", json!(s.id));
    put("status", json!(status(s.status)));
    put("restart_time", json!(s.restarts));
    put("pm_uptime", json!(s.uptime_ms.map_or(0, |uptime| now_ms.saturating_sub(uptime))));
    put("exit_code", json!(s.last_exit.as_ref().and_then(|exit| exit.code)));
    put("exec_mode", json!("fork_mode"));
    put("exec_interpreter", json!(text("interpreter").unwrap_or_else(|| "none".to_owned())));
    put("node_args", json!(list("interpreter_args")));
    put("args", Value::Array(args));
    put("pm_exec_path", path);
    put("pm_cwd", json!(text("cwd")));
    put("pm_out_log_path", json!(one.log_files.first()));
    put("pm_err_log_path", json!(one.log_files.last()));
    put("pm_pid_path", json!(text("pid_file")));
    put("instances", json!(app.instances_wanted));
    put("NODE_APP_INSTANCE", json!(slot));
    put("autorestart", json!(text("restart").is_none_or(|when| when != "never")));
    put("username", json!(s.user));
    put("env", Value::Object(env));
    json!({
        "pid": s.pid.unwrap_or(0),
        "name": s.app,
        "pm2_env": pm2_env,
        "pm_id": s.id,
        "monit": { "memory": s.memory_bytes.unwrap_or(0), "cpu": s.cpu_percent.unwrap_or(0.0) },
    })
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Starting => "launching",
        Status::Running => "online",
        Status::Stopping => "stopping",
        Status::Stopped => "stopped",
        Status::Waiting => "waiting restart",
        Status::Errored => "errored",
    }
}

/// What PM2 calls something that has another name here, or that is not here for a reason.
const WORDS: &[(&[&str], &str)] = &[
    (
        &["startOrRestart", "startOrReload", "startOrGracefulReload"],
        "\"stead start FILE\" starts what is down, and replaces \
      what has changed; \"stead restart NAME\" replaces it anyway",
    ),
    (&["prettylist"], "\"stead list --json\", or \"stead jlist\", which has PM2's fields"),
    (&["slist", "sysinfos"], "\"stead doctor\" looks at the host"),
    (&["imonit"], "\"stead monit\" shows what runs, live"),
    (
        &["update", "updatePM2", "deepUpdate"],
        "\"stead upgrade\" replaces stead by the programs on disk, and no app is touched",
    ),
    (&["reloadLogs"], "stead rotates its own logs; what logrotate renames is opened anew by itself"),
    (&["logrotate"], "stead rotates by itself: `log_max_size`, `log_max_files`, `log_max_total`"),
    (&["cleardump"], "stead remembers what runs without a dump; \"stead delete all\" forgets it"),
    (&["ping"], "\"stead list\" fails with exit code 69 when no daemon runs"),
    (&["create", "examples"], "\"stead init\" writes a stead.toml to begin with"),
    (
        &["set", "multiset", "get", "conf", "config", "unset"],
        "stead has no modules to configure; its own settings are in \
      /etc/stead/stead.toml: see \"Settings\" in the README",
    ),
    (
        &[
            "install",
            "uninstall",
            "module:install",
            "module:uninstall",
            "module:update",
            "module:generate",
            "module:publish",
            "package",
            "publish",
        ],
        "stead has no modules: logs are rotated and figures are kept by stead itself",
    ),
    (
        &["pull", "forward", "backward"],
        "stead does not know of git; after \"git pull\", \"stead restart NAME\" replaces what \
      runs without a gap",
    ),
    (
        &["link", "unlink", "plus", "register", "login", "logout", "open", "monitor", "unmonitor"],
        "stead reports to no cloud; \
      \"stead metrics\" has all figures for a monitoring of your own",
    ),
    (&["install-otel", "uninstall-otel"], "tracing is the app's own: give it its variables with `env`"),
    (&["profile:mem", "profile:cpu"], "it profiles PM2 itself; stead can be looked at with perf as any program"),
    (&["completion"], "the package brings completions for bash, zsh and fish"),
];

/// What to do instead of a word of PM2's.
pub fn instead_of(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_word_is_either_ours_or_refused_and_what_is_named_instead_is_there() {
        let ours = super::super::args::Cli::command();
        let is_ours = |word: &str| {
            ours.get_subcommands().any(|sub| sub.get_name() == word || sub.get_all_aliases().any(|a| a == word))
        };
        for (words, instead) in WORDS {
            assert!(words.iter().all(|word| !is_ours(word)), "{words:?}");
            for named in instead.split("\"stead ").skip(1) {
                let verb: &str = named.split([' ', '"']).next().unwrap();
                assert!(is_ours(verb), "{verb}");
            }
        }
    }
}
