//! The one task that owns `World`.
//! Owns: the loop: take one event, step, save, run the effects, publish the snapshot.
//! Never: decides what should run (the core does) or how a thing is done (the executor does).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::adopt::Adoption;
use super::calendar::Calendar;
use super::clock;
use super::executor::Executor;
use super::expose::Exposed;
use super::fault::Fault;
use super::link::{FromHolder, Link, LinkError};
use super::listen::PortMemory;
use super::mode::Mode;
use super::news::{Line, Unwritten};
use super::runtime::{Key, RuntimeFile};
use super::store::{Store, StoreError};
use super::told::Told;
use crate::api::{Ask, Job, JobUpdate, Refusal};
use crate::core::Part;
use crate::core::effect::Effect;
use crate::core::event::Event;
use crate::core::store::Desired;
use crate::core::world::World;
use crate::logs::capture::Report;
use crate::metrics::sampler::Sampler;
use crate::model::ids::JobId;
use crate::model::request::Request;
use crate::model::status::Snapshot;
use crate::model::time::{Mono, Now};

/// What is on disk.
#[derive(Serialize, Deserialize)]
pub struct OnDisk {
    pub world: Desired,
    pub ports: PortMemory,
}

impl OnDisk {
    /// Nothing was ever asked for.
    pub fn empty() -> Self {
        Self { world: World::new(0).desired(), ports: PortMemory::default() }
    }
}

/// Where what must not be forgotten is kept, and how far numbers were given.
pub struct Keeping {
    pub store: Store,
    pub runtime: RuntimeFile,
    pub next_job: u64,
    pub fault: Fault,
    pub mode: Mode,
    pub calendar: Calendar,
}

pub struct Driver {
    pub(super) world: World,
    pub(super) store: Store,
    pub(super) runtime: RuntimeFile,
    pub(super) unwritten: Unwritten,
    fault: Fault,
    pub(super) executor: Executor,
    pub(super) link: Link,
    pub(super) mode: Mode,
    pub(super) calendar: Calendar,
    jobs: HashMap<JobId, Waiting>,
    next_job: u64,
    pub(super) queue: VecDeque<Event>,
    pub(super) sampler: Sampler,
    pub(super) exposed: Exposed,
    effects: Vec<Effect>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    exit: bool,
}

/// Who waits for a request.
struct Waiting {
    updates: mpsc::UnboundedSender<JobUpdate>,
    answer: Option<Answer>,
}

type Answer = (tokio::sync::oneshot::Sender<Result<Job, Refusal>>, mpsc::UnboundedReceiver<JobUpdate>);

impl Driver {
    pub fn new(
        world: World,
        Keeping { store, runtime, next_job, fault, mode, calendar }: Keeping,
        executor: Executor,
        link: Link,
        snapshots: watch::Sender<Arc<Snapshot>>,
        sampler: Sampler,
    ) -> Self {
        Self {
            world,
            store,
            runtime,
            unwritten: Unwritten::new(&[]),
            fault,
            executor,
            link,
            mode,
            calendar,
            jobs: HashMap::new(),
            next_job,
            queue: VecDeque::new(),
            sampler,
            exposed: Exposed::default(),
            effects: Vec::new(),
            snapshots,
            exit: false,
        }
    }

    /// Takes up what a daemon before us has left. `news`: what it may not have written into the logs; `stale`: the disk
    /// has not what is wanted now.
    pub fn adopt(&mut self, adoption: Adoption, news: Vec<Line>, stale: bool) {
        if adoption.alive() > 0 {
            tracing::info!("{} processes of the daemon before are taken over", adoption.alive());
        }
        let mut outstanding = self.world.outstanding();
        let is_question = |effect: &mut Effect| matches!(effect, Effect::NextTime { .. });
        for question in outstanding.extract_if(.., is_question) {
            if let Effect::NextTime { app, revision, after } = question {
                self.plan_time(app, revision, after);
            }
        }
        // All had been stopped, and the last word was not said.
        self.exit = outstanding.contains(&Effect::Exit);
        outstanding.retain(|effect| *effect != Effect::Exit);
        self.executor.adopt(adoption, outstanding, &mut self.link, &mut self.queue);
        // From here on only changes are written; a first run, and a newer version, have all to write.
        for part in self.world.parts() {
            self.keep_part(part);
        }
        self.runtime.put(&Key::Desired, &self.world.desired());
        self.runtime.put(&Key::NextJob, &self.next_job);
        if stale {
            self.save();
        }
        self.unwritten = Unwritten::new(&news);
        self.write_unwritten(news);
    }

