//! Apps to start: files and flags, resolved with the caller's PATH, directory and rights.
//! Owns: what the caller's machine answers while a config is resolved, and the checks that need the machine: users and
//! directories. The daemon resolves once more, from absolute paths only, and has the last word.

use std::cell::{OnceCell, RefCell};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::caller::{Caller, login_path};
use super::exit::{Failure, Result};
use super::flags::KeyFlags;
use super::read;
use super::session::Session;
use crate::config::raw::{RawApp, Value};
use crate::config::resolve::{Authority, Context, load, resolve, resolve_file};
use crate::config::{parse_toml, to_raw};
use crate::model::spec::AppSpec;

/// `--env`: variables, and at most one profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvFlags {
    pub variables: Vec<(String, String)>,
    pub profile: Option<String>,
}

impl EnvFlags {
    /// `K=V` sets a variable, a bare name selects a profile.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut flags = Self::default();
        for text in texts {
            match text.split_once('=') {
                Some(("", _)) => {
                    return Err(Failure::usage(format!("--env \"{text}\": a variable has a name before \"=\"")));
                }
                Some((name, value)) => flags.variables.push((name.to_owned(), value.to_owned())),
                None if flags.profile.is_some() => {
                    return Err(Failure::usage("--env selects two profiles: give one, and variables as K=V"));
                }
                None => flags.profile = Some(text.clone()),
            }
        }
        Ok(flags)
    }
}

/// What flags add to the apps of a file, or to the one of a target.
#[derive(Debug, Default)]
pub struct Additions<'a> {
    pub keys: Option<&'a KeyFlags>,
    pub env: EnvFlags,
    /// None: nothing is inherited. Empty: everything.
    pub inherit: Option<&'a [String]>,
    pub args: &'a [String],
}

impl Additions<'_> {
    fn is_empty(&self) -> bool {
        self.keys.is_none_or(|keys| keys.values.is_empty())
            && self.env.variables.is_empty()
            && self.inherit.is_none()
            && self.args.is_empty()
    }

    fn apply(&self, app: &mut RawApp) -> Result {
        for (key, value) in self.keys.iter().flat_map(|keys| &keys.values) {
            app.set(key, value.clone());
        }
        for (name, value) in &self.env.variables {
            app.set_env(name, value);
        }
        if !self.args.is_empty() {
            app.set("args", Value::texts(self.args));
        }
        let Some(names) = self.inherit else { return Ok(()) };
        if names.is_empty() {
            for (name, value) in std::env::vars_os() {
                // What is not UTF-8 cannot stand in a config; sudo's and stead's own variables are about this command.
                if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
                    && !name.starts_with("SUDO_")
                    && !name.starts_with("STEAD_")
                    && name != "_"
                {
                    app.inherit_env(&name, &value);
                }
            }
        }
        for name in names {
            match std::env::var(name) {
                Ok(value) => app.inherit_env(name, &value),
                Err(error) => return Err(Failure::usage(format!("--inherit-env={name}: {error}"))),
            }
        }
        Ok(())
    }
}

/// The caller's machine, as far as a config asks for it.
#[derive(Debug)]
pub struct Machine<'a> {
    caller: &'a Caller,
    path: String,
    login: OnceCell<Option<String>>,
    /// What the person should know, such as which node was taken.
    notes: RefCell<Vec<String>>,
}

impl<'a> Machine<'a> {
    pub fn new(caller: &'a Caller) -> Self {
        // The PATH that login(1) gives root where there is none.
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin".into());
        Self { caller, path, login: OnceCell::new(), notes: RefCell::default() }
    }

    /// A program by its bare name: in the caller's PATH, then, under sudo, in that of the person's login shell, since
    /// sudo has put its own in place of it.
    pub fn program(&self, name: &str) -> Option<String> {
        if let Some(found) = search(&self.path, name) {
            return Some(found);
        }
        let user = self.caller.sudo_user.as_deref()?;
        let login = self.login.get_or_init(|| login_path(user)).as_deref()?;
        let found = search(login, name)?;
        let note = format!("{name} is {found}, from the login shell of {user}");
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
        Some(found)
    }

    /// Says what was noted, once.
    pub fn say_notes(&self, session: &Session) {
        for note in self.notes.borrow_mut().drain(..) {
            session.talk.note(&note);
        }
    }

