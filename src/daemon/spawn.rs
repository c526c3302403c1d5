//! How a run begins: its cgroup, its identity and environment, the plan for the holder, and what follows the news.
//! Owns: the way from `Effect::Spawn` to `Event::Spawned` or `Event::SpawnFailed`.
//! Never: forks; only the holder does.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::account::{self, Account};
use super::environment::{self, Person};
use super::executor::{Executor, Live, stream_key};
use super::link::{Link, Streams};
use super::told::Told;
use super::{clock, ipc, memory, passed, program};
use crate::core::event::Event;
use crate::holder::plan::{Passed, Plan, Sink, Step};
use crate::metrics::meter::{Cgroups, Meter};
use crate::model::ids::{ProcId, Revision, Run};
use crate::model::listen::Listen;
use crate::model::spec::{AppSpec, ReadyOn};
use crate::sys::cgroup::{Controller, RunCgroup};
use crate::sys::rlimit;

/// What had to be found out away from the loop.
#[derive(Debug)]
pub struct Prepared {
    account: Account,
    env_file: BTreeMap<String, String>,
}

/// Of an instance: its process, its streams, its sockets, and what is read of it.
pub(super) const FDS_EACH: u64 = 6;
/// And of the daemon itself, with a few clients and log files.
const FDS_OWN: u64 = 64;

impl Executor {
    pub(super) fn spawn(
        &mut self,
        proc: ProcId,
        revision: Revision,
        spec: Arc<AppSpec>,
        link: &mut Link,
        queue: &mut VecDeque<Event>,
    ) {
        let run = proc.run;
        let made = self.has_descriptors().and_then(|()| self.tree.make(&proc, &spec.limits));
        let cgroup = match made {
            Ok(cgroup) => cgroup,
            Err(why) => {
                let why = format!("{}: {why}", proc.instance);
                return queue.push_back(Event::SpawnFailed { proc, why });
            }
        };
        self.prepare_sharing(&proc.instance.app, &spec);
        let known = self.accounts.get(&proc.instance.app).filter(|(identity, _)| *identity == spec.identity);
        let known = known.map(|(_, account)| account.clone());
        // Its program may listen before the news of its start is here.
        let live = Live { cgroup_id: cgroup.id(), cgroup, ..Live::new(proc, Arc::clone(&spec), revision) };
        self.runs.insert(run, live);
        match known {
            // The way of a respawn: nothing to look up, nothing to wait for.
            Some(account) if spec.env_file.is_none() => {
                self.prepared(run, Ok(Box::new(Prepared { account, env_file: BTreeMap::new() })), link, queue);
            }
            known => {
                let tell = self.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let _ = tell.send(Told::Prepared { run, prepared: prepare(&spec, known).map(Box::new) });
                });
            }
        }
    }

    pub(super) fn prepared(
        &mut self,
        run: Run,
        prepared: Result<Box<Prepared>, String>,
        link: &mut Link,
        queue: &mut VecDeque<Event>,
    ) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return self.spawn_failed(run, why, queue),
        };
        let account = prepared.account.clone();
        live.account = Some(account.clone());
        live.env_file = prepared.env_file;
        let (app, identity) = (live.spec.name.clone(), live.spec.identity.clone());
        if self.has_sockets(run, &account, link) {
            self.launch(run, link, queue);
        }
        self.accounts.insert(app, (identity, account));
    }

    /// Everything is there for it.
    pub(super) fn launch(&mut self, run: Run, link: &mut Link, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get(&run) else { return };
        match plan(live, &self.notify_path) {
            Ok(plan) => match link.spawn(run.0, plan) {
                Ok(()) => {
                    self.starting += 1;
                    self.asked(run);
                }
                Err(why) => self.spawn_failed(run, why, queue),
            },
            Err(why) => self.spawn_failed(run, why, queue),
        }
    }

    /// Before a process is there: a daemon without descriptors could not even hear what became of it.
    fn has_descriptors(&self) -> Result<(), String> {
        let Ok((limit, _)) = rlimit::nofile() else { return Ok(()) };
        let needed = (self.runs.len() as u64 + 1) * FDS_EACH + FDS_OWN;
        if needed <= limit {
            return Ok(());
        }
        Err(format!(
            "the daemon may have {limit} open files, too few for one more instance: raise LimitNOFILE of its unit"
        ))
    }

    fn asked(&mut self, run: Run) {
        if let Some(live) = self.runs.get_mut(&run) {
            live.asked = true;
        }
    }

    /// Nothing of the run is left but its cgroup, which is empty.
    pub(super) fn spawn_failed(&mut self, run: Run, why: String, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.remove(&run) else { return };
        self.drains.remove(run);
        self.litter.push(live.cgroup);
        let why = format!("{}: {why}", live.proc.instance);
        queue.push_back(Event::SpawnFailed { proc: live.proc, why });
    }

    /// The program runs.
    pub(super) fn spawned(
        &mut self,
        run: Run,
        pid: i32,
        streams: Streams,
        link: &mut Link,
        queue: &mut VecDeque<Event>,
    ) {
        let now = clock::now();
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.started = now.mono;
        let spec = Arc::clone(&live.spec);
        for (index, pipe) in [streams.out, streams.err].into_iter().enumerate() {
            let Some(pipe) = pipe else { continue };
            live.streams += 1;
            self.output.capture(
                stream_key(run, index as u64),
                pipe,
                index,
                &live.proc.instance,
                &spec,
                live.account.as_ref(),
            );
        }
        queue.push_back(Event::Spawned { proc: live.proc.clone(), pid });
        self.attend(run, pid, streams.ipc);
        let early = self.runs.get_mut(&run).map(|live| std::mem::take(&mut live.early)).unwrap_or_default();
        self.await_ready(run, now.mono, link, queue);
        for effect in early {
            self.carry_out(effect, now, link, queue);
        }
    }

    /// Measures, hears and watches the process of a run.
    pub(super) fn attend(&mut self, run: Run, pid: i32, ipc: Option<OwnedFd>) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.pid = Some(pid);
        live.meter = Some(Arc::new(Meter::new(pid, live.started, figures_of(&live.cgroup))));
        if let Some(channel) = ipc {
            let tell = self.tell.clone();
            let heard = matches!(live.spec.ready_on, ReadyOn::Auto | ReadyOn::Message);
            let task = tokio::spawn(async move {
                let served = ipc::serve(channel, || {
                    if heard {
                        let _ = tell.send(Told::Ready { run });
                    }
                });
                if let Err(error) = served.await {
                    tracing::debug!("the IPC channel of run {run} ended: {error}");
                }
            });
            live.tasks.push(task.abort_handle());
        }
        let layout = self.tree.host.layout;
        live.tasks.extend(memory::watch_oom_killer(run, &live.cgroup, &live.spec.limits, layout, &self.tell));
    }
}

