//! How a booting run becomes ready, by each kind of `ready_on`.
//! Owns: who is waited for in which way, and which ports a run listens on.
//! Never: decides what follows from being ready; the core does.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::driver::Driver;
use super::executor::{Executor, Live, PROBE, Probe};
use super::exits::wait_until_empty;
use super::link::Link;
use super::listen::{News, Rule};
use super::pidfile::What;
use super::probe::Aim;
use super::spawn::probe_plan;
use super::told::Told;
use super::{clock, memory, notify, probe};
use crate::core::event::Event;
use crate::model::exit::Exit;
use crate::model::ids::Run;
use crate::model::spec::ReadyOn;
use crate::model::time::Mono;
use crate::sys::inet_diag;

/// Between two attempts of a probe: soon at first, then at most this rarely.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

impl Executor {
    /// Begins to wait for a run that has just been spawned.
    pub(super) fn await_ready(&mut self, run: Run, now: Mono, link: &mut Link, queue: &mut VecDeque<Event>) {
        let news = if self.shares() { News::Told } else { News::Sought };
        let Some(live) = self.runs.get_mut(&run) else { return };
        match &live.spec.ready_on {
            ReadyOn::Instant => self.ready(run, queue),
            ReadyOn::Listen => self.watch.add(run, Rule::Any, now, news),
            ReadyOn::Auto => {
                let given = !live.spec.listen.is_empty();
                let rule = self.ports.rule(&live.proc.instance, live.revision, given, now);
                self.watch.add(run, rule, now, news);
            }
            // Somebody else brings the news: the notify socket, the IPC channel.
            ReadyOn::Notify | ReadyOn::Message => {}
            ReadyOn::Http { url } => {
                let (aimer, url) = (Aimer { run, tell: self.tell.clone() }, url.clone());
                let task = tokio::spawn(async move {
                    until(|| probe::http(&url, &aimer)).await;
                    let _ = aimer.tell.send(Told::Ready { run });
                });
                live.tasks.push(task.abort_handle());
            }
            ReadyOn::Tcp { address } => {
                let (aimer, address) = (Aimer { run, tell: self.tell.clone() }, address.clone());
                let task = tokio::spawn(async move {
                    until(|| probe::tcp(&address, &aimer)).await;
                    let _ = aimer.tell.send(Told::Ready { run });
                });
                live.tasks.push(task.abort_handle());
            }
            ReadyOn::Exec { .. } => self.probe(run, link),
        }
        self.catch_up(run, link, queue);
    }

    pub(super) fn ready(&mut self, run: Run, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get_mut(&run).filter(|live| !live.ready && live.exit.is_none()) else { return };
        live.ready = true;
        self.watch.remove(run);
        // An app that is ready at once has not had the time to listen.
        if live.spec.ready_on != ReadyOn::Instant {
            let ports = if self.sharing.is_ok() {
                live.heard_ports()
            } else {
                let ports = live.own_ports(&listening());
                if !ports.is_empty() && !live.listens {
                    live.listens = true;
                    queue.push_back(Event::Listens { proc: live.proc.clone() });
                }
                ports
            };
            let changed = self.ports.became_ready(&live.proc.instance, live.revision, &ports, &self.ephemeral);
            self.ports_changed |= changed;
        }
        live.tasks.extend(memory::watch_soft(run, &live.cgroup, &live.spec.limits, &self.tell));
        queue.push_back(Event::Ready { proc: live.proc.clone() });
        // A run that was told to stop while it booted gets no connections.
        if !live.leaving {
            self.tell_pid(run, What::Write);
            self.route(run);
        }
    }

    /// One look at who listens, for all who boot.
    pub fn look(&mut self, now: Mono, queue: &mut VecDeque<Event>) {
        if self.watch.next_look().is_none_or(|next| next > now) {
            return;
        }
        let listening = if self.shares() { Listening::default() } else { listening() };
        let runs = &self.runs;
        let ready = self.watch.look(now, |run| match runs.get(&run) {
            Some(live) if !live.sockets.is_empty() => live.heard_ports(),
            Some(live) => live.own_ports(&listening),
            None => Vec::new(),
        });
        for run in ready {
            self.ready(run, queue);
        }
    }

    pub(super) fn notified(&mut self, pid: i32, cgroup: &str, queue: &mut VecDeque<Event>) {
        let run = if self.tree.has_cgroups() {
            self.tree.path().and_then(|base| notify::run_of(cgroup, base))
        } else {
            self.runs.iter().find(|(_, live)| live.pid == Some(pid)).map(|(run, _)| *run)
        };
        match run.and_then(|run| self.runs.get(&run).map(|live| (run, live))) {
            Some((run, live)) if matches!(live.spec.ready_on, ReadyOn::Auto | ReadyOn::Notify) => {
                self.ready(run, queue)
            }
            Some(_) => {}
            // Anybody may write to the socket, so this is not worth a line that fills a disk.
            None => tracing::debug!("a notification of pid {pid}, which belongs to no app, was ignored"),
        }
    }

    /// Starts one attempt of an exec probe.
    pub(super) fn probe(&mut self, run: Run, link: &mut Link) {
        let Some(live) = self.runs.get(&run).filter(|live| !live.ready && live.exit.is_none()) else { return };
        let ReadyOn::Exec { argv } = &live.spec.ready_on else { return };
        let started = probe_plan(live, argv, &self.notify_path).and_then(|plan| link.spawn(run.0 | PROBE, plan));
        match started {
            Ok(()) => {
                if let Some(live) = self.runs.get_mut(&run) {
                    live.probe = Probe::Asked;
                }
            }
            Err(why) => {
                tracing::warn!("{}: the probe could not be started: {why}", live.proc);
                self.probe_again(run);
            }
        }
    }

