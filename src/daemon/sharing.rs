//! The instances of an app on one port: what the kernel tells of them, and whom it is told to route to.
//! Owns: the way from a listen(2) to a routed socket, and the words where a port cannot be shared.
//! Never: chooses a connection's instance; the kernel does (`balance`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::clock;
use super::executor::{Executor, Live};
use super::left::{Left, hook_name};
use super::link::Link;
use super::news::Line;
use super::probe::{Aim, From};
use super::told::Told;
use super::tree::Tree;
use super::watched::watched;
use crate::balance::group::{Refusal, Turns};
use crate::balance::hooks::{Hooks, News as Heard, Ring};
use crate::balance::object::{Loader, Unable};
use crate::balance::routes::{Place, Relief, Routes};
use crate::core::effect::News;
use crate::core::event::Event;
use crate::model::ids::{AppName, InstanceId, ProcId, Run};
use crate::model::request::{InstanceOutcome, InstanceResult, Outcome};
use crate::model::spec::{AppSpec, Balance};
use crate::sys::{inet_diag, listening};

/// After so many at once the kernel may have had no room for more, and some may be lost.
const FLOOD: usize = 2048;

/// What is said of the ports of one run.
const REMARKS: usize = 8;

/// The pauses between the tries to put a socket among those of its address: half a minute in all.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_secs(16);

/// Ports are shared on this host, and this is what does it.
pub struct Sharing {
    hooks: Hooks,
    ring: Ring,
    pub(super) routes: Routes,
    /// What the holder is to keep, by name.
    pub(super) give: Vec<(String, OwnedFd)>,
    /// Ids of the cgroups of apps with `share_ports = false`.
    unshared: HashSet<u64>,
    /// Instances that asked for a port that another app has: the port, and that app's name.
    taken: BTreeMap<InstanceId, (u16, String)>,
}

/// A listening socket of a run, as the kernel told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    pub port: u16,
    pub cookie: u64,
}

impl Sharing {
    /// Puts the programs in place, or takes over those that an earlier daemon has left. Fails where the kernel, or
    /// whoever guards it, does not let us.
    pub fn begin(tree: &Tree, left: Left, tell: mpsc::UnboundedSender<Told>) -> Result<Self, Unable> {
        let base = tree.v2().ok_or(Unable::NoTree)?;
        let mut loader = Loader::new()?;
        let mut give = Vec::new();
        let resumed = (!left.hooks.is_empty()).then(|| Hooks::resume(left.hooks)).transpose();
        let resumed = resumed.unwrap_or_else(|error| {
            tracing::error!("what an earlier daemon attached cannot be taken over: {error}; it is attached anew");
            None
        });
        let (hooks, ring) = match resumed {
            Some(resumed) => resumed,
            None => {
                let (hooks, ring, kept) = Hooks::attach(&mut loader, &base)?;
                give.extend(kept.into_iter().map(|(name, fd)| (hook_name(&name), fd)));
                (hooks, ring)
            }
        };
        let mut routes = Routes::new(loader);
        let there: HashSet<u64> = match left.groups.is_empty() {
            true => HashSet::new(),
            false => inet_diag::listeners().unwrap_or_default().iter().map(|listener| listener.cookie).collect(),
        };
        for (place, kept) in left.groups {
            if let Err(error) = routes.resume(place, kept, |cookie| there.contains(&cookie)) {
                tracing::error!("{}: its routes cannot be taken over: {error}", place.name());
            }
        }
        let events = ring.as_fd().try_clone_to_owned().and_then(|events| watched(events, Interest::READABLE));
        let events =
            events.map_err(|source| Unable::Refused { what: "its ring buffer cannot be waited on", source })?;
        tokio::spawn(hear(events, tell));
        Ok(Self { hooks, ring, routes, give, unshared: HashSet::new(), taken: BTreeMap::new() })
    }

    /// Who else takes new connections where this run listens. None if it has no routed address.
    pub(super) fn relief(&self, run: Run) -> Option<Relief> {
        self.routes.relief(run.0)
    }
}

/// Tells the loop to read the ring. The kernel wakes nobody as long as something in it is unread.
async fn hear(ring: AsyncFd<OwnedFd>, tell: mpsc::UnboundedSender<Told>) {
    while let Ok(mut guard) = ring.readable().await {
        guard.clear_ready();
        if tell.send(Told::Kernel).is_err() {
            return;
        }
    }
}

