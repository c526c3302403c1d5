//! Whom an app runs as, looked up in the user database, and what of its spec can only be checked on this host.
//! Owns: names to numbers, once per request and not per respawn. Never: runs on the daemon's task; lookups may block.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use super::environment;
use crate::model::ids::AppName;
use crate::model::spec::{AppSpec, Identity};
use crate::sys::identity;

/// An environment file larger than this is a mistake.
const ENV_FILE_MAX: u64 = 1024 * 1024;

/// An identity as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
    pub shell: String,
}

/// Looks up a user, its group and its supplementary groups. The error is a sentence.
pub fn resolve(wanted: &Identity) -> Result<Account, String> {
    let found = identity::user(&wanted.user).map_err(|e| format!("cannot look up user {}: {e}", wanted.user))?;
    let user =
        found.ok_or_else(|| format!("there is no user \"{}\" on this host: add it, or change `user`", wanted.user))?;
    let gid_of = |name: &str| {
        identity::group(name)
            .map_err(|e| format!("cannot look up group {name}: {e}"))?
            .ok_or_else(|| format!("there is no group \"{name}\" on this host"))
    };
    let gid = wanted.group.as_deref().map_or(Ok(user.gid), gid_of)?;
    let groups = match &wanted.groups {
        Some(names) => names.iter().map(|name| gid_of(name)).collect::<Result<_, _>>()?,
        None => identity::groups_of(&user.name, gid)
            .map_err(|e| format!("cannot look up the groups of {}: {e}", user.name))?,
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Account { uid: user.uid, gid, groups, home: text(&user.home), shell: text(&user.shell), name: user.name })
}

/// What `env_file` says, read with the rights of the app's user.
pub fn read_env_file(account: &Account, path: &str) -> Result<BTreeMap<String, String>, String> {
    let text = identity::as_user(account.uid, account.gid, &account.groups, || -> std::io::Result<String> {
        // A FIFO must not hold the start up for ever; O_NONBLOCK means nothing to a regular file (open(2)).
        let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        let mut text = String::new();
        file.take(ENV_FILE_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    });
    let text =
        text.and_then(|read| read).map_err(|e| format!("cannot read env_file {path} as {}: {e}", account.name))?;
    if text.len() as u64 > ENV_FILE_MAX {
        return Err(format!("env_file {path} is larger than 1 MiB"));
    }
    environment::parse_file(&text).map_err(|e| format!("env_file {path}, {e}"))
}

/// What can be known before anything is started: each user exists, and finds its program, script, directory and
/// environment file. The accounts, or every problem.
pub fn check(specs: &[AppSpec]) -> Result<Vec<(AppName, Identity, Account)>, Vec<String>> {
    let mut known: Vec<(Identity, Account)> = Vec::new();
    let mut checked = Vec::with_capacity(specs.len());
    let mut problems = Vec::new();
    for spec in specs {
        // Many apps, few users: a look-up may ask the network.
        let account = match known.iter().find(|(identity, _)| *identity == spec.identity) {
            Some((_, account)) => account.clone(),
            None => match resolve(&spec.identity) {
                Ok(account) => account,
                Err(problem) => {
                    problems.push(format!("{}: {problem}", spec.name));
                    continue;
                }
            },
        };
        if known.iter().all(|(identity, _)| *identity != spec.identity) {
            known.push((spec.identity.clone(), account.clone()));
        }
        let found = problems_of(spec, &account);
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", spec.name)));
        checked.push((spec.name.clone(), spec.identity.clone(), account));
    }
    if problems.is_empty() { Ok(checked) } else { Err(problems) }
}

fn problems_of(spec: &AppSpec, account: &Account) -> Vec<String> {
    let seen = match account.uid {
        // What root sees is what this thread sees.
        0 => Ok(look(spec, &account.name)),
        uid => identity::as_user(uid, account.gid, &account.groups, || look(spec, &account.name)),
    };
    let mut problems = seen.unwrap_or_else(|e| vec![format!("cannot act as {}: {e}", account.name)]);
    if let Some(path) = &spec.env_file
        && let Err(problem) = read_env_file(account, path)
    {
        problems.push(problem);
    }
    problems
}

/// Runs with the rights of the app's user.
fn look(spec: &AppSpec, user: &str) -> Vec<String> {
    let mut problems = Vec::new();
    match std::fs::metadata(&spec.cwd) {
        Ok(found) if !found.is_dir() => problems.push(format!("`cwd` {} is not a directory", spec.cwd)),
        Ok(_) => {}
        Err(e) => problems.push(format!("`cwd` {} cannot be used by {user}: {}", spec.cwd, words(&e))),
    }
    if let Some(directory) = spec.pid_file.as_deref().map(|path| Path::new(path).parent().unwrap_or(Path::new("/"))) {
        let rights = AccessFlags::W_OK | AccessFlags::X_OK;
        if let Err(errno) = faccessat(AT_FDCWD, directory, rights, AtFlags::AT_EACCESS) {
            let (directory, why) = (directory.display(), errno.desc());
            problems.push(format!("`pid_file` cannot be made by {user} in {directory}: {why}"));
        }
    }
    match std::fs::metadata(&spec.command.program) {
        Ok(found) if found.is_dir() => problems.push(format!("{} is a directory, not a program", spec.command.program)),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            problems.push(format!("{} is not executable: chmod +x it, or set `interpreter`", spec.command.program));
        }
        Ok(_) => {}
        Err(e) => {
            let denied = e.kind() == ErrorKind::PermissionDenied;
            let mend = match spec.command.script {
                Some(_) if denied => format!(": give `interpreter` a path that {user} may execute"),
                _ => String::new(),
            };
            problems.push(format!("program {} cannot be used by {user}: {}{mend}", spec.command.program, words(&e)));
        }
    }
    if let Some(script) = &spec.command.script
        && let Err(e) = std::fs::File::open(script)
    {
        problems.push(format!("script {script} cannot be read by {user}: {}", words(&e)));
    }
    problems
}

/// The kernel's sentence without Rust's "(os error 2)".
fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "No such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        _ => error.to_string(),
    }
}
