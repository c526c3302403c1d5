//! PM2's ecosystem file to raw apps.
//! Owns: how each value of it is converted, in PM2's own order of precedence.
//! Never: says what a key means; `table` does.

use serde_json::{Map, Value as Json};

use super::given::{Given, span, type_name, whole};
use super::program::{Program, name_of_script};
use super::table::{self, Means};
use super::{Import, ImportedApp, legal_name};
use crate::config::error::{nearest, quoted};
use crate::config::raw::Value;
use crate::config::write::exact;
use crate::model::quantity::{Bytes, parse_span};

/// stead's own, which a shorter `listen_timeout` does not shorten.
const START_TIMEOUT_MS: i64 = 30_000;

impl Import<'_> {
    pub(super) fn pm2(&mut self, value: &Json) {
        let nothing = Map::new();
        let (apps, deploy) = match value {
            Json::Array(_) => (value, None),
            Json::Object(top) => match top.get("apps").or_else(|| top.get("pm2")) {
                Some(apps) => {
                    self.top(top);
                    (apps, top.get("deploy").and_then(Json::as_object))
                }
                // One app, with nothing around it.
                None if ["script", "exec", "cmd", "command"].iter().any(|key| top.contains_key(*key)) => (value, None),
                None if top.contains_key("deploy") || top.contains_key("static") => {
                    self.top(top);
                    return self.no_apps();
                }
                None => return self.no_apps(),
            },
            _ => return self.no_apps(),
        };
        let apps = match apps {
            Json::Array(apps) => apps.as_slice(),
            one => std::slice::from_ref(one),
        };
        if apps.is_empty() {
            return self.no_apps();
        }
        let deploy = deploy.unwrap_or(&nothing);
        for (n, app) in apps.iter().enumerate() {
            match app {
                Json::Object(app) => self.pm2_app(n, app, deploy),
                other => self.error(
                    None,
                    Some("apps"),
                    format!("an app cannot be {}", type_name(other)),
                    "write each as an object",
                ),
            }
        }
        self.check_profile(apps, deploy);
    }

    fn no_apps(&mut self) {
        if self.errors.is_empty() {
            let mend = "export them: module.exports = { apps: [{ script: \"server.js\" }] }";
            self.error(None, None, "no apps in it", mend);
        }
    }

    fn top(&mut self, top: &Map<String, Json>) {
        for (key, value) in top {
            match table::find(table::PM2_TOP, key) {
                Some(row) if row.means == Means::Refused && value.as_array().is_none_or(|list| !list.is_empty()) => {
                    self.error(None, Some(key), "is not for stead", row.note);
                }
                // Anything may stand in package.json.
                Some(_) | None if top.contains_key("pm2") => {}
                Some(_) => {}
                None => self.ignore(key, "only `apps` and `deploy` can stand at the top"),
            }
        }
    }

    /// PM2 goes on without it: a slip then starts the app with the wrong variables.
    fn check_profile(&mut self, apps: &[Json], deploy: &Map<String, Json>) {
        let Some(profile) = self.ground.profile else { return };
        let keys = apps.iter().filter_map(Json::as_object).flat_map(Map::keys);
        let known: Vec<&str> =
            keys.filter_map(|key| key.strip_prefix("env_")).chain(deploy.keys().map(String::as_str)).collect();
        if known.contains(&profile) {
            return;
        }
        let mend = match nearest(profile, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write `env_{profile}: {{ ... }}` in an app, or leave --env out"),
        };
        self.error(None, None, format!("no app has variables for {} (`env_{profile}`)", quoted(profile)), mend);
    }

    fn pm2_app(&mut self, n: usize, app: &Map<String, Json>, deploy: &Map<String, Json>) {
        let mut label = app.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        if label.is_empty() {
            let script = ["script", "exec", "cmd", "command"].iter().find_map(|key| app.get(*key)?.as_str());
            label = script.map_or_else(|| format!("app {}", n + 1), name_of_script);
        }
        let given = self.given(table::PM2, app, label.clone());
        if let Some((key, value)) = given.get("name").filter(|(_, value)| !value.is_string()) {
            self.wrong_type(&given, key, value, "text");
        }
        let mut names = vec![label.clone()];
        if let Some(profile) = self.ground.profile.filter(|_| given.is_true("append_env_to_name")) {
            names.insert(0, format!("{label}-{profile}"));
        }
        let mut out = ImportedApp { names, ..ImportedApp::default() };
        let name = legal_name(&out.names[0]);
        self.set(&mut out, "name", "name", name.into());
        if let Some((key, namespace)) = self.text(&given, "namespace") {
            self.set(&mut out, key, "namespace", legal_name(namespace).into());
        }
        let program = self.command_of(&given, &mut out);
        self.count(&given, &mut out, program.node);
        self.variables(&given, &mut out, &program, deploy);
        self.life(&given, &mut out, &program);
        self.end(&given, &mut out, &program);
        self.limits_and_times(&given, &mut out, &program.cwd);
        self.logs(&given, &mut out, &program.cwd);
        self.apps.push(out);
    }

    fn count(&mut self, given: &Given<'_>, out: &mut ImportedApp, node: bool) {
        let mode = self.text(given, "exec_mode");
        let cluster = match mode.map(|(key, text)| (key, text, text.trim_end_matches("_mode"))) {
            Some((_, _, "cluster")) => true,
            Some((_, _, "fork")) => false,
            Some((key, text, _)) => {
                self.error(
                    Some(&given.label),
                    Some(key),
                    format!("unknown value {}", quoted(text)),
                    "use \"cluster\" or \"fork\"",
                );
                false
            }
            None => node && given.has("instances") && !given.is_true("execute_command"),
        };
        if !cluster {
            self.set(out, mode.map_or("exec_mode", |(key, _)| key), "replace", "by-port".into());
        }
        let Some((key, value)) = given.get("instances") else { return };
        let instances = match (value, whole(value)) {
            (Json::String(text), _) if text == "max" => Value::from("max"),
            (_, Some(0)) => Value::from("max"),
            (_, Some(less @ ..0)) => Value::Int(i64::from(self.ground.cpus).saturating_add(less).max(1)),
            (_, Some(number)) => Value::Int(number),
            (_, None) => return self.wrong_type(given, key, value, "a number of instances, or \"max\""),
        };
        self.set(out, key, "instances", instances);
    }

    fn life(&mut self, given: &Given<'_>, out: &mut ImportedApp, program: &Program) {
        if let Some((key, false)) = self.boolean(given, "autorestart") {
            self.set(out, key, "restart", "never".into());
            // It may have done its work, and ended, before it would count as ready.
            if !given.is_true("wait_ready") {
                self.set(out, key, "ready_on", "instant".into());
            }
        }
        if let Some((key, number)) = self.number(given, "max_restarts", "a number of restarts") {
            self.set(out, key, "max_restarts", Value::Int(number));
        }
        let backoff = self.millis(given, "exp_backoff_restart_delay");
        let fixed = self.millis(given, "restart_delay");
        match (backoff, fixed) {
            (Some((key, delay)), _) => self.set(out, key, "exp_backoff_restart_delay", delay),
            (None, Some((key, delay))) => self.set(out, key, "restart_delay", delay),
            (None, None) => {}
        }
        if let Some((key, value)) = given.get("min_uptime") {
            // 5s, 1m, 1h; a bare number is milliseconds.
            match (whole(value).and_then(|ms| u64::try_from(ms).ok()), value.as_str().map(parse_span)) {
                (Some(ms), _) => self.set(out, key, "min_uptime", span(ms)),
                (None, Some(Ok(time))) => self.set(out, key, "min_uptime", span(time.as_millis() as u64)),
                (None, _) => self.wrong_type(given, key, value, "a number of milliseconds, or \"5s\", \"1m\", \"1h\""),
            }
        }
        match self.boolean(given, "wait_ready") {
            Some((key, true)) if program.node => self.set(out, key, "ready_on", "message".into()),
            Some((key, true)) => {
                self.ignore(key, "only what node runs can say process.send('ready'); ready is what listens, or lives")
            }
            _ => {}
        }
        if let Some((key, timeout)) = self.number(given, "listen_timeout", "a number of milliseconds")
            && timeout > START_TIMEOUT_MS
        {
            self.set(out, key, "start_timeout", span(timeout.unsigned_abs()));
        }
        if let Some((key, false)) = self.boolean(given, "autostart") {
            self.set(out, key, "autostart", Value::Bool(false));
        }
        if let Some((key, value)) = given.get("stop_exit_codes") {
            let codes = match value {
                Json::Array(items) => items.iter().map(whole).collect::<Option<Vec<_>>>(),
                one => whole(one).map(|code| vec![code]),
            };
            match codes {
                Some(codes) => {
                    let codes = codes.into_iter().map(|code| Value::Int(code).into()).collect();
                    self.set(out, key, "stop_exit_codes", Value::List(codes));
                }
                None => self.wrong_type(given, key, value, "a list of exit codes"),
            }
        }
    }

    fn end(&mut self, given: &Given<'_>, out: &mut ImportedApp, program: &Program) {
        if let Some((key, timeout)) = self.millis(given, "kill_timeout") {
            self.set(out, key, "stop_timeout", timeout);
        }
        // PM2 knows one signal for all.
        if !program.node {
            self.set(out, "script", "stop_signal", "SIGINT".into());
        }
        let tree = self.boolean(given, "treekill");
        if tree.is_none_or(|(_, tree)| tree) {
            self.set(out, tree.map_or("treekill", |(key, _)| key), "stop_scope", "all".into());
        } else if let Some((key, _)) = tree {
            self.set(out, key, "stop_scope", "main".into());
        }
        if let Some((key, true)) = self.boolean(given, "shutdown_with_message") {
            self.set(out, key, "shutdown_with_message", Value::Bool(true));
        }
    }

    fn limits_and_times(&mut self, given: &Given<'_>, out: &mut ImportedApp, cwd: &str) {
        if let Some((key, value)) = given.get("max_memory_restart") {
            match (whole(value), value.as_str()) {
                (Some(bytes), _) => self.set(out, key, "max_memory_restart", size(bytes).into()),
                (None, Some(text)) => self.set(out, key, "max_memory_restart", text.into()),
                (None, None) => self.wrong_type(given, key, value, "a size, as \"300M\""),
            }
        }
        for (name, ours) in [("uid", "user"), ("gid", "group")] {
            let Some((key, value)) = given.get(name) else { continue };
            match (whole(value), value.as_str()) {
                (Some(number), _) => self.set(out, key, ours, Value::Int(number)),
                (None, Some(text)) => self.set(out, key, ours, text.into()),
                (None, None) => self.wrong_type(given, key, value, "a name or a number"),
            }
        }
        match given.get("cron_restart") {
            Some((_, value)) if whole(value) == Some(0) => {}
            Some((key, Json::String(pattern))) => self.set(out, key, "cron_restart", pattern.as_str().into()),
            Some((key, value)) => self.wrong_type(given, key, value, "a pattern, as \"0 3 * * *\""),
            None => {}
        }
        let absolute = |path: &str| self.absolute(cwd, path);
        let watch = match given.get("watch") {
            None | Some((_, Json::Bool(false))) => None,
            Some((key, Json::Bool(true))) => Some((key, Some(Value::Bool(true)))),
            Some((key, Json::String(path))) => Some((key, Some(Value::texts([absolute(path)])))),
            Some((key, Json::Array(paths))) if paths.is_empty() => Some((key, Some(Value::Bool(true)))),
            Some((key, Json::Array(paths))) => {
                let paths: Option<Vec<String>> = paths.iter().map(|path| path.as_str().map(absolute)).collect();
                Some((key, paths.map(Value::texts)))
            }
            Some((key, _)) => Some((key, None)),
        };
        match (watch, given.value("watch")) {
            (Some((key, Some(watch))), _) => self.set(out, key, "watch", watch),
            (Some((key, None)), Some(value)) => self.wrong_type(given, key, value, "true, a path or a list of paths"),
            _ => {}
        }
        // Without a watch they say nothing.
        if out.raw.get("watch").is_some() || given.has("watch") {
            self.ignored_paths(given, out);
            if let Some((key, delay)) = self.millis(given, "watch_delay") {
                self.set(out, key, "watch_delay", delay);
            }
        }
        if let Some((key, path)) = self.text(given, "pid_file") {
            let path = self.absolute(cwd, path);
            self.set(out, key, "pid_file", path.into());
        }
    }

    fn ignored_paths(&mut self, given: &Given<'_>, out: &mut ImportedApp) {
        let Some((key, value)) = given.get("ignore_watch") else { return };
        let items = match value {
            Json::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut globs = Vec::new();
        for item in items {
            match (item, item.get("$regex").and_then(Json::as_str)) {
                (Json::String(glob), _) => globs.push(glob.clone()),
                (_, Some(regex)) => {
                    self.ignore(key, format!("/{regex}/ is a regular expression: write a glob, as \"**/*.log\""))
                }
                _ => return self.wrong_type(given, key, value, "a list of globs"),
            }
        }
        if !globs.is_empty() {
            self.set(out, key, "ignore_watch", Value::texts(globs));
        }
    }
}

/// Bytes in the largest unit that loses nothing. Fewer than none is what somebody wrote.
fn size(bytes: i64) -> String {
    u64::try_from(bytes).map_or_else(|_| format!("{bytes}B"), |bytes| exact(Bytes(bytes)))
}
