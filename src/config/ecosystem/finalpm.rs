//! FinalPM's process config to raw apps.
//! Owns: how each value of it is converted, and what FinalPM itself would refuse.
//! Never: says what a key means; `table` does.

use serde_json::{Map, Value as Json};

use super::given::{Given, scalar, type_name};
use super::table::{self, Means};
use super::{Found, Import, ImportedApp, legal_name};
use crate::config::error::quoted;
use crate::config::fields::absolute;
use crate::config::raw::Value;

/// What stands for FinalPM's "for ever": a wait without an end would keep the machine from shutting down.
const FOR_EVER: &str = "10m";

/// How FinalPM tells an instance its number.
const NUMBER: &str = "FINAL_PM_INSTANCE_NUMBER";

impl Import<'_> {
    pub(super) fn finalpm(&mut self, value: &Json) {
        let Some(top) = value.as_object() else {
            let mend = "export an object: module.exports = { applications: [...] }";
            return self.error(None, None, format!("a config cannot be {}", type_name(value)), mend);
        };
        for (key, _) in top {
            match table::find(table::FINALPM_TOP, key).map(|row| (row.means, row.note)) {
                Some((Means::Ignored, note)) => self.ignore(key, note),
                Some((Means::Refused, note)) => self.error(None, Some(key), "cannot stand here", note),
                Some(_) => {}
                None => self.error(
                    None,
                    Some(key),
                    "unknown key",
                    "only `applications` and FinalPM's own can stand at the top",
                ),
            }
        }
        if let Some(profile) = self.ground.profile {
            let mend = "leave --env out, or have the config look at process.env";
            self.error(None, None, format!("FinalPM's configs have no {}, nor any profile", quoted(profile)), mend);
        }
        match top.get("applications") {
            Some(Json::Array(apps)) if !apps.is_empty() => {
                for app in apps {
                    match app {
                        Json::Object(app) => self.finalpm_app(app),
                        other => {
                            let problem = format!("an application cannot be {}", type_name(other));
                            self.error(None, Some("applications"), problem, "write each as an object");
                        }
                    }
                }
                if self.apps.is_empty() && self.errors.is_empty() {
                    self.error(
                        None,
                        None,
                        "no applications in it but loggers",
                        "stead keeps logs itself: add what is to run",
                    );
                }
            }
            None | Some(Json::Array(_)) => {
                self.error(
                    None,
                    None,
                    "no applications in it",
                    "export them: module.exports = { applications: [{ run: \"server.js\" }] }",
                );
            }
            Some(other) => {
                let problem = format!("cannot be {}", type_name(other));
                self.error(None, Some("applications"), problem, "it must be an array of objects");
            }
        }
    }

    fn finalpm_app(&mut self, app: &Map<String, Json>) {
        if app.get("type").and_then(Json::as_str) == Some("logger") {
            let name = app.get("name").and_then(Json::as_str).unwrap_or("default");
            return self
                .ignore(&format!("application {}", quoted(name)), "it is a logger, and stead keeps logs itself");
        }
        let label = app.get("name").and_then(Json::as_str).unwrap_or("default").to_owned();
        let given = self.given(table::FINALPM, app, label.clone());
        let name = self.text(&given, "name").map_or("default", |(_, name)| name);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name == "all" || name.starts_with('-') || !name.chars().all(legal) {
            let mend = "use letters, digits, \"_\" and \"-\", not \"all\", and no \"-\" first";
            self.error(Some(&label), Some("name"), format!("{} is no name of an application", quoted(name)), mend);
        }
        self.one_of(&given, "type", &["application", "logger"]);
        self.one_of(&given, "mode", &["cluster", "fork"]);
        let mut out = ImportedApp { names: vec![label], ..ImportedApp::default() };
        self.set(&mut out, "name", "name", legal_name(name).into());
        self.program_of(&given, &mut out);
        self.environment_of(&given, &mut out);
        self.generations_of(&given, &mut out);
        self.ends_of(&given, &mut out);
        self.apps.push(out);
    }

    /// A word of the list, or an error.
    fn one_of<'a>(&mut self, given: &Given<'a>, name: &str, words: &[&str]) -> Option<(&'a str, &'a str)> {
        let (key, word) = self.text(given, name)?;
        if words.contains(&word) {
            return Some((key, word));
        }
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let mend = format!("use {}", words.join(" or "));
        self.error(Some(&given.label), Some(key), format!("unknown value {}", quoted(word)), mend);
        None
    }

    fn program_of(&mut self, given: &Given<'_>, out: &mut ImportedApp) {
        let base = self
            .text(given, "base-path")
            .map_or(self.ground.beside.to_owned(), |(_, path)| absolute(self.ground.here, path));
        let (key, cwd) = self.text(given, "cwd").unwrap_or(("cwd", "./"));
        let cwd = absolute(&base, cwd);
        self.set(out, key, "cwd", cwd.as_str().into());
        let (key, run) = self.text(given, "run").unwrap_or(("run", "./server.js"));
        match (self.ground.look)(&absolute(&cwd, run)) {
            Found::Nothing => {
                let problem = format!("no such file: {}", absolute(&cwd, run));
                self.error(Some(&given.label), Some(key), problem, format!("a relative path is taken from {cwd}"));
            }
            Found::Directory => {
                self.error(Some(&given.label), Some(key), format!("{run} is a directory"), "name a file in it")
            }
            Found::NodeText | Found::Program => {}
        }
        self.set(out, key, "run", run.into());
        // It knows nothing but node.
        if !run.ends_with(".js") && !run.ends_with(".mjs") && !run.ends_with(".cjs") {
            self.set(out, key, "interpreter", "node".into());
        }
        for (name, ours) in [("args", "args"), ("node-args", "interpreter_args")] {
            let Some((key, value)) = given.get(name) else { continue };
            let words: Option<Vec<String>> = value.as_array().and_then(|items| items.iter().map(scalar).collect());
            match words {
                Some(words) if words.is_empty() => {}
                Some(words) => self.set(out, key, ours, Value::texts(words)),
                None => self.wrong_type(given, key, value, "a list of texts"),
            }
        }
    }

    fn environment_of(&mut self, given: &Given<'_>, out: &mut ImportedApp) {
        let unique = self.boolean(given, "unique-instances");
        if unique.is_none_or(|(_, unique)| unique) {
            self.set(out, unique.map_or("unique-instances", |(key, _)| key), "instance_var", NUMBER.into());
        }
        if let Some((key, value)) = given.get("env") {
            let env = self.env(given, key, value, Some(NUMBER));
            // `env: process.env` is what many write, and a session is no more an app's for it.
            let env = env.into_iter().filter(|(name, _)| super::is_inheritable(name));
            self.set(out, key, "env", Value::table(env));
        }
        self.inherit(out, |name| !matches!(name, "LANG" | "LC_MESSAGES"));
    }

    fn generations_of(&mut self, given: &Given<'_>, out: &mut ImportedApp) {
        if let Some((key, word)) = self.one_of(given, "ready-on", &["listen", "message", "instant"]) {
            self.set(out, key, "ready_on", word.into());
        } else if !given.has("ready-on") {
            self.set(out, "ready-on", "ready_on", "listen".into());
        }
        let instances = self.number(given, "instances", "a whole number from 1");
        if let Some((key, number)) = instances {
            match number {
                // stead takes 0 for one on each CPU; FinalPM takes no 0.
                ..1 => self.error(
                    Some(&given.label),
                    Some(key),
                    format!("{number} is out of range"),
                    "use a whole number from 1",
                ),
                number => self.set(out, key, "instances", Value::Int(number)),
            }
        }
        let instances = instances.map_or(1, |(_, number)| number);
        match self.number(given, "max-instances", "a whole number, or 0 for any") {
            Some((_, 0)) | None => self.set(out, "max-instances", "max_surge", "100%".into()),
            Some((key, max)) if max <= instances => {
                let problem =
                    format!("max-instances must be larger than instances, and {max} is not larger than {instances}");
                self.error(
                    Some(&given.label),
                    Some(key),
                    problem,
                    "nothing could be replaced by what starts before it stops",
                );
            }
            Some((key, max)) => self.set(out, key, "max_surge", Value::Str((max - instances).to_string())),
        }
    }

    fn ends_of(&mut self, given: &Given<'_>, out: &mut ImportedApp) {
        match self.one_of(given, "stop-signal", &["SIGINT", "SIGTERM", "disconnect", "message"]) {
            Some((key, word @ ("disconnect" | "message"))) => {
                self.ignore(
                    key,
                    format!("\"{word}\" goes over node's channel, and stead sends SIGINT: have the app handle it"),
                );
            }
            Some((key, signal)) => self.set(out, key, "stop_signal", signal.into()),
            None => {}
        }
        let restart = self.boolean(given, "restart-crashing");
        let on = restart.is_none_or(|(_, on)| on);
        match restart {
            Some((key, false)) => self.set(out, key, "restart", "never".into()),
            _ => self.set(out, "restart-crashing", "max_restarts", Value::Int(0)),
        }
        if let Some((key, new)) = self.boolean(given, "restart-new-crashing")
            && new != on
        {
            self.ignore(
                key,
                "stead restarts what crashes before it is ready as it does what crashes later: `restart-crashing`",
            );
        }
        if let Some((key, delay)) = self.millis(given, "restart-crashing-delay") {
            self.set(out, key, "restart_delay", delay);
        }
        for (name, ours) in [("stop-timeout", "stop_timeout"), ("start-timeout", "start_timeout")] {
            match self.millis(given, name) {
                Some((key, timeout)) => self.set(out, key, ours, timeout),
                None => self.set(out, name, ours, FOR_EVER.into()),
            }
        }
    }
}
