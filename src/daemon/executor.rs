//! Carries out what the core wishes, and brings back what became of it.
//! Owns: the table of live runs: everything of a run that is neither the core's nor the kernel's.
//! Never: decides. It is also where the subsystems meet that must not know each other.
//!
//! `spawn` begins a run, `readiness` watches it boot, `exits` ends it; this file holds what they share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::account::Account;
use super::adopt::Ending;
use super::clock;
use super::drain::DrainWatch;
use super::link::{FromHolder, Link};
use super::listen::{ListenWatch, PortMemory};
use super::news::Line;
use super::output::Output;
use super::passed::Passed;
use super::pidfile::PidFiles;
use super::sharing::{Sharing, Socket};
use super::told::Told;
use super::tree::Tree;
use crate::balance::object::Unable;
use crate::core::effect::Effect;
use crate::core::event::Event;
use crate::logs::capture::{Report, StreamKey};
use crate::metrics::meter::Meter;
use crate::model::exit::Exit;
use crate::model::ids::{AppName, ProcId, Revision, Run};
use crate::model::signal::Signal;
use crate::model::spec::{AppSpec, Identity, StopScope};
use crate::model::time::{Mono, Now};
use crate::sys::cgroup::RunCgroup;

/// Where the latest attempt of `ready_on`'s command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    None,
    /// The holder has not answered.
    Asked,
    Running,
}

/// One run, from its `Spawn` until the last byte of its output is in a file.
#[derive(Debug)]
pub(super) struct Live {
    pub proc: ProcId,
    pub spec: Arc<AppSpec>,
    pub revision: Revision,
    pub cgroup: RunCgroup,
    /// By which the kernel names it in inet_diag; None without v2.
    pub cgroup_id: Option<u64>,
    /// What takes its figures, while its main process lives.
    pub meter: Option<Arc<Meter>>,
    pub account: Option<Account>,
    /// What `env_file` said when it was started.
    pub env_file: BTreeMap<String, String>,
    /// The holder was asked to start it.
    pub asked: bool,
    pub probe: Probe,
    /// None until the program runs.
    pub pid: Option<i32>,
    pub started: Mono,
    pub ready: bool,
    /// It listens on a port that two runs cannot share on this host.
    pub listens: bool,
    /// The core knows that it listens on one that they can.
    pub serves: bool,
    /// What it listens on, as the kernel told of it.
    pub sockets: Vec<Socket>,
    /// What a person should know of its ports.
    pub remarks: Vec<String>,
    /// It was told to take no new connections, or to end.
    pub leaving: bool,
    /// What was asked of it before it had a process to ask.
    pub early: Vec<Effect>,
    pub oom: bool,
    pub exit: Option<Exit>,
    pub gone: bool,
    /// Streams that have not come to their end.
    pub streams: u8,
    /// Ended with the run.
    pub tasks: Vec<AbortHandle>,
}

impl Live {
    /// Nothing of it is there yet but its directory, which whoever makes this adds.
    pub fn new(proc: ProcId, spec: Arc<AppSpec>, revision: Revision) -> Self {
        Self {
            proc,
            spec,
            revision,
            cgroup: RunCgroup::default(),
            cgroup_id: None,
            meter: None,
            account: None,
            env_file: BTreeMap::new(),
            asked: false,
            probe: Probe::None,
            pid: None,
            started: clock::mono(),
            ready: false,
            listens: false,
            serves: false,
            sockets: Vec::new(),
            remarks: Vec::new(),
            leaving: false,
            early: Vec::new(),
            oom: false,
            exit: None,
            gone: false,
            streams: 0,
            tasks: Vec::new(),
        }
    }
}

