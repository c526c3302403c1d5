//! PM2's list of what runs, as `pm2 save` leaves it in dump.pm2, to the apps of an ecosystem file.
//! Owns: which of the many fields PM2 keeps of a process are the app's own, and which processes are one app.
//! Never: reads the file.

use serde_json::{Map, Value as Json};

use super::is_inheritable;

/// Fields that are keys of an ecosystem file under the same name.
const SAME: &str = "name namespace args node_args exec_mode instance_var increment_var autorestart stop_exit_codes \
    max_restarts min_uptime restart_delay exp_backoff_restart_delay max_memory_restart cron_restart watch ignore_watch \
    watch_delay kill_timeout shutdown_with_message treekill wait_ready listen_timeout merge_logs log_type log_date_format uid \
    gid filter_env";

/// What PM2 puts into the environment of each process. Its own fields stand there, too, under their names.
const INJECTED: &str = "name pm_id namespace instances exec_mode exec_interpreter pm_exec_path pm_cwd pm_out_log_path \
    pm_err_log_path pm_log_path pm_pid_path status pm_uptime created_at restart_time unstable_restarts unique_id username \
    autorestart autostart automation merge_logs instance_var kill_retry_time km_link pmx treekill vizion vizion_running watch \
    windowsHide io args node_args axm_actions axm_dynamic axm_monitor axm_options env filter_env exit_code node_version \
    version prev_restart_delay PYTHONUNBUFFERED _pm2_version SILENT";

/// The ecosystem that would have started this. None: it is no dump.
pub fn ecosystem(dump: &Json, pm2_home: &str) -> Option<Json> {
    let mut apps: Vec<(String, Map<String, Json>, usize)> = Vec::new();
    for process in dump.as_array()? {
        let process = process.as_object()?;
        // `jlist` has the same fields, one deeper.
        let process = process.get("pm2_env").and_then(Json::as_object).unwrap_or(process);
        let name = process.get("name")?.as_str()?;
        match apps.iter_mut().find(|(known, ..)| known == name) {
            Some((_, _, count)) => *count += 1,
            None => apps.push((name.to_owned(), app(process, pm2_home)?, 1)),
        }
    }
    let finished = apps.into_iter().map(|(_, mut app, count)| {
        if count > 1 {
            app.insert("instances".to_owned(), count.into());
        }
        Json::Object(app)
    });
    Some(Json::Object(Map::from_iter([("apps".to_owned(), Json::Array(finished.collect()))])))
}

fn app(process: &Map<String, Json>, pm2_home: &str) -> Option<Map<String, Json>> {
    let text = |key: &str| process.get(key).and_then(Json::as_str);
    let mut app = Map::new();
    app.insert("script".to_owned(), text("pm_exec_path")?.into());
    for (theirs, key) in [("pm_cwd", "cwd"), ("exec_interpreter", "interpreter")] {
        if let Some(value) = text(theirs) {
            app.insert(key.to_owned(), value.into());
        }
    }
    for key in SAME.split_whitespace() {
        if let Some(value) = process.get(key).filter(|value| says_something(key, value)) {
            app.insert(key.to_owned(), value.clone());
        }
    }
    for (theirs, key) in
        [("pm_out_log_path", "out_file"), ("pm_err_log_path", "error_file"), ("pm_pid_path", "pid_file")]
    {
        // Below its own home is where they are unless somebody has said otherwise.
        if let Some(path) = text(theirs).filter(|path| !path.starts_with(pm2_home)) {
            app.insert(key.to_owned(), path.into());
        }
    }
    if text("status") == Some("stopped") || process.get("autostart") == Some(&Json::Bool(false)) {
        app.insert("autostart".to_owned(), Json::Bool(false));
    }
    let injected = |name: &str| INJECTED.split_whitespace().any(|known| known == name);
    let counts = text("instance_var").unwrap_or("NODE_APP_INSTANCE");
    let env = process.get("env").and_then(Json::as_object).into_iter().flatten();
    let own = env.filter(|(name, value)| {
        let plain = !value.is_object() && !value.is_array() && !value.is_null();
        plain && is_inheritable(name) && !injected(name) && name.as_str() != counts && text("name") != Some(name)
    });
    app.insert("env".to_owned(), Json::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect()));
    Some(app)
}

/// PM2 keeps its defaults, too: they would only be in the way.
fn says_something(key: &str, value: &Json) -> bool {
    let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let default = match key {
        "namespace" => value == "default",
        "instance_var" => value == "NODE_APP_INSTANCE",
        "autorestart" | "treekill" => value == &Json::Bool(true),
        "watch" | "merge_logs" | "filter_env" => value == &Json::Bool(false),
        _ => false,
    };
    !empty && !default
}
