//! The configs of PM2 and of FinalPM: a value that somebody else has read, to the raw apps that a TOML file gives.
//! Owns: what each of their keys means here (`table`), and the warning that names those without a meaning.
//! Never: reads a file or runs one; `Ground` answers. Never: judges what it has converted; `resolve` does, for every file
//! alike, and `Imported::in_its_words` turns that into the words of the file.

pub mod dump;
mod finalpm;
mod given;
mod logs;
pub mod overrides;
mod pm2;
mod program;
pub mod reference;
pub mod table;
pub mod text;
mod variables;
mod words;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::error::{ConfigError, Errors, Place};
use super::fields::{RESERVED, absolute};
use super::keys;
use super::raw::{RawApp, Value};
pub use words::legal_name;

/// What a conversion depends on besides the value.
pub struct Ground<'a> {
    /// The file's name for messages.
    pub file: &'a str,
    /// Absolute: the directory of whoever asks, from which PM2 takes relative paths.
    pub here: &'a str,
    /// Absolute: the file's own, from which FinalPM does.
    pub beside: &'a str,
    /// Of whoever asks.
    pub home: &'a str,
    pub cpus: u32,
    /// `--env NAME`.
    pub profile: Option<&'a str>,
    /// What apps inherit: the caller's environment, as the config has left it.
    pub environment: &'a BTreeMap<String, String>,
    /// What stands at an absolute path.
    pub look: &'a dyn Fn(&str) -> Found,
    /// The absolute path of a program by its bare name.
    pub program: &'a dyn Fn(&str) -> Option<String>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Directory,
    /// Text without a `#!`, or with one that names node.
    NodeText,
    /// Anything that says itself how it is run: a binary, or another `#!`.
    Program,
}

/// Apps, as far as the file could be understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    pub apps: Vec<ImportedApp>,
    /// One for the whole file, if anything in it has no effect; may have several lines.
    pub warning: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedApp {
    pub raw: RawApp,
    /// What the file calls it, with and without what `append_env_to_name` adds.
    pub names: Vec<String>,
    /// Our key, and the file's from which it came.
    words: BTreeMap<String, String>,
}

/// Whose file a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Pm2,
    FinalPm,
}

impl Tool {
    /// By what stands at the top: only FinalPM has `applications`.
    pub fn of(value: &Json) -> Self {
        let has = |key: &str| value.as_object().is_some_and(|top| top.contains_key(key));
        if has("applications") && !has("apps") { Tool::FinalPm } else { Tool::Pm2 }
    }
}

/// Apps of a value, or everything that is wrong with it.
pub fn import(tool: Tool, value: &Json, ground: &Ground<'_>) -> Result<Imported, Errors> {
    let mut import = Import { ground, ignored: BTreeMap::new(), errors: Vec::new(), apps: Vec::new() };
    match tool {
        Tool::Pm2 => import.pm2(value),
        Tool::FinalPm => import.finalpm(value),
    }
    if !import.errors.is_empty() {
        return Err(Errors(import.errors));
    }
    let warning = import.warning();
    Ok(Imported { apps: import.apps, warning })
}

impl Imported {
    /// What `resolve` finds wrong, by the file's own keys.
    pub fn in_its_words(&self, mut errors: Errors, file: &str) -> Errors {
        for error in &mut errors.0 {
            // What is about neither an app nor a key is about a flag.
            if error.place.is_none() && (error.app.is_some() || error.key.is_some()) {
                error.place = Some(Place { file: file.to_owned(), at: None, excerpt: None });
            }
            let app = self.apps.iter().find(|app| app.raw.given_name() == error.app.as_deref());
            let (Some(app), Some(key)) = (app, &error.key) else { continue };
            let (first, rest) = key.split_once('.').map_or((key.as_str(), ""), |(first, rest)| (first, rest));
            if let Some(word) = app.words.get(first) {
                error.key = Some(if rest.is_empty() { word.clone() } else { format!("{word}.{rest}") });
            } else if let Some(profile) = key.strip_prefix("profile.") {
                error.key = Some(format!("env_{}", profile.replacen(".env", "", 1)));
            }
        }
        errors
    }
}