pub struct Executor {
    pub(super) tree: Tree,
    pub(super) output: Output,
    pub(super) runs: BTreeMap<Run, Live>,
    pub(super) accounts: BTreeMap<AppName, (Identity, Account)>,
    pub(super) watch: ListenWatch,
    pub(super) passed: Passed,
    pub(super) pid_files: PidFiles,
    pub(super) drains: DrainWatch,
    pub(super) ports: PortMemory,
    pub(super) ports_changed: bool,
    /// Ports outside this range were chosen by a person (ip_local_port_range).
    pub(super) ephemeral: std::ops::RangeInclusive<u16>,
    pub(super) notify_path: String,
    pub(super) tell: mpsc::UnboundedSender<Told>,
    /// Spawns that the holder has not answered.
    pub(super) starting: usize,
    /// Cgroups to remove once the loop has nothing more urgent to do.
    pub(super) litter: Vec<RunCgroup>,
    /// Life-cycle events that are still to be written down, in order.
    pub(super) news: Vec<Line>,
    /// Runs that are gone but for their output, and those of them that are done with: to be kept, and kept no more.
    pub(super) endings: Vec<(Run, Option<Ending>)>,
    /// Or why ports cannot be shared here.
    pub(super) sharing: Result<Sharing, Unable>,
}

/// Tokens of the holder's table: an app's run is its run number; a probe's has this bit set (below the protocol's MAX_TOKEN).
pub(super) const PROBE: u64 = 1 << 59;

/// So many removals may wait for spawns, which may go on for ever in a crash loop.
const LITTER_MAX: usize = 64;

impl Executor {
    pub fn new(
        tree: Tree,
        output: Output,
        passed: Passed,
        (ports, ephemeral): (PortMemory, std::ops::RangeInclusive<u16>),
        notify_path: String,
        sharing: Result<Sharing, Unable>,
        tell: mpsc::UnboundedSender<Told>,
    ) -> Self {
        Self {
            tree,
            output,
            runs: BTreeMap::new(),
            accounts: BTreeMap::new(),
            watch: ListenWatch::default(),
            passed,
            pid_files: PidFiles::default(),
            drains: DrainWatch::default(),
            ports,
            ports_changed: false,
            ephemeral,
            notify_path,
            tell,
            starting: 0,
            litter: Vec::new(),
            news: Vec::new(),
            endings: Vec::new(),
            sharing,
        }
    }

    pub fn carry_out(&mut self, effect: Effect, now: Now, link: &mut Link, queue: &mut VecDeque<Event>) {
        match effect {
            Effect::Spawn { proc, revision, spec } => self.spawn(proc, revision, spec, link, queue),
            Effect::Drain { proc } => self.drain(proc, now.mono, queue),
            Effect::Signal { ref proc, signal, scope } => {
                let run = proc.run;
                if !self.wait_for_pid(run, &effect) {
                    self.signal(run, signal, scope, link);
                }
            }
            Effect::Kill { ref proc } => {
                let run = proc.run;
                self.drains.remove(run);
                if let Some(live) = self.runs.get_mut(&run) {
                    live.leaving = true;
                }
                match self.runs.get(&run) {
                    Some(live) if !live.asked => {
                        self.spawn_failed(run, "stopped before it was started".to_owned(), queue);
                    }
                    Some(_) => {
                        // Between clone and exec it is in its cgroup already; before that, it is killed once it is born.
                        self.wait_for_pid(run, &effect);
                        self.kill(run, link);
                    }
                    None => {}
                }
            }
            Effect::Forget { app } => {
                self.write_news();
                self.clear_litter();
                self.tree.remove_app(&app);
                self.accounts.remove(&app);
                self.ports.forget(&app);
                self.forget_taken(&app);
                self.output.forget(&app);
            }
            Effect::SaveDesired
            | Effect::NextTime { .. }
            | Effect::Log { .. }
            | Effect::LogInstance { .. }
            | Effect::Deny { .. }
            | Effect::Accepted { .. }
            | Effect::Progress { .. }
            | Effect::Done { .. }
            | Effect::Exit
            | Effect::Alarm(_) => unreachable!("the driver carries these out itself"),
        }
    }

