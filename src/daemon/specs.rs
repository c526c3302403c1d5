//! From what somebody sends to specs that can run on this host.
//! Owns: whose eyes a caller's paths are looked at with. Never: runs on the daemon's task; look-ups may block.

use std::collections::BTreeMap;
use std::path::Path;

use super::account;
use super::asks::Sound;
use super::environment::PATH;
use crate::api::{Caller, File, RawApp, Refusal};
use crate::config::{self, Authority, Context, Source};
use crate::model::spec::{AppSpec, Identity};
use crate::sys::{identity, listener, priority, rlimit};

/// What a config is read with.
pub(super) struct About<'a> {
    pub authority: Authority,
    /// Whom an app runs as that does not say.
    pub user: Option<&'a str>,
    pub base_dir: &'a str,
    pub profile: Option<&'a str>,
}

impl<'a> About<'a> {
    pub fn context(&'a self) -> Context<'a> {
        Context {
            authority: self.authority,
            default_user: self.user,
            base_dir: self.base_dir,
            cpus: priority::cpus(),
            unprivileged_port_start: listener::unprivileged_port_start(),
            profile: self.profile,
            lookup: &|name| PATH.split(':').map(|dir| format!("{dir}/{name}")).find(|path| is_file(path)),
            is_file: &is_file,
        }
    }
}

fn is_file(path: &str) -> bool {
    Path::new(path).is_file()
}

/// The names by which specs may call a user.
pub(super) fn user_of(caller: Caller) -> Result<String, Refusal> {
    match identity::user_by_id(caller.uid) {
        Ok(Some(user)) => Ok(user.name),
        Ok(None) => Ok(caller.uid.to_string()),
        Err(e) => Err(Refusal::Unavailable(format!("cannot look up uid {}: {e}", caller.uid))),
    }
}

/// Works with the caller's eyes: whether a file is there is told to nobody who could not see it.
fn as_caller<T: Send>(caller: Caller, work: impl FnOnce(&str) -> Result<T, Refusal> + Send) -> Result<T, Refusal> {
    let user = user_of(caller)?;
    if caller.uid == 0 {
        return work(&user);
    }
    let account = account::resolve(&Identity { user: user.clone(), group: None, groups: None });
    let account = account.map_err(Refusal::Permission)?;
    let cannot = |e: std::io::Error| Refusal::Unavailable(format!("cannot look as {user}: {e}"));
    identity::as_user(account.uid, account.gid, &account.groups, || work(&user)).map_err(cannot)?
}

fn authority(caller: Caller) -> Authority {
    if caller.uid == 0 { Authority::Root } else { Authority::Owner }
}

/// The specs, and whom each app runs as, if all of them can run here.
pub(super) fn check(specs: Result<Vec<AppSpec>, Refusal>) -> Result<Sound, Refusal> {
    let specs = specs?;
    let accounts = account::check(&specs).map_err(|problems| Refusal::Config(problems.join("\n")))?;
    Ok((specs, accounts))
}

/// A caller's apps, in which the caller's side has made names absolute.
pub(super) fn resolve(apps: &[RawApp], caller: Caller) -> Result<Vec<AppSpec>, Refusal> {
    as_caller(caller, |user| {
        let about = About { authority: authority(caller), user: Some(user), base_dir: "/", profile: None };
        let specs = resolve_all(apps, &Context { lookup: &|_| None, ..about.context() })?;
        within_our_limits(specs, caller)
    })
}

/// The apps of a file that a caller has sent. What it names is looked for where the daemon looks.
pub(super) fn load(file: &File, caller: Caller) -> Result<Vec<AppSpec>, Refusal> {
    if !file.base_dir.starts_with('/') {
        return Err(Refusal::Argument(format!("base_dir = \"{}\": it must be an absolute path", file.base_dir)));
    }
    let source = Source::from_bytes(file.name.clone(), file.content.clone().into_bytes());
    let source = source.map_err(|errors| Refusal::Config(errors.to_string()))?;
    as_caller(caller, |user| {
        let profile = file.profile.as_deref();
        let about = About { authority: authority(caller), user: Some(user), base_dir: &file.base_dir, profile };
        let specs = config::load(source, &about.context()).map_err(|errors| Refusal::Config(errors.to_string()))?;
        within_our_limits(specs, caller)
    })
}

/// A limit is set before the app becomes its user, by a process that may set any: nobody but root gets more by it than
/// the daemon has itself.
fn within_our_limits(specs: Vec<AppSpec>, caller: Caller) -> Result<Vec<AppSpec>, Refusal> {
    if caller.uid == 0 {
        return Ok(specs);
    }
    let mut problems = Vec::new();
    for spec in &specs {
        for (name, (_, wanted)) in &spec.process.rlimits {
            let ours = rlimit::resource(name).and_then(|resource| rlimit::hard(resource).ok()).unwrap_or(0);
            if ours != rlimit::INFINITY && wanted.is_none_or(|wanted| wanted > ours) {
                problems.push(format!(
                    "{}: `rlimits`: only root may set {name} above {ours}: set less, or have root start the app",
                    spec.name
                ));
            }
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(Refusal::Config(problems.join("\n"))) }
}

fn resolve_all(apps: &[RawApp], context: &Context<'_>) -> Result<Vec<AppSpec>, Refusal> {
    let mut specs = BTreeMap::new();
    let mut problems = Vec::new();
    for raw in apps {
        match config::resolve(raw, None, context) {
            Ok(spec) => match specs.entry(spec.name.clone()) {
                std::collections::btree_map::Entry::Occupied(_) => {
                    problems.push(format!("app {} is given twice", spec.name))
                }
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(spec)),
            },
            Err(errors) => problems.push(errors.to_string()),
        }
    }
    if apps.is_empty() {
        problems.push("no app is given".to_owned());
    }
    if problems.is_empty() { Ok(specs.into_values().collect()) } else { Err(Refusal::Config(problems.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_gets_no_limit_that_the_daemon_has_not_itself() {
        let nofile = rlimit::hard(rlimit::resource("nofile").unwrap()).unwrap();
        let file = |limit: &str| File {
            name: "a.toml".to_owned(),
            content: format!("[[app]]\nname = \"a\"\nrun = [\"/bin/true\"]\nrlimits = {{ nofile = {limit} }}"),
            base_dir: "/".to_owned(),
            profile: None,
        };
        let specs = |limit: &str| load(&file(limit), Caller { uid: 0 }).unwrap();
        let more = (nofile + 1).to_string();
        let refusal = within_our_limits(specs(&more), Caller { uid: 1000 }).unwrap_err().to_string();
        assert!(refusal.contains(&format!("only root may set nofile above {nofile}")), "{refusal}");
        assert!(within_our_limits(specs("\"infinity\""), Caller { uid: 1000 }).is_err());
        assert!(within_our_limits(specs(&nofile.to_string()), Caller { uid: 1000 }).is_ok());
        assert!(within_our_limits(specs(&more), Caller { uid: 0 }).is_ok());
    }
}
