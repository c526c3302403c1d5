//! Configs of PM2 and FinalPM off the disk: read, evaluated where they are programs, and converted.
//! Owns: whose file is what, and what the conversion asks of this machine.
//! Never: runs a file itself, or as anybody but the person who asks; `evaluate` starts node, as them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};
use serde_json::Value as Json;

use super::evaluate::{Evaluated, Evaluator, Program};
use super::exit::{Failure, Result};
use super::person::Person;
use super::read::{self, STDIN};
use super::spec::Machine;
use super::target::{self, Format};
use crate::config::ecosystem::{self, Found, Ground, Imported, Tool, text};
use crate::config::error::{ConfigError, Errors, Place};
use crate::config::source::Source;
use crate::model::spec::{AppSpec, Identity};

/// A config file, as far as it can be read without its apps being judged.
pub enum Read {
    Toml(Source),
    Foreign(Foreign),
}

/// Apps of PM2 or FinalPM.
pub struct Foreign {
    /// The file, for messages.
    pub name: String,
    /// What relative paths in flags are relative to.
    pub base: PathBuf,
    pub imported: Imported,
}

impl Foreign {
    /// What each app can be called.
    pub fn names(&self) -> impl Iterator<Item = &[String]> + Clone {
        self.imported.apps.iter().map(|app| app.names.as_slice())
    }
}

/// What apps have of the caller's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherit {
    /// All of it but what belongs to a login, as PM2 and FinalPM have it.
    Environment,
    /// Only what the config itself has set.
    Nothing,
}

/// Reads a config of any kind.
pub fn read(machine: &Machine<'_>, path: &Path, profile: Option<&str>, inherit: Inherit) -> Result<Read> {
    let format = path.to_str().and_then(target::format).unwrap_or(Format::Toml);
    // Whatever node makes of it, that it is a file, and text, is said in our words.
    let source = read::source(path)?;
    let format = match format {
        Format::Stdin if is_json(source.text()) => Format::Json,
        Format::Toml | Format::Stdin => return Ok(Read::Toml(source)),
        format => format,
    };
    let here = current_directory()?;
    let absolute = here.join(path);
    let base = match path == Path::new(STDIN) {
        true => here.clone(),
        false => absolute.parent().map_or_else(|| here.clone(), Path::to_path_buf),
    };
    let stem = absolute.file_stem().unwrap_or_default();
    let named = if format == Format::FinalPm || stem == "process-config" { Tool::FinalPm } else { Tool::Pm2 };
    let asks = Asks { machine, here: &here, base: &base, profile, inherit };
    let Evaluated { mut value, changed } = match format {
        Format::Pm2 => asks.evaluate(&source.name, Program::Pm2)?,
        Format::FinalPm => asks.evaluate(&source.name, Program::FinalPm)?,
        Format::Yaml => {
            Evaluated { value: text::yaml(&source).map_err(|errors| read::config(&errors))?, ..Evaluated::default() }
        }
        Format::Json | Format::Toml | Format::Stdin => asks.json(&source, named)?,
    };
    let top = |key: &str| value.as_object().is_some_and(|top| top.contains_key(key));
    if stem == "package" && !["pm2", "apps"].into_iter().any(top) {
        return Err(Failure::config(format!("{}: it has no `pm2` key, so there are no apps in it", source.name)));
    }
    let tool = if top("apps") || top("applications") { Tool::of(&value) } else { named };
    if tool == Tool::FinalPm {
        let variables: Vec<(String, String)> = environment().collect();
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        ecosystem::overrides::apply(&mut value, variables).map_err(|errors| read::config(&errors))?;
    }
    asks.import(tool, &source.name, &value, changed).map(Read::Foreign)
}

