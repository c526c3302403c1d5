//! One app: its revisions, its slots, and what is wanted of them.
//! Owns: making what is there agree with what is wanted, as far as that needs no decision about order; and what follows
//! when a proc becomes ready or dies.
//! Never: starts a proc; it queues one, and `admission` lets it in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::effect::News;
use super::instance::{Goal, Instance, Proc, Purpose, Rest};
use super::moves::Context;
use super::slots::Slots;
use super::state::{Became, Input, State};
use super::timer::Timer;
use super::turn::Turn;
use super::{admission, death, eviction};
use crate::model::exit::Reason;
use crate::model::ids::{AppName, Id, InstanceId, ProcId, Revision, Run, Slot};
use crate::model::request::InstanceResult;
use crate::model::spec::AppSpec;
use crate::model::status::AppView;
use crate::model::time::Mono;

/// What people want of an app. On disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppDesired {
    pub spec: Arc<AppSpec>,
    pub revision: Revision,
    /// Set by `scale`; None: the spec's count.
    pub scaled: Option<u32>,
    /// By slot; longer than the count after a scale down, so that a slot that comes back has its id back.
    pub ids: Vec<Id>,
    /// Slots that a person stopped.
    pub down: BTreeSet<u32>,
    /// To be forgotten once nothing of it is left.
    pub deleting: bool,
}

impl AppDesired {
    /// How many instances are wanted, up or down.
    pub fn count(&self) -> u32 {
        self.scaled.unwrap_or(self.spec.instances)
    }

    /// Whether any of them is to run.
    pub fn is_wanted_up(&self) -> bool {
        !self.deleting && (0..self.count()).any(|slot| !self.down.contains(&slot))
    }
}

/// What is going on in an app. Survives the daemon, not the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppRuntime {
    /// The newest revision, and each older one that a proc still has or may be brought back to.
    pub specs: BTreeMap<Revision, Arc<AppSpec>>,
    pub slots: Slots,
    /// None: nothing is done to it by the calendar.
    #[serde(default)]
    pub timer: Option<Timer>,
}

/// What of an app an event can have put at odds with what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// News of one proc concerns its own slot, and others only in that there may be room for them now.
    Slot(u32),
}

#[derive(Debug)]
pub struct App {
    pub name: AppName,
    pub desired: AppDesired,
    pub runtime: AppRuntime,
    /// `runtime.specs` may have changed since somebody last asked.
    pub(super) specs_touched: bool,
    /// The same of `runtime.timer`.
    pub(super) timer_touched: bool,
    /// Emptied by each change, filled when somebody looks.
    pub(super) view: OnceLock<Arc<AppView>>,
}

impl App {
    pub fn new(desired: AppDesired, mut runtime: AppRuntime) -> Self {
        runtime.specs.insert(desired.revision, Arc::clone(&desired.spec));
        Self {
            name: desired.spec.name.clone(),
            desired,
            runtime,
            specs_touched: true,
            timer_touched: true,
            view: OnceLock::new(),
        }
    }

    /// How many instances are wanted.
    pub fn count(&self) -> u32 {
        self.desired.count()
    }

    /// How many may be alive at once.
    pub fn room(&self) -> usize {
        let count = self.count();
        (count + self.desired.spec.max_surge.of(count)) as usize
    }

    pub fn alive(&self) -> usize {
        self.runtime.slots.values().map(Instance::alive).sum()
    }

    /// Nothing of it is left, queued or alive.
    pub fn is_empty(&self) -> bool {
        self.runtime.slots.values().all(|i| i.procs.is_empty())
    }

    pub fn instance_id(&self, slot: u32) -> InstanceId {
        InstanceId { app: self.name.clone(), slot: Slot(slot) }
    }

    pub fn proc_id(&self, slot: u32, run: Run) -> ProcId {
        ProcId { instance: self.instance_id(slot), run }
    }

    /// Whether this slot is to have a running proc.
    pub fn wants(&self, slot: u32, closing: bool) -> bool {
        !closing && !self.desired.deleting && slot < self.count() && !self.desired.down.contains(&slot)
    }

    /// The settings of a revision that some proc of this app has.
    pub fn spec(&self, revision: Revision) -> &Arc<AppSpec> {
        self.runtime.specs.get(&revision).unwrap_or(&self.desired.spec)
    }

    pub fn next_deadline(&self) -> Option<Mono> {
        self.runtime.slots.values().filter_map(Instance::next_deadline).min()
    }

