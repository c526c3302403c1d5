//! Apps to start: files and flags, resolved with the caller's PATH, directory and rights.
//! Owns: what the caller's machine answers while a config is resolved, and the checks that need the machine: users and
//! directories. The daemon resolves once more, from absolute paths only, and has the last word.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};

use super::caller::{Caller, login_path};
use super::exit::{Failure, Result};
use super::flags::KeyFlags;
use super::foreign::{self, Foreign, Inherit, Read};
use super::person::{self, Person};
use super::read;
use super::session::Session;
use crate::config::ecosystem::legal_name;
use crate::config::fields::RESERVED;
use crate::config::host::{self, Host, Missing, Named};
use crate::config::raw::{RawApp, Value};
use crate::config::resolve::{Authority, Context};
use crate::config::source::Source;
use crate::config::{Errors, File, parse_toml, to_raw};
use crate::model::listen::Listen;
use crate::model::spec::{AppSpec, Identity};

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
    /// `--only`: these apps of a file. Empty: all.
    pub only: &'a [String],
    /// They are to be started, and what PM2 makes for them is to be made.
    pub starts: bool,
}

impl Additions<'_> {
    fn is_empty(&self) -> bool {
        self.keys.is_none_or(|keys| keys.values.is_empty())
            && self.env.variables.is_empty()
            && self.inherit.is_none()
            && self.args.is_empty()
    }

    /// Applies to each app of a file what can be for several.
    fn apply_to<'r>(&self, apps: impl ExactSizeIterator<Item = &'r mut RawApp>, path: &Path) -> Result {
        let named = self.keys.is_some_and(|keys| keys.values.iter().any(|(key, _)| key == "name"));
        if apps.len() > 1 && (named || !self.args.is_empty()) {
            let what = if named { "--name" } else { "arguments after --" };
            return Err(Failure::usage(format!(
                "{what} cannot be for all {} apps of {}: write it in the file",
                apps.len(),
                path.display()
            )));
        }
        apps.into_iter().try_for_each(|app| self.apply(app))
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
                // What is not UTF-8 cannot stand in a config; sudo's and stead's own variables are about this command,
                // and what every app gets of stead is not inherited.
                if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
                    && !name.starts_with("SUDO_")
                    && !name.starts_with("STEAD_")
                    && !RESERVED.contains(&name.as_str())
                    && name != "_"
                {
                    app.inherit_env(&name, &value);
                }
            }
        }
        for name in names {
            match std::env::var(name) {
                Ok(value) => app.inherit_env(name, &value),
                Err(std::env::VarError::NotPresent) => {
                    return Err(Failure::usage(format!(
                        "--inherit-env={name}: your environment has no such variable: set it, or leave the name out"
                    )));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Failure::usage(format!("--inherit-env={name}: its value is not UTF-8 text")));
                }
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

    /// A program by its bare name, whoever will run it.
    pub fn program(&self, name: &str) -> Option<String> {
        self.program_for(name, None)
    }

    /// A program by its bare name: in the caller's PATH, then, under sudo, in that of the person's login shell, since
    /// sudo has put its own in place of it. What the app's user may not execute, as node in root's home, is passed over;
    /// where there is nothing else it is taken all the same, for the error that says so.
    pub(super) fn program_for(&self, name: &str, user: Option<&Person>) -> Option<String> {
        let may = |file: &str| user.is_none_or(|user| user.may_execute(Path::new(file)));
        if let Some(found) = search(&self.path, name).find(|file| may(file)) {
            return Some(found);
        }
        self.program_of_login(name, &may).or_else(|| search(&self.path, name).next())
    }

    fn program_of_login(&self, name: &str, may: &dyn Fn(&str) -> bool) -> Option<String> {
        let user = self.caller.sudo_user.as_deref()?;
        let login = self.login.get_or_init(|| login_path(user)).as_deref()?;
        let found = search(login, name).find(|file| may(file))?;
        let note = format!("{name} is {found}, from the login shell of {user}");
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
        Some(found)
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        self.caller
    }

    /// The PATH of the person's login shell, if it had to be asked for: then ours is not theirs.
    pub fn login_path(&self) -> Option<&str> {
        self.login.get()?.as_deref()
    }

    /// Something the person should know when all is read.
    pub fn note(&self, note: String) {
        self.notes.borrow_mut().push(note);
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
            unprivileged_port_start: unprivileged_port_start(),
            profile,
            // Not asked: the host answers, who knows the app's user too.
            lookup: &|_| None,
            is_file: &|path| Path::new(path).is_file(),
        }))
    }

    /// The apps of a file, with what flags add to each.
    pub fn file(&self, path: &Path, additions: &Additions<'_>) -> Result<Vec<AppSpec>> {
        let profile = additions.env.profile.as_deref();
        match foreign::read(self, path, profile, Inherit::Environment)? {
            Read::Toml(source) => {
                let name = source.name.clone();
                let specs = self.toml(source, path, additions)?;
                let names: Vec<_> = specs.iter().map(|spec| vec![spec.name.to_string()]).collect();
                only(specs, names.iter().map(Vec::as_slice), additions.only, &name)
            }
            Read::Foreign(mut file) => {
                additions.apply_to(file.imported.apps.iter_mut().map(|app| &mut app.raw), path)?;
                let specs = self.foreign_with(&file, additions)?;
                let specs = only(specs, file.names(), additions.only, &file.name)?;
                if additions.starts {
                    foreign::make_log_directories(&file, &specs)?;
                }
                Ok(specs)
            }
        }
    }

    fn toml(&self, source: Source, path: &Path, additions: &Additions<'_>) -> Result<Vec<AppSpec>> {
        let base = absolute_parent(path)?;
        let profile = additions.env.profile.as_deref();
        let specs = if additions.is_empty() {
            // Errors of the text and of the apps in one run.
            self.resolving(&base, profile, |context| host::load(source, context, self))?
        } else {
            let mut file = parse_toml(source).map_err(|errors| read::config(&errors))?;
            additions.apply_to(file.apps.iter_mut(), path)?;
            self.resolving(&base, profile, |context| host::resolve_file(&file, context, self))?
        };
        specs.map_err(|errors| read::config(&with_flags(errors, additions)))
    }

    /// The apps of a file of PM2 or FinalPM as they stand there.
    pub fn foreign(&self, file: &Foreign, profile: Option<&str>) -> Result<Vec<AppSpec>> {
        let env = EnvFlags { profile: profile.map(str::to_owned), ..EnvFlags::default() };
        self.foreign_with(file, &Additions { env, ..Additions::default() })
    }

    fn foreign_with(&self, file: &Foreign, additions: &Additions<'_>) -> Result<Vec<AppSpec>> {
        let apps = file.imported.apps.iter().map(|app| app.raw.clone()).collect();
        let parsed = File { source: Source::new(file.name.clone(), ""), apps };
        let profile = additions.env.profile.as_deref();
        let host = Foreigners(self);
        let specs = self.resolving(&file.base, profile, |context| host::resolve_file(&parsed, context, &host))?;
        specs.map_err(|errors| read::config(&file.imported.in_its_words(with_flags(errors, additions), &file.name)))
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
        let spec = self.resolving(&directory, None, |context| host::resolve(&app, context, self))?;
        spec.map_err(|errors| read::config(&with_flags(errors, additions)))
    }
}