/// The caller's, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What PM2 saved of what it runs.
pub fn dump(machine: &Machine<'_>) -> Result<Read> {
    let home = home(machine);
    let pm2 = std::env::var("PM2_HOME").ok().filter(|path| !path.is_empty()).unwrap_or_else(|| format!("{home}/.pm2"));
    let path = format!("{pm2}/dump.pm2");
    if !Path::new(&path).exists() {
        return Err(Failure::config(format!("PM2 has saved nothing for you: no {path}. Run: pm2 save")));
    }
    let source = read::source(Path::new(&path))?;
    let not_one = || Failure::config(format!("{path}: it is not what pm2 save writes"));
    let value: Json = serde_json::from_str(source.text()).map_err(|_| not_one())?;
    let value = ecosystem::dump::ecosystem(&value, &pm2).ok_or_else(not_one)?;
    let here = current_directory()?;
    let asks = Asks { machine, here: &here, base: &here, profile: None, inherit: Inherit::Nothing };
    asks.import(Tool::Pm2, &path, &value, BTreeMap::new()).map(Read::Foreign)
}

/// Directories for logs, as PM2 makes them, by each app's own user: it will have to write there.
pub fn make_log_directories(file: &Foreign, specs: &[AppSpec]) -> Result<()> {
    for spec in specs {
        let files = [("out_file", &spec.log.out_file), ("error_file", &spec.log.error_file)];
        for (key, path) in files.into_iter().filter_map(|(key, path)| Some((key, Path::new(path.as_ref()?)))) {
            let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) else { continue };
            if !as_them(&spec.identity.user, directory) {
                let place = Place { file: file.name.clone(), at: None, excerpt: None };
                let problem =
                    format!("no directory {}, and it cannot be made by {}", directory.display(), spec.identity.user);
                let error = ConfigError {
                    place: Some(place),
                    app: Some(spec.name.to_string()),
                    key: Some(key.to_owned()),
                    problem,
                    mend: "make it, for that user to write there".to_owned(),
                };
                return Err(read::config(&file.imported.in_its_words(Errors(vec![error]), &file.name)));
            }
        }
    }
    Ok(())
}

fn as_them(user: &str, directory: &Path) -> bool {
    if !geteuid().is_root() || user == "root" {
        return std::fs::create_dir_all(directory).is_ok();
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(["__child", "--user", user, "--", "mkdir", "-p", "--"]).arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn current_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Failure::failed(format!("cannot tell the current directory: {error}")))
}

/// TOML begins with a letter, a comment or `[[app]]`; what PM2 is piped is an object or a list of them.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let list = text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['{', ']']));
    list || text.starts_with(['{', '(']) || text.starts_with("//") || text.starts_with("/*")
}

fn home(machine: &Machine<'_>) -> String {
    let user = User::from_name(&machine.caller().default_user()).ok().flatten();
    user.and_then(|user| user.dir.into_os_string().into_string().ok()).unwrap_or_else(|| "/".to_owned())
}

/// One file, and who asks for it.
struct Asks<'a> {
    machine: &'a Machine<'a>,
    here: &'a Path,
    base: &'a Path,
    profile: Option<&'a str>,
    inherit: Inherit,
}

impl Asks<'_> {
    fn evaluate(&self, file: &str, program: Program<'_>) -> Result<Evaluated> {
        let person = self.machine.caller().sudo_user.as_deref();
        let identity = person.map(|user| Identity { user: user.to_owned(), group: None, groups: None });
        let who = identity.as_ref().and_then(Person::of);
        let node = ["node", "nodejs"].into_iter().find_map(|name| self.machine.program_for(name, who.as_ref()));
        let node = node.ok_or_else(|| {
            Failure::config(format!(
                "{file} is JavaScript, and there is no node in PATH to evaluate it: install Node.js"
            ))
        })?;
        let mut words = vec!["pm2".to_owned(), "start".to_owned(), file.to_owned()];
        words.extend(self.profile.into_iter().flat_map(|profile| ["--env".to_owned(), profile.to_owned()]));
        let evaluator = Evaluator { node: &node, person, path: self.machine.login_path(), words: &words };
        evaluator.run(file, program)
    }

    /// PM2 evaluates its users' JSON as JavaScript, so that comments and expressions stand in some.
    fn json(&self, source: &Source, named: Tool) -> Result<Evaluated> {
        match text::json(source) {
            Ok(value) => Ok(Evaluated { value, ..Evaluated::default() }),
            Err(errors) if named == Tool::FinalPm => Err(read::config(&errors)),
            Err(_) => self.evaluate(&source.name, Program::Expression(source.text())),
        }
    }

    fn import(&self, tool: Tool, file: &str, value: &Json, changed: BTreeMap<String, String>) -> Result<Foreign> {
        let utf8 = |path: &Path| {
            let wrong = || Failure::config(format!("the directory {} has a name that is not UTF-8", path.display()));
            path.to_str().map(str::to_owned).ok_or_else(wrong)
        };
        let (here, beside, home) = (utf8(self.here)?, utf8(self.base)?, home(self.machine));
        let mut environment = BTreeMap::new();
        if self.inherit == Inherit::Environment {
            environment.extend(self::environment());
            environment.extend(self.machine.login_path().map(|path| ("PATH".to_owned(), path.to_owned())));
        }
        if tool == Tool::FinalPm {
            environment.extend(package_config(self.base, Path::new(&home)));
        }
        environment.extend(changed);
        let ground = Ground {
            file,
            here: &here,
            beside: &beside,
            home: &home,
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            profile: self.profile,
            environment: &environment,
            look: &look,
            program: &|name| self.machine.program(name),
        };
        let imported = ecosystem::import(tool, value, &ground).map_err(|errors| read::config(&errors))?;
        if let Some(warning) = &imported.warning {
            self.machine.note(warning.clone());
        }
        Ok(Foreign { name: file.to_owned(), base: self.base.to_path_buf(), imported })
    }
}