impl Live {
    /// What it listens on, as the kernel told, in order, each once.
    pub(super) fn heard_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.sockets.iter().map(|socket| socket.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Once, and not more than a person reads.
    fn remark(&mut self, text: String) {
        if self.remarks.len() < REMARKS && !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }
}

impl Executor {
    /// Two runs may listen on the same port on this host.
    pub(super) fn shares(&self) -> bool {
        self.sharing.is_ok()
    }

    /// Before an app's process runs.
    pub(super) fn prepare_sharing(&mut self, app: &AppName, spec: &AppSpec) {
        let Ok(sharing) = &mut self.sharing else { return };
        if spec.share_ports && sharing.unshared.is_empty() {
            return;
        }
        let Some(id) = self.tree.app_id(app) else { return };
        let changed = if spec.share_ports { sharing.unshared.remove(&id) } else { sharing.unshared.insert(id) };
        if changed && let Err(error) = sharing.hooks.share(id, spec.share_ports) {
            tracing::error!("{app}: share_ports = {}: {error}", spec.share_ports);
        }
    }

    /// Reads what the kernel has to tell. Also before an exit is dealt with: what a run did comes before its end.
    pub(super) fn read_ring(&mut self, link: &mut Link, queue: &mut VecDeque<Event>) {
        let Ok(sharing) = &mut self.sharing else { return };
        let news = sharing.ring.read();
        let flood = news.len() >= FLOOD;
        let mut look = flood;
        for news in news {
            match news {
                Heard::Listens { run: Some(cgroup), port, cookie } => match self.run_in(cgroup) {
                    Some(run) => self.listens(run, Socket { port, cookie }, link, queue),
                    None => tracing::debug!("port {port} is listened on by a run that is gone"),
                },
                Heard::Listens { run: None, .. } => look = true,
                Heard::Closes { run, cookie } => self.closes(run, cookie),
                Heard::Taken { run, port, holder } => self.port_taken(run, port, holder),
            }
        }
        if look {
            self.find_listeners(link, queue);
        }
    }

    fn run_in(&self, cgroup: u64) -> Option<Run> {
        self.runs.iter().find(|(_, live)| live.cgroup_id == Some(cgroup)).map(|(run, _)| *run)
    }

    /// Asks the kernel for every listening socket, where it could not or did not tell.
    fn find_listeners(&mut self, link: &mut Link, queue: &mut VecDeque<Event>) {
        for listener in inet_diag::listeners().unwrap_or_default() {
            let socket = Socket { port: listener.address.port(), cookie: listener.cookie };
            if let Some(run) = listener.cgroup.and_then(|cgroup| self.run_in(cgroup)) {
                self.listens(run, socket, link, queue);
            }
        }
    }

    /// A run has begun to listen.
    fn listens(&mut self, run: Run, socket: Socket, link: &mut Link, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get_mut(&run).filter(|live| !live.sockets.contains(&socket)) else { return };
        live.sockets.push(socket);
        // Without a pid the news of its start is still on the way; `await_ready` comes back to this.
        if live.pid.is_none() || live.exit.is_some() {
            return;
        }
        self.admit(run, socket, FIRST_PAUSE, link);
        self.route_if_ready(run);
        self.listened(run, queue);
    }

    fn route_if_ready(&mut self, run: Run) {
        if self.runs.get(&run).is_some_and(|live| live.ready && !live.leaving) {
            self.route(run);
        }
    }

    /// The kernel was not done with what an array that is lost left of the socket.
    pub(super) fn admit_again(&mut self, run: Run, socket: Socket, pause: Duration, link: &mut Link) {
        if self.runs.get(&run).is_some_and(|live| live.exit.is_none() && live.sockets.contains(&socket)) {
            self.admit(run, socket, pause, link);
            self.route_if_ready(run);
        }
    }

    fn closes(&mut self, cgroup: u64, cookie: u64) {
        if let Some(live) = self.run_in(cgroup).and_then(|run| self.runs.get_mut(&run)) {
            live.sockets.retain(|socket| socket.cookie != cookie);
        }
        let Ok(sharing) = &mut self.sharing else { return };
        if let Err(error) = sharing.routes.forget(cookie) {
            tracing::error!("a route of a closed socket stays: {error}");
        }
    }

