//! Coming after another daemon: what it had kept, what the holder still has, and what follows from the two.
//! Owns: that each process is taken up again as what it is, or ended if nobody knows it.
//! Never: starts or stops an app for it; the core does, when it hears of what has changed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::executor::{Executor, Live, stream_key};
use super::exits::emptied;
use super::link::{Link, LinkError, Streams, exit_of};
use super::output::Places;
use super::pidfile::What;
use super::sharing::Socket;
use super::{clock, memory};
use crate::core::effect::Effect;
use crate::core::event::Event;
use crate::core::state::State;
use crate::core::world::World;
use crate::holder::protocol::{Row, RowState};
use crate::logs::capture::Stream;
use crate::model::exit::Exit;
use crate::model::ids::{ProcId, Revision, Run};
use crate::model::signal::Signal;
use crate::model::spec::{AppSpec, Identity};
use crate::sys::cgroup::RunCgroup;

/// A run that is gone, but for what it printed last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    pub proc: ProcId,
    pub revision: Revision,
}

/// A run that has something left: a process, or output that is in no file yet.
struct Found {
    proc: ProcId,
    revision: Revision,
    spec: Arc<AppSpec>,
    /// None: the core has done with it.
    state: Option<State>,
    /// None: the holder was never asked for it, or has lost it.
    row: Option<Row>,
    account: Option<Account>,
    streams: u8,
    ipc: Option<OwnedFd>,
}

/// All of them, and their streams.
pub struct Adoption {
    found: Vec<Found>,
    pub streams: Vec<Stream>,
    /// Rows of the holder that nobody knows any more.
    strangers: Vec<Row>,
}

impl Adoption {
    /// Compares what the world knows with what the holder has.
    pub async fn prepare(
        world: &World,
        endings: &BTreeMap<Run, Ending>,
        rows: Vec<Row>,
        places: &mut Places,
        link: &mut Link,
    ) -> Result<Self, LinkError> {
        let mut rows: BTreeMap<u64, Row> = rows.into_iter().map(|row| (row.token, row)).collect();
        let mut accounts: Vec<(Identity, Option<Account>)> = Vec::new();
        let mut found = Vec::new();
        for known in world.procs() {
            let state = Some(known.state.clone());
            let (proc, revision, spec) = (known.proc, known.revision, Arc::clone(known.spec));
            let row = rows.remove(&proc.run.0);
            let account = account_of(&spec, &mut accounts);
            found.push(Found { proc, revision, spec, state, row, account, streams: 0, ipc: None });
        }
        for (run, ending) in endings {
            let Some(row) = rows.remove(&run.0) else { continue };
            let Some(spec) = world.spec_at(&ending.proc.instance.app, ending.revision) else {
                rows.insert(run.0, row);
                continue;
            };
            let (proc, revision, spec) = (ending.proc.clone(), ending.revision, Arc::clone(spec));
            let account = account_of(&spec, &mut accounts);
            found.push(Found { proc, revision, spec, state: None, row: Some(row), account, streams: 0, ipc: None });
        }
        let mut adoption = Self { found, streams: Vec::new(), strangers: rows.into_values().collect() };
        adoption.take_streams(places, link).await?;
        Ok(adoption)
    }

    async fn take_streams(&mut self, places: &mut Places, link: &mut Link) -> Result<(), LinkError> {
        let there = |found: &&mut Found| found.row.is_some_and(|row| row.state != RowState::Starting);
        let with_rows: Vec<&mut Found> = self.found.iter_mut().filter(there).collect();
        let tokens: Vec<u64> = with_rows.iter().map(|found| found.proc.run.0).collect();
        let taken = link.take(&tokens).await?;
        for (found, Streams { out, err, ipc, spilled }) in with_rows.into_iter().zip(taken) {
            for (index, (pipe, spilled)) in [out, err].into_iter().zip(spilled).enumerate() {
                let Some(pipe) = pipe else { continue };
                let key = stream_key(found.proc.run, index as u64);
                let account = found.account.as_ref();
                let stream = places.stream(key, pipe, index, &found.proc.instance, &found.spec, account);
                self.streams.push(Stream { spilled, ..stream });
                found.streams += 1;
            }
            found.ipc = ipc;
        }
        Ok(())
    }

