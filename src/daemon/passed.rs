//! The sockets of `listen`: which there are, who is given which, and when they go.
//! Owns: the names under which the holder keeps them, and the order in which they are made and removed, one at a time.
//! Never: keeps a copy of a socket: a listener is closed only when its last copy is, and until then connections to a dead
//! app wait in its queue.
//!
//! A socket is there as long as its instance has a run, or has one coming: over restarts and crashes, and not after a
//! stop, since who is turned away can go elsewhere and who waits in a queue cannot. It belongs to one slot of the app;
//! that of a path to all, since a path cannot be shared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;

use super::account::Account;
use super::asks::Checked;
use super::driver::Driver;
use super::executor::Executor;
use super::link::Link;
use super::sockets::{self, Others, Rights, Trouble};
use super::told::Told;
use crate::api::Refusal;
use crate::model::ids::{AppName, InstanceId, ProcId, Run};
use crate::model::listen::Listen;
use crate::model::spec::AppSpec;
use crate::sys::listener::{self, Node};

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    app: AppName,
    /// None: of all slots.
    slot: Option<u32>,
    listen: Listen,
}

/// The holder keeps `listen/<app>/<slot>/<address>`, and `-` for a slot where the socket is of all.
const PREFIX: &str = "listen/";

impl Key {
    fn of(instance: &InstanceId, listen: &Listen) -> Self {
        let slot = listen.port().map(|_| instance.slot.0);
        Self { app: instance.app.clone(), slot, listen: listen.clone() }
    }

    pub fn name(&self) -> String {
        let slot = self.slot.map_or_else(|| "-".to_owned(), |slot| slot.to_string());
        format!("{PREFIX}{}/{slot}/{}", self.app, self.listen)
    }

    fn parse(name: &str) -> Option<Self> {
        let (app, rest) = name.strip_prefix(PREFIX)?.split_once('/')?;
        let (slot, listen) = rest.split_once('/')?;
        let slot = if slot == "-" { None } else { Some(slot.parse().ok()?) };
        Some(Self { app: AppName::parse(app).ok()?, slot, listen: Listen::parse(listen).ok()? })
    }
}

/// The names of an instance's sockets, in the order of the spec.
pub fn names_of<'a>(instance: &'a InstanceId, spec: &'a AppSpec) -> impl Iterator<Item = String> + 'a {
    spec.listen.iter().map(|listen| Key::of(instance, listen).name())
}

#[derive(Debug, Default)]
pub struct Passed {
    /// What the holder keeps, and the file of those that have one. None if an earlier daemon made it.
    kept: BTreeMap<Key, Option<File>>,
    /// Something was kept for a request that may have come to nothing.
    unsure: bool,
    busy: bool,
    waiting: VecDeque<Job>,
}

/// The file of a path's socket, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct File {
    node: Node,
    uid: u32,
    gid: u32,
}

/// Sockets to be made or removed, and what waits for that.
#[derive(Debug)]
struct Job {
    make: Vec<Want>,
    remove: Vec<(String, Option<File>)>,
    then: Then,
}

#[derive(Debug)]
struct Want {
    key: Key,
    account: Account,
    rights: Rights,
}

#[derive(Debug)]
enum Then {
    Deploy(Box<Checked>),
    Spawn(Run),
    Nothing,
}

/// A job done. All of its sockets were made, or none.
#[derive(Debug)]
pub struct Made {
    outcome: Result<Vec<Socket>, Vec<Refused>>,
    then: Then,
}

/// On its way to the holder.
#[derive(Debug)]
struct Socket {
    key: Key,
    fd: OwnedFd,
    file: Option<File>,
}

#[derive(Debug)]
struct Refused {
    key: Key,
    why: Why,
}

#[derive(Debug)]
enum Why {
    App(AppName),
    Trouble(Trouble),
}

impl Passed {
    /// Takes over what the holder has kept for a daemon before us.
    pub fn found(stored: &[String]) -> Self {
        let kept = stored.iter().filter_map(|name| Key::parse(name)).map(|key| (key, None)).collect();
        Self { kept, ..Self::default() }
    }

    fn missing(&self, instance: &InstanceId, spec: &AppSpec) -> Vec<Key> {
        let keys = spec.listen.iter().map(|listen| Key::of(instance, listen));
        keys.filter(|key| !self.kept.contains_key(key)).collect()
    }

    /// Drops the sockets of paths that were made for another user or group than the app has now. Their files are to be
    /// removed.
    fn disown(
        &mut self,
        instance: &InstanceId,
        spec: &AppSpec,
        account: &Account,
        link: &mut Link,
    ) -> Vec<(String, Option<File>)> {
        let keys = spec.listen.iter().map(|listen| Key::of(instance, listen));
        let is_others = |file: &File| (file.uid, file.gid) != (account.uid, account.gid);
        let others = keys.filter(|key| self.kept.get(key).is_some_and(|file| file.as_ref().is_some_and(is_others)));
        let mut files = Vec::new();
        for key in others.collect::<Vec<_>>() {
            files.extend(self.forget(key, link));
        }
        files
    }