    /// Keeps an effect for later if its run has no process yet. True if it was kept.
    fn wait_for_pid(&mut self, run: Run, effect: &Effect) -> bool {
        match self.runs.get_mut(&run) {
            Some(live) if live.pid.is_none() => {
                if !live.early.contains(effect) {
                    live.early.push(effect.clone());
                }
                true
            }
            _ => false,
        }
    }

    fn signal(&mut self, run: Run, signal: Signal, scope: StopScope, link: &mut Link) {
        let Some(live) = self.runs.get(&run) else { return };
        if live.exit.is_some() {
            return;
        }
        match scope {
            StopScope::Main => link.signal(run.0, signal),
            StopScope::All if self.tree.has_cgroups() => {
                if let Err(error) = live.cgroup.signal(signal.0) {
                    tracing::warn!("{}: {error}", live.proc);
                    link.signal(run.0, signal);
                }
            }
            StopScope::All => link.signal_group(run.0, signal),
        }
    }

    /// SIGKILL to everything in the run's cgroup; its process group where there are no cgroups.
    pub(super) fn kill(&mut self, run: Run, link: &mut Link) {
        let Some(live) = self.runs.get(&run) else { return };
        if !self.tree.has_cgroups() {
            link.signal_group(run.0, Signal::KILL);
        } else if let Err(error) = live.cgroup.kill() {
            tracing::error!("{}: {error}", live.proc);
            if live.exit.is_none() {
                link.signal(run.0, Signal::KILL);
            }
        }
    }

    pub fn hear(&mut self, message: FromHolder, link: &mut Link, queue: &mut VecDeque<Event>) {
        match message {
            FromHolder::Spawned { token, .. } if token & PROBE != 0 => self.probe_spawned(token),
            FromHolder::SpawnFailed { token, why } if token & PROBE != 0 => self.probe_failed(token, &why),
            FromHolder::Spawned { token, pid, streams } => {
                self.starting = self.starting.saturating_sub(1);
                self.spawned(Run(token), pid, streams, link, queue);
            }
            FromHolder::SpawnFailed { token, why } => {
                self.starting = self.starting.saturating_sub(1);
                self.spawn_failed(Run(token), why, queue);
            }
            FromHolder::Exited { token, exit } if token & PROBE != 0 => self.probe_exited(token, exit, link, queue),
            FromHolder::Exited { token, exit } => self.exited(Run(token), exit, link, queue),
            FromHolder::Terminate => unreachable!("the driver takes it"),
        }
    }

    pub fn told(&mut self, told: Told, link: &mut Link, queue: &mut VecDeque<Event>) {
        match told {
            Told::Prepared { run, prepared } => self.prepared(run, prepared, link, queue),
            Told::Ready { run } => self.ready(run, queue),
            Told::Notified { pid, cgroup } => self.notified(pid, &cgroup, queue),
            Told::Empty { run } => self.gone(run, link, queue),
            Told::OomV1 { run } => {
                if let Some(live) = self.runs.get_mut(&run) {
                    live.oom = true;
                    // v1 has no memory.oom.group: the kernel killed one process, we end the rest of the instance.
                    self.kill(run, link);
                }
            }
            Told::OverMemory { run } => {
                if let Some(live) = self.runs.get(&run) {
                    queue.push_back(Event::OverMemory { proc: live.proc.clone() });
                }
            }
            Told::Sockets(found) => self.looked_at_drains(&found, queue),
            Told::Log(report) => self.log_report(report, link),
            Told::Probe { run } => self.probe(run, link),
            Told::Kernel => self.read_ring(link, queue),
            Told::Admit { run, socket, pause } => self.admit_again(run, socket, pause, link),
            // One that has given up meanwhile lets go of the socket, and says so.
            Told::Aim { run, to, answer } => drop(answer.send(self.aim(run, to))),
            Told::Aimed { from } => self.aim_no_more(from),
            Told::Checked(_) | Told::Made(_) | Told::ToPlan(_) | Told::Files(_) => {
                unreachable!("the driver takes these")
            }
        }
    }