/// Where the figures of a run are found.
fn figures_of(cgroup: &RunCgroup) -> Cgroups {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let v1 = |wanted| cgroup.v1.iter().find(|(controller, _)| *controller == wanted).map(|(_, dir)| text(dir));
    Cgroups {
        tree: cgroup.v2.as_deref().map(text).or_else(|| v1(Controller::Freezer)),
        controllers: cgroup.memory_events_file().is_some(),
        memory_v1: v1(Controller::Memory),
        cpuacct_v1: v1(Controller::Cpuacct),
        pids_v1: v1(Controller::Pids),
    }
}

/// May block on the user database and on a file system.
fn prepare(spec: &AppSpec, known: Option<Account>) -> Result<Prepared, String> {
    let account = known.map_or_else(|| account::resolve(&spec.identity), Ok)?;
    let env_file = match &spec.env_file {
        Some(path) => account::read_env_file(&account, path)?,
        None => BTreeMap::new(),
    };
    Ok(Prepared { account, env_file })
}

fn plan(live: &Live, notify_path: &str) -> Result<Plan, String> {
    let account = live.account.as_ref().ok_or("its user is not known yet")?;
    let spec = &live.spec;
    let person = Person { name: &account.name, home: &account.home, shell: &account.shell };
    let mut extra = vec![("NOTIFY_SOCKET", notify_path.to_owned())];
    let mut passed: Vec<Passed> = passed::names_of(&live.proc.instance, spec).map(Passed::Stored).collect();
    let mut steps = program::steps(spec, account, live.cgroup.enter_also())?;
    // As sd_listen_fds(3) has it: from fd 3 on, and nothing before them.
    if !passed.is_empty() {
        extra.push(("LISTEN_FDS", passed.len().to_string()));
        extra.push(("LISTEN_FDNAMES", spec.listen.iter().map(Listen::fd_name).collect::<Vec<_>>().join(":")));
        steps.push(Step::OwnPid(c"LISTEN_PID".into()));
    }
    if spec.runs_node() {
        extra.push(("NODE_CHANNEL_FD", (3 + passed.len()).to_string()));
        passed.push(Passed::Ipc);
    }
    let mut env = environment::compose(spec, &live.proc.instance, &person, &live.env_file, &extra);
    // One of `env_file` would stand before the true one.
    env.retain(|pair| spec.listen.is_empty() || !pair.starts_with("LISTEN_PID="));
    let mut args = Vec::with_capacity(spec.command.args.len() + 1);
    args.push(program::c_string(&spec.command.program, "the program's path")?);
    for argument in &spec.command.args {
        args.push(program::c_string(argument, "an argument")?);
    }
    Ok(Plan {
        program: args[0].clone(),
        args,
        env: env.iter().map(|pair| program::c_string(pair, "the environment")).collect::<Result<_, _>>()?,
        cgroup: live.cgroup.clone_into(),
        steps,
        stdout: Sink::Pipe,
        stderr: Sink::Pipe,
        passed,
    })
}

/// The plan of one attempt of `ready_on = { exec = … }`: the app's person, directory, environment and cgroup.
pub(super) fn probe_plan(live: &Live, argv: &[String], notify_path: &str) -> Result<Plan, String> {
    let account = live.account.as_ref().ok_or("its user is not known yet")?;
    let mut plan = plan(live, notify_path)?;
    // It is given nothing; without the channel itself Node would not even begin.
    let given = ["NODE_CHANNEL_FD=", "LISTEN_FDS=", "LISTEN_FDNAMES="];
    plan.env.retain(|pair| !given.iter().any(|name| pair.as_bytes().starts_with(name.as_bytes())));
    plan.args = argv.iter().map(|argument| program::c_string(argument, "an argument")).collect::<Result<_, _>>()?;
    plan.program = plan.args.first().cloned().ok_or("the probe's command is empty")?;
    plan.steps = program::probe_steps(&live.spec, account, live.cgroup.enter_also())?;
    plan.stdout = Sink::Null;
    plan.stderr = Sink::Null;
    plan.passed = Vec::new();
    Ok(plan)
}