    /// Lets go of a socket; its file, if it has one, is to be removed.
    fn forget(&mut self, key: Key, link: &mut Link) -> Option<(String, Option<File>)> {
        link.take_back(key.name());
        let file = self.kept.remove(&key).flatten();
        path_of(key.listen).map(|path| (path, file))
    }

    /// Addresses that an app has no socket for in any slot, each with the first slot's key.
    fn new_addresses(&self, spec: &AppSpec) -> Vec<Key> {
        let has = |listen: &Listen| self.kept.keys().any(|key| key.app == spec.name && key.listen == *listen);
        let first = InstanceId { app: spec.name.clone(), slot: crate::model::ids::Slot(0) };
        spec.listen.iter().filter(|listen| !has(listen)).map(|listen| Key::of(&first, listen)).collect()
    }
}

impl Executor {
    /// Whether a run has all its sockets. If not, they are being made, and `launch` follows by itself.
    pub(super) fn has_sockets(&mut self, run: Run, account: &Account, link: &mut Link) -> bool {
        let Some(live) = self.runs.get(&run) else { return true };
        let (instance, spec) = (&live.proc.instance, &live.spec);
        let remove = self.passed.disown(instance, spec, account, link);
        let missing = self.passed.missing(instance, spec);
        if missing.is_empty() {
            return true;
        }
        // Whoever started the app was asked for the rights when it was deployed.
        let want = |key| Want { key, account: account.clone(), rights: Rights::Root };
        let make = missing.into_iter().map(want).collect();
        self.passed.waiting.push_back(Job { make, remove, then: Then::Spawn(run) });
        self.make_sockets();
        false
    }

    /// One socket for each new address before anything is touched, so that an address that cannot be had costs nothing.
    /// The job, if there is anything to make.
    pub(super) fn try_addresses(&mut self, checked: Checked) -> Option<Checked> {
        let Ok((specs, accounts)) = &checked.specs else { return Some(checked) };
        let mut make = Vec::new();
        for spec in specs {
            let Some((.., account)) = accounts.iter().find(|(app, ..)| *app == spec.name) else { continue };
            let keys = self.passed.new_addresses(spec).into_iter();
            make.extend(keys.map(|key| Want { key, account: account.clone(), rights: checked.rights }));
        }
        if make.is_empty() {
            return Some(checked);
        }
        self.passed.waiting.push_back(Job { make, remove: Vec::new(), then: Then::Deploy(Box::new(checked)) });
        self.make_sockets();
        None
    }

    /// Begins the next job, if none is under way: two that made the same path at once would each take the other's for a
    /// stale one.
    fn make_sockets(&mut self) {
        if self.passed.busy {
            return;
        }
        let Some(job) = self.passed.waiting.pop_front() else { return };
        self.passed.busy = true;
        let kept: Vec<Key> = self.passed.kept.keys().cloned().collect();
        let base = self.tree.path().map(str::to_owned);
        let tell = self.tell.clone();
        tokio::task::spawn_blocking(move || {
            for (path, file) in &job.remove {
                remove(path, *file);
            }
            let outcome = make_all(&job.make, &kept, base);
            let _ = tell.send(Told::Made(Box::new(Made { outcome, then: job.then })));
        });
    }

    /// The files of all sockets, at the end of the daemon and the holder.
    pub(super) fn remove_socket_files(&mut self) {
        let kept = std::mem::take(&mut self.passed.kept);
        let kept = kept.into_iter().map(|(key, file)| (key.listen, file));
        let waiting = self.passed.waiting.drain(..).flat_map(|job| job.remove);
        for (path, file) in kept.filter_map(|(listen, file)| Some((path_of(listen)?, file))).chain(waiting) {
            remove(&path, file);
        }
    }
}

fn path_of(listen: Listen) -> Option<String> {
    match listen {
        Listen::Path(path) => Some(path),
        Listen::Port(_) | Listen::Address(_) => None,
    }
}

fn remove(path: &str, file: Option<File>) {
    if let Err(error) = sockets::remove(path, file.map(|file| file.node)) {
        tracing::warn!("the socket {path} cannot be removed: {error}");
    }
}