/// What stands at a path. Of a file no more is read than says how it is run.
fn look(path: &str) -> Found {
    let Ok(file) = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) else {
        // Not to be read: whether it is to be run, execve(2) says.
        return if Path::new(path).exists() { Found::Program } else { Found::Nothing };
    };
    match file.metadata() {
        Ok(seen) if seen.is_dir() => return Found::Directory,
        Ok(seen) if seen.is_file() => {}
        Ok(_) | Err(_) => return Found::Nothing,
    }
    let mut head = Vec::new();
    if file.take(256).read_to_end(&mut head).is_err() {
        return Found::Program;
    }
    match head.strip_prefix(b"#!") {
        Some(line) => {
            let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
            let node = line.split(['/', ' ', '\t']).any(|word| matches!(word.trim(), "node" | "nodejs"));
            if node { Found::NodeText } else { Found::Program }
        }
        None if head.contains(&0) => Found::Program,
        None => Found::NodeText,
    }
}

/// `config` of the nearest package.json, as npm puts it into the environment of a script. Not above the person's home.
fn package_config(directory: &Path, home: &Path) -> BTreeMap<String, String> {
    let below = directory.ancestors().take_while(|directory| *directory != home && directory.parent().is_some());
    let nearest = below.map(|directory| directory.join("package.json")).find(|path| path.is_file());
    let package =
        nearest.and_then(|path| read::source(&path).ok()).and_then(|source| serde_json::from_str(source.text()).ok());
    let Some(Json::Object(config)) = package.and_then(|mut package: Json| package.get_mut("config").map(Json::take))
    else {
        return BTreeMap::new();
    };
    let value = |value: &Json| match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    };
    config.iter().filter_map(|(name, given)| Some((format!("npm_package_config_{name}"), value(given)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_piped_is_told_apart_by_how_it_begins() {
        for text in ["{\"apps\":[]}", " [ {", "[]", "({apps: []})", "// c\n{}", "/* c */ {}"] {
            assert!(is_json(text), "{text}");
        }
        for text in ["[[app]]\nrun = \"x\"", "# c\n[[app]]", "", "[app]", "app = []"] {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn how_a_file_is_run_is_told_by_its_beginning() {
        assert_eq!(look("/bin/sh"), Found::Program);
        assert_eq!(look("/"), Found::Directory);
        assert_eq!(look("/nonexistent"), Found::Nothing);
        assert_eq!(look("/dev/null"), Found::Nothing);
        let base = std::env::temp_dir().join(format!("stead-foreign-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let cases = [
            ("#!/usr/bin/env node\n", Found::NodeText),
            ("#!/bin/sh\nnode x", Found::Program),
            ("let a", Found::NodeText),
        ];
        for (n, (text, found)) in cases.into_iter().enumerate() {
            let path = base.join(n.to_string());
            std::fs::write(&path, text).unwrap();
            assert_eq!(look(path.to_str().unwrap()), found, "{text}");
        }
        std::fs::remove_dir_all(base).unwrap();
    }
}