    /// What was heard of a run before its process was known.
    pub(super) fn catch_up(&mut self, run: Run, link: &mut Link, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get(&run) else { return };
        for socket in live.sockets.clone() {
            self.admit(run, socket, FIRST_PAUSE, link);
        }
        self.listened(run, queue);
    }

    fn listened(&mut self, run: Run, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        let ports = live.heard_ports();
        if ports.is_empty() {
            return;
        }
        if !std::mem::replace(&mut live.serves, true) {
            queue.push_back(Event::Serves { proc: live.proc.clone() });
        }
        if self.watch.heard(run, &ports, clock::mono()) {
            self.ready(run, queue);
        }
    }

    /// Puts a socket among those of its address. It is routed once its run is. `pause`: before another try, if one is due.
    fn admit(&mut self, run: Run, socket: Socket, pause: Duration, link: &mut Link) {
        let Ok(sharing) = &mut self.sharing else { return };
        let Some(live) = self.runs.get_mut(&run) else { return };
        let turns = match live.spec.balance {
            Balance::RoundRobin => Turns::RoundRobin,
            Balance::Hash => Turns::Hash,
            Balance::Off => return,
        };
        let pids = live.cgroup.procs().unwrap_or_default();
        let found = match listening::find(&pids, socket.cookie) {
            Ok(Some(found)) => found,
            Ok(None) => {
                // Closed already; or the inner socket of one that the process sees as MPTCP, under another cookie.
                let listens = inet_diag::listeners().unwrap_or_default();
                if listens.iter().any(|listener| listener.cookie == socket.cookie) {
                    live.remark(format!("port {}: {}", socket.port, Refusal::Multipath));
                }
                return;
            }
            Err(error) => {
                tracing::warn!("{}: port {}: its socket cannot be looked at: {error}", live.proc, socket.port);
                return;
            }
        };
        // A port that the kernel chose, or one that stays an instance's own.
        if !found.reuses_port {
            return;
        }
        let place = Place { netns: found.netns, address: found.address };
        let opened = sharing.routes.open(place, turns);
        self.give_sharing(link);
        let (Ok(sharing), Some(live)) = (&mut self.sharing, self.runs.get_mut(&run)) else { return };
        let admitted = opened
            .map_err(Refusal::from)
            .and_then(|()| sharing.routes.admit(place, found.fd.as_fd(), run.0, socket.cookie, turns));
        match admitted {
            Ok(()) => {}
            Err(Refusal::There) if pause <= LAST_PAUSE => {
                let tell = self.tell.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    let _ = tell.send(Told::Admit { run, socket, pause: pause * 2 });
                });
            }
            Err(why) => {
                let text = format!("port {}: {why}", socket.port);
                if !matches!(why, Refusal::Multipath) {
                    tracing::warn!("{}: {text}", live.proc);
                }
                live.remark(text);
            }
        }
    }

    /// The run takes new connections.
    pub(super) fn route(&mut self, run: Run) {
        let Ok(sharing) = &mut self.sharing else { return };
        if let Err(error) = sharing.routes.route(run.0) {
            tracing::error!("run {run} cannot be given connections: {error}");
        }
        if let Some(live) = self.runs.get(&run) {
            sharing.taken.remove(&live.proc.instance);
        }
    }

    /// The run takes no new connections, if anybody else does.
    pub(super) fn unroute(&mut self, run: Run) {
        let Ok(sharing) = &mut self.sharing else { return };
        if let Err(error) = sharing.routes.unroute(run.0) {
            tracing::error!("run {run} goes on getting connections: {error}");
        }
    }

    /// Where the runs of an earlier daemon listen.
    pub(super) fn listening_by_cgroup(&self) -> HashMap<u64, Vec<Socket>> {
        let mut sockets: HashMap<u64, Vec<Socket>> = HashMap::new();
        if self.shares() {
            for listener in inet_diag::listeners().unwrap_or_default() {
                let socket = Socket { port: listener.address.port(), cookie: listener.cookie };
                if let Some(cgroup) = listener.cgroup {
                    sockets.entry(cgroup).or_default().push(socket);
                }
            }
        }
        sockets
    }

    /// Has a run of an earlier daemon take new connections as it did, or did not.
    pub(super) fn resume_route(&mut self, run: Run, link: &mut Link) {
        let Some(live) = self.runs.get(&run) else { return };
        let routed = live.ready && !live.leaving;
        for socket in live.sockets.clone() {
            self.admit(run, socket, FIRST_PAUSE, link);
        }
        if routed { self.route(run) } else { self.unroute(run) }
    }

    /// The run has ended; its sockets are closed.
    pub(super) fn unshare(&mut self, run: Run) {
        let Ok(sharing) = &mut self.sharing else { return };
        if let Err(error) = sharing.routes.forget_run(run.0) {
            tracing::error!("run {run}: its routes stay: {error}");
        }
    }

    pub(super) fn forget_taken(&mut self, app: &AppName) {
        if let Ok(sharing) = &mut self.sharing {
            sharing.taken.retain(|instance, _| instance.app != *app);
        }
    }

    fn port_taken(&mut self, cgroup: u64, port: u16, holder: u64) {
        let Some(run) = self.run_in(cgroup) else { return };
        let proc = self.runs[&run].proc.clone();
        let holder = self.tree.app_of(holder).unwrap_or_else(|| "an app that is gone".to_owned());
        self.say(proc.clone(), News::PortTaken { port, holder: holder.clone() });
        if let Ok(sharing) = &mut self.sharing {
            sharing.taken.insert(proc.instance, (port, holder));
        }
    }

    fn say(&mut self, proc: ProcId, news: News) {
        self.news.push(Line::new(0, clock::now().wall, proc.instance.clone(), Some(proc), &news));
    }

    /// What a person should know of an instance's ports.
    pub(super) fn port_notes(&self, instance: &InstanceId, run: Option<Run>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some((port, holder)) = self.sharing.as_ref().ok().and_then(|sharing| sharing.taken.get(instance)) {
            notes.push(format!("port {port} belongs to app {holder}, and apps do not share ports"));
        }
        if let Some(live) = run.and_then(|run| self.runs.get(&run)) {
            notes.extend(live.remarks.iter().cloned());
        }
        notes
    }

    /// Says what a failure may have to do with ports, in the answer to whoever asked for the instance.
    pub(super) fn explain(&self, outcome: &mut Outcome) {
        let failed = outcome.instances.iter().filter(|one| matches!(one.result, InstanceResult::Failed { .. }));
        let notes = failed.filter_map(|InstanceOutcome { instance, .. }| match &self.sharing {
            Ok(sharing) => {
                let (port, holder) = sharing.taken.get(instance)?;
                Some(format!("{instance}: port {port} belongs to app {holder}, and apps do not share ports"))
            }
            Err(why) => {
                let listens = |live: &Live| live.listens && live.proc.instance.app == instance.app;
                self.runs.values().any(listens).then(|| {
                    let app = &instance.app;
                    format!(
                        "the instances of {app} cannot share a port on this host: {why}; `listen` can: see stead doctor"
                    )
                })
            }
        });
        let notes: BTreeSet<String> = notes.collect();
        outcome.notes.extend(notes);
    }

    /// Where a probe of this run is to connect from, so that it reaches this run and no sibling.
    pub(super) fn aim(&mut self, run: Run, to: SocketAddr) -> Aim {
        let Ok(sharing) = &mut self.sharing else { return Aim::Anybody };
        let from = match From::loopback(to) {
            Ok(from) => from,
            Err(error) => {
                tracing::warn!("run {run}: a probe cannot be aimed: {error}");
                return Aim::Nobody;
            }
        };
        match sharing.routes.aim(from.port, to, run.0) {
            Ok(true) => Aim::At(from),
            // Somebody else's answer would not be this run's.
            Ok(false) if sharing.routes.is_ours(to) => Aim::Nobody,
            Ok(false) => Aim::Anybody,
            Err(error) => {
                tracing::warn!("run {run}: a probe cannot be aimed: {error}");
                Aim::Nobody
            }
        }
    }

    pub(super) fn aim_no_more(&mut self, from: u16) {
        if let Ok(sharing) = &mut self.sharing {
            sharing.routes.aim_no_more(from);
        }
    }
}