    /// Queues a run for a slot that has no other incoming one.
    pub fn queue(
        &mut self,
        slot: u32,
        revision: Revision,
        purpose: Purpose,
        not_before: Option<Mono>,
        turn: &mut Turn<'_>,
    ) -> Run {
        let run = turn.take_run();
        let instance = self.runtime.slots.make(slot);
        instance.rest = Rest::No;
        let state = State::Queued { not_before };
        instance.procs.push(Proc { run, revision, purpose, listens: false, serves: false, state });
        run
    }

    /// Lets one input happen to one proc, and draws the consequences within its slot.
    pub fn apply(&mut self, slot: u32, run: Run, input: Input, turn: &mut Turn<'_>) {
        let id = self.proc_id(slot, run);
        let Some(proc) = self.runtime.slots.get(&slot).and_then(|i| i.get(run)) else { return };
        let (revision, purpose) = (proc.revision, proc.purpose);
        let spec = Arc::clone(self.spec(revision));
        let state = proc.state.clone();
        let mut cx = Context { id, revision, spec: &spec, now: turn.now, out: turn.out };
        let (state, became) = state.next(input, &mut cx);
        let Some(instance) = self.runtime.slots.get_mut(&slot) else { return };
        match state {
            Some(state) => {
                if let Some(proc) = instance.get_mut(run) {
                    proc.state = state;
                }
            }
            None => instance.remove(run),
        }
        match became {
            Became::Same => {}
            Became::Ready => eviction::apply_ready(self, slot, run, turn),
            Became::Died(end) => {
                death::apply(self, slot, death::Dead { run, revision, purpose, end, message: None }, turn)
            }
        }
    }

    /// `SpawnFailed` alone brings words along.
    pub fn apply_spawn_failed(&mut self, slot: u32, run: Run, why: String, turn: &mut Turn<'_>) {
        let id = self.proc_id(slot, run);
        let Some(proc) = self.runtime.slots.get(&slot).and_then(|i| i.get(run)) else { return };
        let (revision, purpose, state) = (proc.revision, proc.purpose, proc.state.clone());
        let spec = Arc::clone(self.spec(revision));
        let mut cx = Context { id, revision, spec: &spec, now: turn.now, out: turn.out };
        if let (None, Became::Died(end)) = state.next(Input::SpawnFailed, &mut cx) {
            if let Some(instance) = self.runtime.slots.get_mut(&slot) {
                instance.remove(run);
            }
            death::apply(self, slot, death::Dead { run, revision, purpose, end, message: Some(why) }, turn);
        }
    }

    /// Lets every proc that waited for this moment go on, and does what is due by the calendar.
    pub fn apply_deadlines(&mut self, turn: &mut Turn<'_>) {
        self.keep_time(turn);
        let due = |p: &&Proc| p.state.deadline().is_some_and(|at| at <= turn.now.mono);
        let slots = self.runtime.slots.iter();
        let ready: Vec<(u32, Run)> =
            slots.flat_map(|(slot, i)| i.procs.iter().filter(due).map(|p| (*slot, p.run))).collect();
        for (slot, run) in ready {
            self.apply(slot, run, Input::Deadline, turn);
        }
    }

    /// Makes what is there agree with what is wanted. After it, nothing is left to do without another event.
    pub(super) fn settle(&mut self, which: Which, turn: &mut Turn<'_>) {
        match which {
            Which::Slot(slot) => self.settle_slot(slot, turn),
            Which::All => {
                self.make_slots(turn);
                for slot in self.runtime.slots.keys().copied().collect::<Vec<_>>() {
                    self.settle_slot(slot, turn);
                }
            }
        }
        self.arm(turn);
        admission::admit(self, turn);
        match which {
            Which::Slot(slot) => self.answer_waiters(slot, turn),
            Which::All => {
                for slot in self.runtime.slots.keys().copied().collect::<Vec<_>>() {
                    self.answer_waiters(slot, turn);
                }
            }
        }
        let count = self.count();
        self.runtime.slots.retain(|slot, instance| slot < count || !instance.procs.is_empty());
        self.forget_specs();
        self.view.take();
    }

    fn make_slots(&mut self, turn: &mut Turn<'_>) {
        let missing = if self.desired.deleting || turn.closing { 0 } else { self.count() };
        for slot in 0..missing {
            if self.desired.ids.len() <= slot as usize {
                self.desired.ids.push(turn.numbers.take_id());
                *turn.unsaved = true;
            }
            if !self.runtime.slots.contains_key(&slot) {
                self.runtime.slots.make(slot);
            }
        }
    }