/// Those of a file's apps that `--only` names, each known by one or more names.
pub fn only<'n, T>(
    apps: Vec<T>,
    names: impl Iterator<Item = &'n [String]> + Clone,
    only: &[String],
    file: &str,
) -> Result<Vec<T>> {
    let only: Vec<&str> = only.iter().flat_map(|names| names.split_whitespace()).collect();
    // A name with a space in it was split, too, as PM2 does.
    let is = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted || legal_name(name) == wanted);
    if let Some(unknown) = only.iter().find(|wanted| !names.clone().any(|names| is(names, wanted))) {
        let known: Vec<&str> = names.filter_map(|names| names.first()).map(String::as_str).collect();
        return Err(Failure::usage(format!("--only {unknown}: no such app in {file}, which has {}", known.join(", "))));
    }
    let wanted = |names: &[String]| only.is_empty() || only.iter().any(|wanted| is(names, wanted));
    Ok(apps.into_iter().zip(names).filter_map(|(app, names)| wanted(names).then_some(app)).collect())
}

/// The first port that anybody may bind (ip(7)); 1024 before Linux 4.11.
fn unprivileged_port_start() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
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
fn search<'a>(path: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    path.split(':').filter(|directory| directory.starts_with('/')).filter_map(move |directory| {
        let file = format!("{}/{name}", directory.trim_end_matches('/'));
        person::is_program(Path::new(&file)).then_some(file)
    })
}