    fn resolving<T>(&self, base: &Path, profile: Option<&str>, work: impl FnOnce(&Context<'_>) -> T) -> Result<T> {
        let base_dir = base
            .to_str()
            .ok_or_else(|| Failure::config(format!("the directory {} has a name that is not UTF-8", base.display())))?;
        let default_user = self.caller.default_user();
        Ok(work(&Context {
            authority: if self.caller.root { Authority::Root } else { Authority::Owner },
            default_user: Some(&default_user),
            base_dir,
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            profile,
            lookup: &|name| self.program(name),
            is_file: &|path| Path::new(path).is_file(),
        }))
    }

    /// Every app of a file, with what flags add to each.
    pub fn file(&self, path: &Path, additions: &Additions<'_>) -> Result<Vec<AppSpec>> {
        let source = read::source(path)?;
        let base = absolute_parent(path)?;
        let profile = additions.env.profile.as_deref();
        let specs = if additions.is_empty() {
            // Errors of the text and of the apps in one run.
            self.resolving(&base, profile, |context| load(source, context))?
        } else {
            let mut file = parse_toml(source).map_err(|errors| read::config(&errors))?;
            let named = additions.keys.is_some_and(|keys| keys.values.iter().any(|(key, _)| key == "name"));
            if file.apps.len() > 1 && (named || !additions.args.is_empty()) {
                let what = if named { "--name" } else { "arguments after --" };
                return Err(Failure::usage(format!(
                    "{what} cannot be for all {} apps of {}: write it in the file",
                    file.apps.len(),
                    path.display()
                )));
            }
            for app in &mut file.apps {
                additions.apply(app)?;
            }
            self.resolving(&base, profile, |context| resolve_file(&file, context))?
        };
        let specs = specs.map_err(|errors| read::config(&errors))?;
        check_host(&specs, &path.display().to_string())?;
        Ok(specs)
    }

    /// One app from a script, a program or a command line.
    pub fn target(&self, run: &str, additions: &Additions<'_>) -> Result<AppSpec> {
        if let Some(profile) = &additions.env.profile {
            return Err(Failure::usage(format!(
                "--env {profile} selects a profile, and profiles are a config file's: write K=V to set a variable"
            )));
        }
        let directory = std::env::current_dir()
            .map_err(|error| Failure::failed(format!("cannot tell the current directory: {error}")))?;
        let mut app = RawApp::new([("run".to_owned(), run.into())]);
        additions.apply(&mut app)?;
        let spec = self.resolving(&directory, None, |context| resolve(&app, None, context))?;
        let spec = spec.map_err(|errors| read::config(&errors))?;
        check_host(std::slice::from_ref(&spec), "stead")?;
        Ok(spec)
    }
}

/// For the bus.
pub fn raw(specs: &[AppSpec]) -> Vec<RawApp> {
    specs.iter().map(|spec| RawApp::new(to_raw(spec))).collect()
}

fn absolute_parent(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)
        .map_err(|error| Failure::failed(format!("cannot tell where {} is: {error}", path.display())))?;
    Ok(path.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf))
}

/// Relative directories in PATH are passed over: what they mean changes with every `cd`.
fn search(path: &str, name: &str) -> Option<String> {
    path.split(':').filter(|directory| directory.starts_with('/')).find_map(|directory| {
        let file = format!("{}/{name}", directory.trim_end_matches('/'));
        let metadata = std::fs::metadata(&file).ok()?;
        (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then_some(file)
    })
}

/// What a spec names that this host must have. Everything that is missing is said at once.
fn check_host(specs: &[AppSpec], source: &str) -> Result {
    let mut wrong = Vec::new();
    for spec in specs {
        let mut fault = |key: &str, problem: String| wrong.push(format!("{source}: {}: `{key}`: {problem}", spec.name));
        if !is_user(&spec.identity.user) {
            fault("user", format!("no user \"{}\" on this host", spec.identity.user));
        }
        for group in spec.identity.group.iter().chain(spec.identity.groups.iter().flatten()) {
            if !is_group(group) {
                fault("group", format!("no group \"{group}\" on this host"));
            }
        }
        if !Path::new(&spec.cwd).is_dir() {
            fault("cwd", format!("no directory {}", spec.cwd));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::config(wrong.join("\n"))) }
}

/// A number needs no entry: containers run as such.
fn is_user(user: &str) -> bool {
    user.parse::<u32>().map(Uid::from_raw).is_ok() || matches!(User::from_name(user), Ok(Some(_)))
}

fn is_group(group: &str) -> bool {
    group.parse::<u32>().map(Gid::from_raw).is_ok() || matches!(Group::from_name(group), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(texts: &[&str]) -> Result<EnvFlags> {
        EnvFlags::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn env_takes_variables_and_one_profile() {
        let flags = env(&["A=1", "production", "B=x=y", "C="]).unwrap();
        let variables = [("A", "1"), ("B", "x=y"), ("C", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!((flags.variables, flags.profile.as_deref()), (variables.to_vec(), Some("production")));
        assert!(env(&["a", "b"]).is_err());
        assert!(env(&["=x"]).is_err());
    }

    #[test]
    fn a_program_is_looked_for_in_absolute_directories_only() {
        assert_eq!(search("bin:/nonexistent:/bin/", "sh").as_deref(), Some("/bin/sh"));
        assert_eq!(search(".:", "sh"), None);
    }
}