    fn settle_slot(&mut self, slot: u32, turn: &mut Turn<'_>) {
        if self.wants(slot, turn.closing) {
            self.fill(slot, turn);
        } else {
            self.empty(slot, turn);
        }
    }

    fn answer_waiters(&mut self, slot: u32, turn: &mut Turn<'_>) {
        if !self.is_waited_for(slot) {
            return;
        }
        let Some(instance) = self.runtime.slots.get_mut(&slot) else { return };
        for (job, result) in instance.take_settled() {
            turn.tell(job, &InstanceId { app: self.name.clone(), slot: Slot(slot) }, result);
        }
    }

    fn is_waited_for(&self, slot: u32) -> bool {
        self.runtime.slots.get(&slot).is_some_and(|instance| !instance.waiters.is_empty())
    }

    /// Whether `settle` would do anything: true only if *desired* and *runtime* were saved at different moments.
    pub fn is_unsettled(&self, closing: bool) -> bool {
        let at_odds = |(slot, instance): (&u32, &Instance)| {
            if self.wants(*slot, closing) {
                instance.procs.is_empty() && instance.rest == Rest::No
            } else {
                instance.is_live_or_coming()
            }
        };
        let missing = !self.desired.deleting && (0..self.count()).any(|slot| !self.runtime.slots.contains_key(&slot));
        let over = self.desired.deleting && self.is_empty();
        over || self.is_wrongly_armed(closing) || (missing && !closing) || self.runtime.slots.iter().any(at_odds)
    }

    fn fill(&mut self, slot: u32, turn: &mut Turn<'_>) {
        // Whoever changed the wish has told them, unless that change is all that a torn save kept of it.
        self.tell_waiters(slot, |goal| *goal == Goal::Down, &InstanceResult::Superseded, turn);
        let bare = |i: &Instance| i.procs.is_empty() && i.rest == Rest::No;
        if !self.runtime.slots.get(&slot).is_some_and(bare) {
            return;
        }
        if self.desired.spec.is_job() {
            self.runtime.slots.make(slot).rest = Rest::Resting;
        } else {
            self.queue(slot, self.desired.revision, Purpose::Start, None, turn);
        }
    }

    fn empty(&mut self, slot: u32, turn: &mut Turn<'_>) {
        let Some(instance) = self.runtime.slots.get(&slot) else { return };
        let going = |p: &&Proc| p.is_incoming() || matches!(p.state, State::Running { .. });
        let runs: Vec<Run> = instance.procs.iter().filter(going).map(|p| p.run).collect();
        for run in runs {
            self.supersede(slot, run, turn);
            self.apply(slot, run, Input::Stop(Reason::Stopped), turn);
        }
    }

    /// Whoever waits for this run to be up waits in vain.
    pub fn supersede(&mut self, slot: u32, run: Run, turn: &mut Turn<'_>) {
        let waits = |goal: &Goal| matches!(goal, Goal::Up { run: r, reached: false, .. } if *r == run);
        self.tell_waiters(slot, waits, &InstanceResult::Superseded, turn);
    }

    pub fn tell_waiters(
        &mut self,
        slot: u32,
        which: impl Fn(&Goal) -> bool,
        result: &InstanceResult,
        turn: &mut Turn<'_>,
    ) {
        if !self.is_waited_for(slot) {
            return;
        }
        let id = self.instance_id(slot);
        let Some(instance) = self.runtime.slots.get_mut(&slot) else { return };
        for job in instance.take_waiters(which) {
            turn.tell(job, &id, result.clone());
        }
    }

    pub fn log_instance(&self, slot: u32, news: News, turn: &mut Turn<'_>) {
        turn.log_instance(self.instance_id(slot), news);
    }

    fn forget_specs(&mut self) {
        if self.runtime.specs.len() == 1 {
            return;
        }
        let mut used = BTreeSet::from([self.desired.revision]);
        for proc in self.runtime.slots.values().flat_map(|i| &i.procs) {
            used.insert(proc.revision);
            if let Purpose::Roll { from, .. } = proc.purpose {
                used.insert(from);
            }
        }
        let before = self.runtime.specs.len();
        self.runtime.specs.retain(|revision, _| used.contains(revision));
        self.specs_touched |= self.runtime.specs.len() != before;
    }
}