    /// How many processes are taken over.
    pub fn alive(&self) -> usize {
        let alive = |found: &&Found| found.row.is_some_and(|row| matches!(row.state, RowState::Running));
        self.found.iter().filter(alive).count()
    }
}

fn account_of(spec: &AppSpec, known: &mut Vec<(Identity, Option<Account>)>) -> Option<Account> {
    if let Some((_, account)) = known.iter().find(|(identity, _)| *identity == spec.identity) {
        return account.clone();
    }
    let account = account::resolve(&spec.identity).inspect_err(|error| tracing::warn!("{}: {error}", spec.name)).ok();
    known.push((spec.identity.clone(), account.clone()));
    account
}

fn has_failed(queue: &VecDeque<Event>, wanted: &ProcId) -> bool {
    queue.iter().any(|event| matches!(event, Event::SpawnFailed { proc, .. } if proc == wanted))
}

impl Executor {
    /// Takes up what was found. What has changed since is in the queue then, and what was not finished goes on.
    pub fn adopt(
        &mut self,
        adoption: Adoption,
        outstanding: Vec<Effect>,
        link: &mut Link,
        queue: &mut VecDeque<Event>,
    ) {
        self.end_strangers(&adoption, link);
        let mut listening = self.listening_by_cgroup();
        for found in adoption.found {
            self.adopt_one(found, &mut listening, link, queue);
        }
        for effect in outstanding {
            match &effect {
                Effect::Spawn { proc, .. } if self.runs.contains_key(&proc.run) || has_failed(queue, proc) => {}
                _ => self.carry_out(effect, clock::now(), link, queue),
            }
        }
    }

    fn adopt_one(
        &mut self,
        found: Found,
        listening: &mut HashMap<u64, Vec<Socket>>,
        link: &mut Link,
        queue: &mut VecDeque<Event>,
    ) {
        let Found { proc, revision, spec, state, row, account, streams, ipc } = found;
        let run = proc.run;
        let cgroup = self.tree.find(&proc);
        let child = state.as_ref().and_then(State::child);
        let Some(row) = row else {
            self.never_ran_or_lost(proc, state.as_ref(), cgroup, queue);
            return;
        };
        if let Some(account) = &account {
            self.accounts.insert(spec.name.clone(), (spec.identity.clone(), account.clone()));
        }
        let booting = matches!(state, Some(State::Spawning { .. } | State::New { .. } | State::Marked { .. }));
        let env_file = match (&spec.env_file, &account) {
            (Some(path), Some(account)) if booting => account::read_env_file(account, path).unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        let cgroup_id = cgroup.id();
        let live = Live {
            cgroup_id,
            cgroup,
            account,
            env_file,
            asked: true,
            started: child.map_or_else(clock::mono, |child| child.started),
            ready: !booting,
            leaving: !matches!(state, Some(State::Spawning { .. } | State::New { .. } | State::Running { .. })),
            sockets: cgroup_id.and_then(|id| listening.remove(&id)).unwrap_or_default(),
            streams,
            ..Live::new(proc.clone(), Arc::clone(&spec), revision)
        };
        self.runs.insert(run, live);
        self.prepare_sharing(&proc.instance.app, &spec);
        if state.is_none() {
            return self.adopt_ending(run, row, link);
        }
        if row.state == RowState::Starting {
            self.starting += 1;
            return;
        }
        // The core has heard of the end, and so of the beginning.
        let heard = matches!(state, Some(State::Dead { .. }));
        if child.is_none() && !heard {
            queue.push_back(Event::Spawned { proc, pid: row.pid });
        }
        let (RowState::Dead(exit) | RowState::Reaped(exit)) = row.state else {
            return self.runs_on(run, row.pid, ipc, link, queue);
        };
        self.set_exit(run, exit_of(exit));
        if !heard {
            self.tell_exit(run, queue);
        }
        self.end_rest(run, link, queue);
    }

    /// The program of a run was there before this daemon was.
    fn runs_on(&mut self, run: Run, pid: i32, ipc: Option<OwnedFd>, link: &mut Link, queue: &mut VecDeque<Event>) {
        self.attend(run, pid, ipc);
        self.resume_route(run, link);
        let Some(live) = self.runs.get_mut(&run) else { return };
        if live.ready {
            live.tasks.extend(memory::watch_soft(run, &live.cgroup, &live.spec.limits, &self.tell));
            // The daemon may have died before it was written.
            if !live.leaving {
                self.tell_pid(run, What::Write);
            }
        } else {
            let started = live.started;
            self.await_ready(run, started, link, queue);
        }
    }

    /// Nothing is left of it but what stands in its pipes.
    fn adopt_ending(&mut self, run: Run, row: Row, link: &mut Link) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.gone = true;
        if let RowState::Dead(exit) | RowState::Reaped(exit) = row.state {
            live.exit = Some(exit_of(exit));
        }
        for index in 0..2 {
            self.output.finish(stream_key(run, index));
        }
        self.drop_if_done(run, link);
    }