    fn log_report(&mut self, report: Report, link: &mut Link) {
        match report {
            Report::Closed(key) => self.stream_ended(key, link),
            Report::Unspilled(key) => link.drop_spill(run_of(key).0, key.0 & 1),
            Report::Broken { key, why } => {
                tracing::error!("the output of run {} cannot be read any more: {why}", run_of(key));
                // Without its last reader the app gets EPIPE; a pipe that nobody empties would hold it up for ever.
                link.drop_stream(run_of(key).0, key.0 & 1);
                self.stream_ended(key, link);
            }
            Report::Losing { place, why } => tracing::error!("log lines are being lost: {place}: {why}"),
            Report::Kept { place, lines, bytes } => {
                tracing::warn!("{place}: takes lines again; {lines} lines ({bytes} bytes) were lost");
            }
            Report::Wrote { .. } => unreachable!("the driver takes it"),
            Report::NoRecord { why } => tracing::error!("the record of log batches cannot be written: {why}"),
        }
    }

    fn stream_ended(&mut self, key: StreamKey, link: &mut Link) {
        let run = run_of(key);
        if let Some(live) = self.runs.get_mut(&run) {
            live.streams = live.streams.saturating_sub(1);
            self.drop_if_done(run, link);
        }
    }

    /// Forgets a run that is gone and whose output is all in files.
    pub(super) fn drop_if_done(&mut self, run: Run, link: &mut Link) {
        if self.runs.get(&run).is_some_and(|live| live.gone && live.streams == 0) {
            self.runs.remove(&run);
            self.endings.push((run, None));
            link.forget(run.0);
        }
    }

    /// What is to be kept, or kept no more, since the last call.
    pub fn take_endings(&mut self) -> Vec<(Run, Option<Ending>)> {
        std::mem::take(&mut self.endings)
    }

    /// Work that nobody waits for, at the end of the loop's turn: acknowledges exits, writes the news down, and removes
    /// the cgroups of runs that have ended.
    pub fn tidy(&mut self, link: &mut Link) {
        self.give_sharing(link);
        link.send_later();
        self.write_news();
        // rmdir and CLONE_INTO_CGROUP take the same lock in the kernel, and a spawn must not wait for a removal.
        if self.starting == 0 || self.litter.len() > LITTER_MAX {
            self.clear_litter();
        }
    }

    pub(super) fn clear_litter(&mut self) {
        for cgroup in std::mem::take(&mut self.litter) {
            match cgroup.remove() {
                Ok(()) => {}
                // Somebody is in it again; there is another turn.
                Err(error) if error.source.kind() == std::io::ErrorKind::ResourceBusy => self.litter.push(cgroup),
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }

    /// Without the holder nobody hears how processes end, and nobody reads what they print.
    pub fn say_what_is_lost(&self) {
        tracing::error!(
            "the holder has been killed: {} processes run on with nobody to look after them. As a service of systemd it comes \
             back and takes them over; elsewhere the next start of stead ends them and starts their apps anew",
            self.runs.len()
        );
    }

    /// When `look` or `look_at_drains` wants to be called.
    pub fn next_look(&self) -> Option<Mono> {
        [self.watch.next_look(), self.drains.next_look()].into_iter().flatten().min()
    }

    pub fn ports(&self) -> &PortMemory {
        &self.ports
    }

    /// Whether there are ports to be saved that were not there the last time.
    pub fn take_ports_changed(&mut self) -> bool {
        std::mem::take(&mut self.ports_changed)
    }

    /// The last act: nothing runs any more.
    pub fn close(&mut self) {
        self.write_news();
        self.clear_litter();
        self.remove_socket_files();
        self.output.sync();
        self.tree.remove();
    }
}

/// The streams of a run have numbers made of its own.
pub(super) fn stream_key(run: Run, index: u64) -> StreamKey {
    StreamKey(run.0 << 1 | index)
}

fn run_of(key: StreamKey) -> Run {
    Run(key.0 >> 1)
}