    /// Serves until the core says `Exit` or the holder is gone.
    pub async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut told: mpsc::UnboundedReceiver<Told>,
    ) -> Result<(), LinkError> {
        // What was saved is brought up before anybody asks for more.
        self.queue.push_back(Event::Deadline);
        // It may have been set while nobody looked.
        self.queue.push_back(Event::ClockSet);
        self.settle();
        while !self.exit {
            let deadline = self.deadline();
            tokio::select! {
                message = self.link.receive() => match message {
                    Ok(message) => self.hear(message),
                    Err(error) => {
                        self.executor.say_what_is_lost();
                        return Err(error);
                    }
                },
                Some(told) = told.recv() => self.told(told),
                Some(ask) = asks.recv() => self.ask(ask),
                () = sleep_until(deadline) => self.deadline_passed(),
                rang = self.calendar.rings() => self.queue.push_back(rang),
            }
            self.settle();
        }
        self.executor.close();
        self.link.quit().await;
        Ok(())
    }

    /// The next moment at which anything is due. None at rest: no timer without a deadline behind it.
    fn deadline(&self) -> Option<Mono> {
        [self.world.next_deadline(), self.executor.next_look()].into_iter().flatten().min()
    }

    fn deadline_passed(&mut self) {
        let now = clock::mono();
        self.executor.look(now, &mut self.queue);
        if self.world.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.queue.push_back(Event::Deadline);
        }
    }

    fn hear(&mut self, message: FromHolder) {
        if matches!(message, FromHolder::Terminate) {
            return self.stop_everything();
        }
        self.executor.hear(message, &mut self.link, &mut self.queue);
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Checked(checked) => self.checked(*checked),
            Told::Made(made) => self.made(*made),
            Told::ToPlan(to_plan) => self.to_plan(*to_plan),
            Told::Files(files) => self.deploy_files_for(*files),
            Told::Log(Report::Wrote { number }) => self.wrote(number),
            told => self.executor.told(told, &mut self.link, &mut self.queue),
        }
    }

    /// Steps through every waiting event, carrying out what each asks for; then tells the world.
    fn settle(&mut self) {
        let happened = !self.queue.is_empty();
        loop {
            // All that has happened by now, then one save, then all that is to be done about it.
            let mut effects = std::mem::take(&mut self.effects);
            let now = clock::now();
            while let Some(event) = self.queue.pop_front() {
                self.world.step(now, event, &mut effects);
                self.fault.place();
            }
            if effects.contains(&Effect::SaveDesired) {
                self.save();
                self.fault.place();
            }
            if !effects.is_empty() {
                self.keep_news(now, &effects);
                self.keep();
                self.fault.place();
                self.carry_out(now, &mut effects);
            }
            effects.clear();
            self.effects = effects;
            // Most drains have nothing to wait for, and are over in the turn they begin in.
            self.executor.look_at_drains(&mut self.queue);
            if self.queue.is_empty() {
                break;
            }
        }
        if self.executor.take_ports_changed() {
            self.save();
        }
        self.keep();
        self.wait_for_times();
        if happened {
            self.fault.place();
        }
        self.executor.tidy(&mut self.link);
        if happened {
            self.fault.place();
        }
        let changed = self.snapshots.send_if_modified(|old| {
            let new = self.world.snapshot();
            // A view that did not change is the same one.
            let same = old.apps.iter().zip(&new.apps).all(|(old, new)| Arc::ptr_eq(old, new));
            let changed = old.apps.len() != new.apps.len() || !same;
            if changed {
                *old = Arc::new(new);
            }
            changed
        });
        self.drop_sockets(changed);
    }

    fn carry_out(&mut self, now: Now, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                // Before anything else was done.
                Effect::SaveDesired | Effect::Log { .. } | Effect::LogInstance { .. } => {}
                Effect::Deny { job, denied } => self.refuse(job, denied.into()),
                Effect::Accepted { job, instances } => {
                    if let Some((answer, updates)) = self.jobs.get_mut(&job).and_then(|waiting| waiting.answer.take()) {
                        // A caller that has gone away does not stop what was asked for.
                        let _ = answer.send(Ok(Job { id: job, instances, updates }));
                    }
                }
                Effect::Progress { job, outcome } => self.update(job, JobUpdate::Progress(outcome)),
                Effect::Done { job, mut outcome } => {
                    self.executor.explain(&mut outcome);
                    self.update(job, JobUpdate::Done(outcome));
                    self.jobs.remove(&job);
                }
                Effect::NextTime { app, revision, after } => self.plan_time(app, revision, after),
                Effect::Exit => self.exit = true,
                Effect::Alarm(alarm) => tracing::error!("this cannot happen, and did: {alarm}"),
                effect => self.executor.carry_out(effect, now, &mut self.link, &mut self.queue),
            }
            self.fault.place();
        }
    }

    fn update(&self, job: JobId, update: JobUpdate) {
        if let Some(waiting) = self.jobs.get(&job) {
            let _ = waiting.updates.send(update);
        }
    }

    fn refuse(&mut self, job: JobId, refusal: Refusal) {
        if let Some((answer, _)) = self.jobs.remove(&job).and_then(|waiting| waiting.answer) {
            let _ = answer.send(Err(refusal));
        }
    }

    fn save(&mut self) {
        let on_disk = OnDisk { world: self.world.desired(), ports: self.executor.ports().clone() };
        if let Err(error) = self.store.save(&on_disk) {
            tracing::error!("what is wanted is not on disk, and would not outlive the machine: {error}");
        }
        self.runtime.put(&Key::Desired, &on_disk.world);
    }

    /// Keeps what has changed, before anything is done about it.
    fn keep(&mut self) {
        for part in self.world.take_changed() {
            self.keep_part(part);
        }
        for (run, ending) in self.executor.take_endings() {
            match ending {
                Some(ending) => self.runtime.put(&Key::Ending(run), &ending),
                None => self.runtime.remove(&Key::Ending(run)),
            }
        }
        if let Err(error) = self.runtime.commit() {
            tracing::error!("what goes on could not be kept for a daemon after this one: {error}");
        }
    }

    fn keep_part(&mut self, part: Part) {
        match self.world.part(&part) {
            Some(value) => self.runtime.put(&Key::World(part), &value),
            None => self.runtime.remove(&Key::World(part)),
        }
    }

    /// SIGTERM: the same as `stead shutdown`, with nobody waiting.
    fn stop_everything(&mut self) {
        let job = self.take_job();
        self.queue.push_back(Event::Request { job, request: Request::Shutdown });
    }

    fn take_job(&mut self) -> JobId {
        let job = JobId(self.next_job);
        self.next_job += 1;
        self.runtime.put(&Key::NextJob, &self.next_job);
        job
    }

    /// Hands a request to the core; its answer goes to the one who asked.
    pub(super) fn submit(&mut self, request: Request, answer: tokio::sync::oneshot::Sender<Result<Job, Refusal>>) {
        if let Err(error) = self.has_room_for(&request) {
            let text = format!("nothing was done: what is wanted could not be saved: {error}");
            return drop(answer.send(Err(Refusal::Unavailable(text))));
        }
        let job = self.take_job();
        let (updates, receiver) = mpsc::unbounded_channel();
        self.jobs.insert(job, Waiting { updates, answer: Some((answer, receiver)) });
        self.queue.push_back(Event::Request { job, request });
    }
}

impl Driver {
    /// Before a request changes what is wanted: whether that can be saved. What is running can always be let go.
    fn has_room_for(&self, request: &Request) -> Result<(), StoreError> {
        let more = match request {
            Request::Deploy { specs, .. } => serde_json::to_vec(specs).map_or(0, |bytes| bytes.len()),
            Request::Start { .. } | Request::Stop { .. } | Request::Scale { .. } | Request::Delete { .. } => 0,
            // A restart changes nothing of it but the numbers of runs; a kill and a shutdown must always be possible.
            Request::Restart { .. }
            | Request::Kill { .. }
            | Request::Signal { .. }
            | Request::Reset { .. }
            | Request::Shutdown => return Ok(()),
        };
        let now = self.runtime.len(&Key::Desired) + u64::try_from(more).unwrap_or(u64::MAX);
        self.store.make_room(now + SPARE)
    }
}

/// What a request may add to what is saved, beside its specs: ids, ports.
const SPARE: u64 = 256 << 10;

/// Never, without a deadline.
async fn sleep_until(deadline: Option<Mono>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(clock::mono())).await,
        None => std::future::pending().await,
    }
}