    /// The holder has no process for it.
    fn never_ran_or_lost(
        &mut self,
        proc: ProcId,
        state: Option<&State>,
        cgroup: RunCgroup,
        queue: &mut VecDeque<Event>,
    ) {
        // What a daemon left is a directory at most; a spawn that is still owed makes a fresh one. A holder may have left
        // a process that had not come to its program.
        let begun = cgroup.populated().unwrap_or(false);
        let _ = cgroup.kill();
        self.litter.push(cgroup);
        self.clear_litter();
        match state {
            Some(State::Spawning { .. }) if begun => {
                let why = format!("{}: the holder was killed while it was being started", proc.instance);
                queue.push_back(Event::SpawnFailed { proc, why });
            }
            None | Some(State::Spawning { .. }) => {}
            Some(state) if state.child().is_none() => {
                let why = format!("{}: the daemon ended before it was started", proc.instance);
                queue.push_back(Event::SpawnFailed { proc, why });
            }
            Some(State::Dead { .. }) => queue.push_back(Event::Gone { proc }),
            Some(_) => {
                queue.push_back(Event::Exited { proc: proc.clone(), exit: Exit::Unknown, oom: false });
                queue.push_back(Event::Gone { proc });
            }
        }
    }

    /// Ends processes and cgroups that no run of ours has.
    fn end_strangers(&mut self, adoption: &Adoption, link: &mut Link) {
        for row in &adoption.strangers {
            match row.state {
                // The news of its death finds nobody, and lets it go.
                RowState::Starting | RowState::Running => {
                    link.signal(row.token, Signal::KILL);
                    link.signal_group(row.token, Signal::KILL);
                }
                RowState::Dead(_) | RowState::Reaped(_) => {
                    link.reap(row.token);
                    link.forget(row.token);
                }
            }
        }
        let ours: HashSet<String> = adoption.found.iter().map(|found| found.proc.cgroup()).collect();
        for (name, cgroup) in self.tree.leftovers() {
            if ours.contains(&name) {
                continue;
            }
            tracing::warn!("{name}: a cgroup of no run of ours: what is in it is ended");
            if let Err(error) = cgroup.kill() {
                tracing::error!("{error}");
            }
            // Its run number is never used again, so what cannot be emptied is in nobody's way.
            tokio::spawn(async move {
                emptied(&cgroup).await;
                let _ = cgroup.remove();
            });
        }
    }
}