/// What came from a flag is called by the flag's name: it stands in no file, and the app's name says nothing of it.
fn with_flags(mut errors: Errors, additions: &Additions<'_>) -> Errors {
    for error in errors.0.iter_mut().filter(|error| error.place.is_none()) {
        let key = error.key.as_deref().unwrap_or_default();
        if additions.keys.iter().flat_map(|keys| &keys.values).any(|(given, _)| given == key) {
            error.problem = format!("--{}: {}", key.replace('_', "-"), error.problem);
            (error.app, error.key) = (None, None);
        }
    }
    errors
}

impl Host for Machine<'_> {
    fn program(&self, name: &str, identity: &Identity) -> Option<String> {
        self.program_for(name, Person::of(identity).as_ref())
    }

    fn missing(&self, named: &Named<'_>) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut fault = |key, problem, mend| missing.push(Missing { key, problem, mend });
        let Identity { user, group, groups } = named.identity;
        // An app that must say its user and does not has been told so.
        if !user.is_empty() && !person::is_user(user) {
            fault("user", format!("no user \"{user}\" on this host"), "add it, or name another");
        }
        let one = group.iter().map(|group| ("group", group));
        let all = one.chain(groups.iter().flatten().map(|group| ("groups", group)));
        for (key, group) in all.filter(|(_, group)| !person::is_group(group)) {
            fault(key, format!("no group \"{group}\" on this host"), "add it, or name another");
        }
        if let Some(cwd) = named.cwd.filter(|cwd| !Path::new(cwd).is_dir()) {
            fault("cwd", format!("no directory {cwd}"), "make it, or name another");
        }
        if let Some(file) = named.env_file {
            match std::fs::metadata(file) {
                Ok(found) if found.is_dir() => {
                    fault("env_file", format!("{file} is a directory"), "name a file of NAME=value lines");
                }
                Ok(_) => {}
                Err(error) => {
                    fault("env_file", format!("cannot read {file}: {error}"), "write it, or leave the key out")
                }
            }
        }
        for (key, file) in [("out_file", named.out_file), ("error_file", named.error_file)] {
            let directory = file.and_then(|file| Path::new(file).parent()).filter(|directory| !directory.is_dir());
            if let Some(directory) = directory {
                fault(
                    key,
                    format!("no directory {}", directory.display()),
                    "make it: the app's user must be able to write there",
                );
            }
        }
        for listen in named.listen {
            let Listen::Path(path) = listen else { continue };
            if let Some(directory) = Path::new(path).parent().filter(|directory| !directory.is_dir()) {
                let problem = format!("no directory {} for {path}", directory.display());
                fault("listen", problem, "make it: the app's user must be able to write there");
            }
        }
        missing
    }
}

/// The machine, as PM2's apps see it: directories for their logs are made when they start.
struct Foreigners<'a>(&'a Machine<'a>);

impl Host for Foreigners<'_> {
    fn program(&self, name: &str, identity: &Identity) -> Option<String> {
        Host::program(self.0, name, identity)
    }

    fn missing(&self, named: &Named<'_>) -> Vec<Missing> {
        self.0.missing(&Named { out_file: None, error_file: None, ..*named })
    }
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
        assert_eq!(search("bin:/nonexistent:/bin/", "sh").next().as_deref(), Some("/bin/sh"));
        assert_eq!(search(".:", "sh").next(), None);
    }
}