fn make_all(wanted: &[Want], kept: &[Key], base: Option<String>) -> Result<Vec<Socket>, Vec<Refused>> {
    let mut made: Vec<Socket> = Vec::new();
    let mut refused = Vec::new();
    let others = Others::new(base.clone());
    // A job before this one may have made it.
    for Want { key, account, rights } in wanted.iter().filter(|want| !kept.contains(&want.key)) {
        let ours = kept.iter().chain(made.iter().map(|socket| &socket.key));
        let (siblings, strangers): (Vec<&Key>, Vec<&Key>) =
            ours.filter(|other| other.listen.overlaps(&key.listen)).partition(|other| other.app == key.app);
        if let Some(other) = strangers.first() {
            refused.push(Refused { key: key.clone(), why: Why::App(other.app.clone()) });
            continue;
        }
        let bound = match &key.listen {
            Listen::Path(path) => sockets::make_path(path, account, *rights, base.as_deref())
                .map(|(fd, node)| (fd, Some(File { node, uid: account.uid, gid: account.gid }))),
            // The port is the app's already, and its sockets may be on their way to the holder, in nobody's hands.
            listen if siblings.is_empty() => sockets::make_tcp(listen, &others).map(|fd| (fd, None)),
            listen => sockets::share_tcp(listen, &others).map(|fd| (fd, None)),
        };
        match bound.and_then(|(fd, file)| listener::listen(&fd).map(|()| (fd, file)).map_err(Trouble::Kernel)) {
            Ok((fd, file)) => made.push(Socket { key: key.clone(), fd, file }),
            Err(trouble) => refused.push(Refused { key: key.clone(), why: Why::Trouble(trouble) }),
        }
    }
    if refused.is_empty() {
        return Ok(made);
    }
    for Socket { key, fd, file } in made {
        drop(fd);
        if let Some(path) = path_of(key.listen) {
            remove(&path, file);
        }
    }
    Err(refused)
}

impl Driver {
    /// A job is done: the holder gets the sockets, and who waited goes on.
    pub(super) fn made(&mut self, made: Made) {
        self.executor.passed.busy = false;
        let outcome = match made.outcome {
            Ok(sockets) => {
                for Socket { key, fd, file } in sockets {
                    self.link.give(key.name(), fd);
                    self.executor.passed.kept.insert(key, file);
                    self.executor.passed.unsure = true;
                }
                Ok(())
            }
            Err(refused) => Err(refused),
        };
        match (made.then, outcome) {
            (Then::Deploy(checked), Ok(())) => self.deploy(*checked),
            (Then::Deploy(checked), Err(refused)) => {
                let lines: Vec<_> = refused.iter().map(|r| format!("{}: {}", r.key.app, self.sentence(r))).collect();
                let _ = checked.answer.send(Err(Refusal::Config(lines.join("\n"))));
            }
            (Then::Spawn(run), Ok(())) => self.executor.launch(run, &mut self.link, &mut self.queue),
            (Then::Spawn(run), Err(refused)) => {
                let lines: Vec<_> = refused.iter().map(|refused| self.sentence(refused)).collect();
                self.executor.spawn_failed(run, lines.join("; "), &mut self.queue);
            }
            (Then::Nothing, _) => {}
        }
        self.executor.make_sockets();
    }

    fn sentence(&self, Refused { key, why }: &Refused) -> String {
        let why = match why {
            Why::App(app) => format!("app {app} has it: choose another address"),
            Why::Trouble(Trouble::InUse { holder }) if holder.run.is_some() => {
                let live = holder.run.and_then(|run| self.executor.runs.get(&run));
                match live.map(|live| &live.proc.instance) {
                    Some(instance) if instance.app == key.app => {
                        format!("its own {instance} has it, without `listen`: stead stop {} first", key.app)
                    }
                    Some(instance) => format!("{instance} has it: choose another address"),
                    None => format!("{holder} has it: choose another address"),
                }
            }
            Why::Trouble(trouble) => trouble.to_string(),
        };
        format!("cannot listen on {}: {why}", key.listen)
    }

    /// Lets go of every socket whose instance has no run and none coming, and of addresses that no run has any more.
    pub(super) fn drop_sockets(&mut self, changed: bool) {
        let passed = &mut self.executor.passed;
        if passed.kept.is_empty() || !(changed || std::mem::take(&mut passed.unsure)) {
            return;
        }
        let mut needed = BTreeSet::new();
        for proc in self.world.snapshot().apps.iter().flat_map(|app| &app.slots).flat_map(|slot| &slot.procs) {
            let ProcId { instance, .. } = &proc.proc;
            let listens = self.world.spec_of(&proc.proc).into_iter().flat_map(|spec| &spec.listen);
            needed.extend(listens.map(|listen| Key::of(instance, listen)));
        }
        let mut files = Vec::new();
        for key in passed.kept.keys().filter(|key| !needed.contains(key)).cloned().collect::<Vec<_>>() {
            files.extend(passed.forget(key, &mut self.link));
        }
        if !files.is_empty() {
            passed.waiting.push_back(Job { make: Vec::new(), remove: files, then: Then::Nothing });
            self.executor.make_sockets();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holders_name_of_a_socket_says_whose_it_is() {
        let instance = InstanceId { app: AppName::parse("api").unwrap(), slot: crate::model::ids::Slot(2) };
        for (listen, name) in [
            ("127.0.0.1:80", "listen/api/2/127.0.0.1:80"),
            ("8080", "listen/api/2/8080"),
            ("/run/api.sock", "listen/api/-//run/api.sock"),
        ] {
            let key = Key::of(&instance, &Listen::parse(listen).unwrap());
            assert_eq!(key.name(), name);
            assert_eq!(Key::parse(name), Some(key));
        }
        for other in ["notify", "listen/", "listen/api/x/80", "listen/api/2/", "log-record"] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }
}