    pub(super) fn probe_spawned(&mut self, token: u64) {
        let run = Run(token & !PROBE);
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.probe = Probe::Running;
        if live.exit.is_some() && !live.gone {
            // Born into a cgroup that was thought empty: it is killed, and waited for.
            if let Err(error) = live.cgroup.kill() {
                tracing::error!("run {run}: {error}");
            }
            tokio::spawn(wait_until_empty(run, live.cgroup.clone(), self.tell.clone()));
        }
    }

    pub(super) fn probe_failed(&mut self, token: u64, why: &str) {
        let run = Run(token & !PROBE);
        tracing::warn!("the probe of run {run} could not be started: {why}");
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.probe = Probe::None;
        if live.exit.is_some() {
            tokio::spawn(wait_until_empty(run, live.cgroup.clone(), self.tell.clone()));
            return;
        }
        self.probe_again(run);
    }

    pub(super) fn probe_exited(&mut self, token: u64, exit: Exit, link: &mut Link, queue: &mut VecDeque<Event>) {
        link.reap(token);
        link.forget(token);
        let run = Run(token & !PROBE);
        if let Some(live) = self.runs.get_mut(&run) {
            live.probe = Probe::None;
        }
        match exit {
            Exit::Code(0) => self.ready(run, queue),
            _ => self.probe_again(run),
        }
    }

    fn probe_again(&mut self, run: Run) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        let age = clock::mono().since(live.started);
        let tell = self.tell.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep((age / 4).clamp(FIRST_PAUSE, LAST_PAUSE)).await;
            let _ = tell.send(Told::Probe { run });
        });
        live.tasks.push(task.abort_handle());
    }
}

impl Driver {
    /// Before a request is decided: where ports cannot be shared, who listens on one has to be replaced old-first,
    /// whenever it began to.
    pub(super) fn tell_who_listens(&mut self) {
        let executor = &mut self.executor;
        if executor.shares() {
            return;
        }
        let mut listening = None;
        for live in executor.runs.values_mut().filter(|live| live.exit.is_none() && !live.listens) {
            if live.pid.is_none() {
                continue;
            }
            let ports = live.own_ports(listening.get_or_insert_with(self::listening));
            if !ports.is_empty() {
                live.listens = true;
                self.queue.push_back(Event::Listens { proc: live.proc.clone() });
            }
        }
    }
}

/// Who listens on which TCP ports at this moment.
#[derive(Debug, Default)]
pub struct Listening {
    by_cgroup: HashMap<u64, Vec<u16>>,
    by_inode: HashMap<u64, u16>,
    /// The kernel named the cgroup of each socket; otherwise processes must be looked through.
    has_cgroups: bool,
}

/// Asks the kernel. Empty where it does not answer.
pub fn listening() -> Listening {
    let mut listening = Listening { has_cgroups: true, ..Listening::default() };
    for listener in inet_diag::listeners().unwrap_or_default() {
        let port = listener.address.port();
        listening.by_inode.insert(listener.inode, port);
        match listener.cgroup {
            Some(cgroup) => listening.by_cgroup.entry(cgroup).or_default().push(port),
            None => listening.has_cgroups = false,
        }
    }
    listening
}

impl Live {
    /// The ports it listens on by itself. Those that it was given were there before it was.
    fn own_ports(&self, listening: &Listening) -> Vec<u16> {
        let mut ports = listening.ports(self.cgroup_id, self.pid.unwrap_or_default());
        ports.retain(|port| self.spec.listen.iter().all(|given| given.port() != Some(*port)));
        ports
    }
}

impl Listening {
    /// In order, each once.
    pub fn ports(&self, cgroup: Option<u64>, pid: i32) -> Vec<u16> {
        let mut ports = match cgroup {
            Some(id) if self.has_cgroups => self.by_cgroup.get(&id).cloned().unwrap_or_default(),
            _ if self.by_inode.is_empty() => Vec::new(),
            _ => {
                let inodes = crate::sys::proc_net::socket_inodes(pid);
                inodes.iter().filter_map(|inode| self.by_inode.get(inode).copied()).collect()
            }
        };
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// With those that it was given.
    pub fn ports_with(&self, cgroup: Option<u64>, pid: i32, given: Vec<u16>) -> Vec<u16> {
        let mut ports = self.ports(cgroup, pid);
        ports.extend(given);
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// Aims the probes of one run.
struct Aimer {
    run: Run,
    tell: mpsc::UnboundedSender<Told>,
}

impl probe::Aimer for Aimer {
    async fn aim(&self, to: SocketAddr) -> Aim {
        let (answer, aim) = oneshot::channel();
        let _ = self.tell.send(Told::Aim { run: self.run, to, answer });
        aim.await.unwrap_or(Aim::Nobody)
    }

    fn done(&self, from: u16) {
        let _ = self.tell.send(Told::Aimed { from });
    }
}

/// Asks again, ever more rarely, until the answer is yes. Ended from outside at the run's end.
async fn until<F: Future<Output = bool>>(mut attempt: impl FnMut() -> F) {
    let mut pause = FIRST_PAUSE;
    while !attempt().await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