/// One file being converted.
struct Import<'a> {
    ground: &'a Ground<'a>,
    /// What has no effect, and why.
    ignored: BTreeMap<String, String>,
    errors: Vec<ConfigError>,
    apps: Vec<ImportedApp>,
}

impl Import<'_> {
    fn warning(&self) -> Option<String> {
        let lines = self.ignored.iter().map(|(key, why)| format!("\n  {key}: {why}"));
        let lines: String = lines.collect();
        (!lines.is_empty()).then(|| format!("{}: what has no effect here:{lines}", self.ground.file))
    }

    fn ignore(&mut self, key: &str, why: impl Into<String>) {
        self.ignored.entry(key.to_owned()).or_insert(why.into());
    }

    fn error(&mut self, app: Option<&str>, key: Option<&str>, problem: impl Into<String>, mend: impl Into<String>) {
        self.errors.push(ConfigError {
            place: Some(Place { file: self.ground.file.to_owned(), at: None, excerpt: None }),
            app: app.map(str::to_owned),
            key: key.map(str::to_owned),
            problem: problem.into(),
            mend: mend.into(),
        });
    }

    /// The one door to a key of ours. One that this stead does not have is named in the warning.
    fn set(&mut self, app: &mut ImportedApp, word: &str, key: &str, value: Value) {
        if keys::find(key).is_none() {
            self.ignore(word, format!("stead has no `{key}`"));
            return;
        }
        app.raw.set(key, value);
        app.words.insert(key.to_owned(), word.to_owned());
    }

    /// Variables that the app gets of the caller's environment.
    fn inherit(&self, app: &mut ImportedApp, passes: impl Fn(&str) -> bool) {
        let own = app.raw.get("instance_var").map(|node| node.value.clone());
        for (name, value) in self.ground.environment {
            let counts = own == Some(Value::Str(name.clone()));
            if passes(name) && !counts && is_inheritable(name) && !value.contains('\0') {
                app.raw.inherit_env(name, value);
            }
        }
    }

    /// An absolute path of a text that a file holds.
    fn absolute(&self, base: &str, path: &str) -> String {
        match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                absolute(self.ground.home, rest.trim_start_matches('/'))
            }
            _ => absolute(base, path),
        }
    }
}

/// What belongs to a session and not to an app: it changes with every login, and an app would look changed with it.
const OF_A_SESSION: &str = "PWD OLDPWD _ SHLVL TERM TERM_PROGRAM TERM_PROGRAM_VERSION COLORTERM COLORFGBG COLUMNS LINES SHELL \
    USER LOGNAME HOME MAIL HOSTNAME PS1 PS2 PS3 PS4 PROMPT_COMMAND DISPLAY WAYLAND_DISPLAY XAUTHORITY WINDOWID WINDOWPATH \
    WINDOW DESKTOP_STARTUP_ID DBUS_SESSION_BUS_ADDRESS EDITOR VISUAL PAGER LESS LESSOPEN LESSCLOSE LS_COLORS HISTCONTROL \
    HISTFILE HISTSIZE TMUX TMUX_PANE STY GPG_AGENT_INFO INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID MAINPID MANAGERPID \
    NODE_UNIQUE_ID NODE_CHANNEL_SERIALIZATION_MODE";

/// The same, by how they begin; and what sudo, stead and PM2 say of a command.
const OF_SESSIONS: [&str; 6] = ["SSH_", "XDG_", "SUDO_", "STEAD_", "PM2_", "BASH_FUNC_"];

pub(crate) fn is_inheritable(name: &str) -> bool {
    let session = OF_A_SESSION.split_whitespace().any(|known| known == name);
    let legal = !name.is_empty() && !name.contains(['=', '\0']);
    legal && !session && !RESERVED.contains(&name) && !OF_SESSIONS.iter().any(|prefix| name.starts_with(prefix))
}
