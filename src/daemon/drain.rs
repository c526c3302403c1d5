//! Runs that take no new connections, until they may be told to stop.
//! Owns: which runs are drained, when their sockets are looked at, and whether anybody takes their place.
//! Never: decides when a connection is idle (`balance::drain` does), or how long to wait at most (the core does).
//!
//! Nothing is looked at unless something drains. What the kernel has to say of thousands of connections is collected on
//! a thread of its own (`traffic`), one look at a time for all runs that are drained.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::clock;
use super::executor::{Executor, Live};
use super::told::Told;
use super::traffic::{self, Found, Who};
use crate::balance::drain::{Paused, Verdict, Wait, verdict};
use crate::balance::routes::Relief;
use crate::core::event::Event;
use crate::model::ids::{AppName, InstanceId, ProcId, Run};
use crate::model::status::Draining;
use crate::model::time::Mono;

/// Until somebody who is ready listens on the rest of a run's ports, too; most do so at once.
const PARTLY: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Drain {
    since: Mono,
    /// When the core stops waiting.
    until: Mono,
    look_at: Mono,
    /// What the latest look found.
    wait: Wait,
    paused: Paused,
}

/// The runs that are drained.
#[derive(Debug, Default)]
pub struct DrainWatch {
    drains: BTreeMap<Run, Drain>,
    /// When the look began that is under way.
    looking: Option<Mono>,
}

/// A look at 10,000 connections takes 40 to 60 ms. Four times as long passes before the next, so that looking takes no
/// more than a fifth of a core.
const PAUSE: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl DrainWatch {
    pub fn add(&mut self, run: Run, now: Mono, until: Mono) {
        self.drains
            .insert(run, Drain { since: now, until, look_at: now, wait: Wait::default(), paused: Paused::new() });
    }

    pub fn remove(&mut self, run: Run) {
        self.drains.remove(&run);
    }

    pub fn is_empty(&self) -> bool {
        self.drains.is_empty()
    }

    /// When to call `take_due`. None while nothing is drained, and while a look is under way.
    pub fn next_look(&self) -> Option<Mono> {
        if self.looking.is_some() {
            return None;
        }
        self.drains.values().map(|drain| drain.look_at.min(drain.until)).min()
    }

    /// Takes out the runs that nobody takes the place of: if no sibling listens on the same ports, new connections keep
    /// coming, and to wait for their end would be to wait for nothing.
    pub fn take_alone(&mut self, siblings: impl Fn(Run) -> bool) -> Vec<Run> {
        let alone: Vec<Run> = self.drains.keys().copied().filter(|run| !siblings(*run)).collect();
        alone.iter().for_each(|run| self.remove(*run));
        alone
    }

    /// Begins a look if it is time: at all runs, since one look costs about the same as one for each. `look` ends it.
    pub fn take_due(&mut self, now: Mono) -> Vec<Run> {
        if self.next_look().is_none_or(|next| next > now) {
            return Vec::new();
        }
        // The core has stopped waiting for these.
        self.drains.retain(|_, drain| drain.until > now);
        self.looking = (!self.drains.is_empty()).then_some(now);
        self.drains.keys().copied().collect()
    }

    /// The end of a look, with what was found of each run. Takes out the runs that are drained, and returns them.
    pub fn look(&mut self, now: Mono, found: &BTreeMap<Run, Found>, relief: impl Fn(Run) -> Relief) -> Vec<Run> {
        let took = self.looking.take().map_or(Duration::ZERO, |began| now.since(began));
        let pause = (took * PAUSE).min(PAUSE_MAX);
        let mut drained = Vec::new();
        for (run, drain) in &mut self.drains {
            // None: it came while the look was under way.
            let Some(found) = found.get(run) else { continue };
            let verdict = match relief(*run) {
                Relief::Nobody => Verdict::Done,
                Relief::Partly => Verdict::Wait(Wait { look_in: PARTLY, ..drain.wait }),
                Relief::Wholly => verdict(&found.sockets, now.since(drain.since), &mut drain.paused),
            };
            match verdict {
                Verdict::Done => drained.push(*run),
                Verdict::Wait(wait) => {
                    drain.look_at = now + wait.look_in.max(pause);
                    drain.wait = wait;
                }
            }
        }
        drained.iter().for_each(|run| self.remove(*run));
        drained
    }

    /// What a run waits for, as people are told.
    fn shown(&self, run: Run, now: Mono) -> Option<Draining> {
        let Drain { wait, until, .. } = self.drains.get(&run)?;
        Some(Draining {
            queued: wait.queued as u64,
            handshakes: wait.handshakes as u64,
            busy: wait.busy as u64,
            quiet_soon: wait.quiet_soon as u64,
            until_ms: u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Executor {
    /// `Effect::Drain`. Whether it has anything to wait for is seen when all effects of the step are carried out: an
    /// app that is stopped as a whole has no run left that takes connections.
    pub(super) fn drain(&mut self, proc: ProcId, now: Mono, queue: &mut VecDeque<Event>) {
        match self.runs.get_mut(&proc.run).filter(|live| live.exit.is_none()) {
            Some(live) => {
                live.leaving = true;
                self.drains.add(proc.run, now, now + live.spec.drain_timeout);
                self.unroute(proc.run);
            }
            None => queue.push_back(Event::Drained { proc }),
        }
    }

    /// Ends the drains that have nothing to wait for, and begins a look at the others if it is time.
    pub fn look_at_drains(&mut self, queue: &mut VecDeque<Event>) {
        if self.drains.is_empty() {
            return;
        }
        let runs = &self.runs;
        let taking: BTreeSet<&AppName> =
            runs.values().filter(|live| takes(live)).map(|live| &live.proc.instance.app).collect();
        let sharing = self.sharing.as_ref().ok();
        let has_sibling = |run| match (runs.get(&run), sharing.and_then(|sharing| sharing.relief(run))) {
            (_, Some(relief)) => relief != Relief::Nobody,
            (Some(live), None) => taking.contains(&live.proc.instance.app),
            (None, None) => false,
        };
        let alone = self.drains.take_alone(has_sibling);
        let due = self.drains.take_due(clock::mono());
        if !due.is_empty() {
            let apps: BTreeSet<&AppName> =
                due.iter().filter_map(|run| Some(&runs.get(run)?.proc.instance.app)).collect();
            let concerned = runs.iter().filter(|(_, live)| apps.contains(&live.proc.instance.app));
            let who = concerned.filter_map(|(run, live)| {
                let drained = due.binary_search(run).is_ok();
                (drained || takes(live)).then(|| Who {
                    run: *run,
                    app: live.proc.instance.app.clone(),
                    cgroup: live.cgroup.clone(),
                    cgroup_id: live.cgroup_id,
                    pid: live.pid,
                    drained,
                })
            });
            let (who, tell): (Vec<Who>, _) = (who.collect(), self.tell.clone());
            tokio::task::spawn_blocking(move || tell.send(Told::Sockets(traffic::look(&who))));
        }
        self.drained(alone, queue);
    }

    /// What a look has found.
    pub(super) fn looked_at_drains(&mut self, found: &BTreeMap<Run, Found>, queue: &mut VecDeque<Event>) {
        let runs = &self.runs;
        let sharing = self.sharing.as_ref().ok();
        let relief = |run| {
            if let Some(relief) = sharing.and_then(|sharing| sharing.relief(run)) {
                return relief;
            }
            // Runs of one instance have the same passed sockets: what one of them has accepted is its own all the same.
            let given = runs.get(&run).filter(|live| !live.spec.listen.is_empty()).map(|live| &live.proc.instance);
            if given.is_some_and(|instance| runs.values().any(|live| takes(live) && live.proc.instance == *instance)) {
                return Relief::Wholly;
            }
            let mut others = found.get(&run).map(|found| &found.others).into_iter().flatten();
            let taken_over = others.any(|other| runs.get(other).is_some_and(takes));
            if taken_over { Relief::Wholly } else { Relief::Nobody }
        };
        let drained = self.drains.look(clock::mono(), found, relief);
        self.drained(drained, queue);
    }

    fn drained(&self, drained: Vec<Run>, queue: &mut VecDeque<Event>) {
        let procs = drained.iter().filter_map(|run| self.runs.get(run)).map(|live| live.proc.clone());
        queue.extend(procs.map(|proc| Event::Drained { proc }));
    }

    /// What instances wait for that are drained. Of two runs of one, the one that may take longer.
    pub(super) fn draining(&self, now: Mono) -> BTreeMap<InstanceId, Draining> {
        let mut shown: BTreeMap<InstanceId, Draining> = BTreeMap::new();
        for (run, live) in &self.runs {
            let Some(draining) = self.drains.shown(*run, now) else { continue };
            let known = shown.entry(live.proc.instance.clone()).or_insert_with(|| draining.clone());
            if known.until_ms < draining.until_ms {
                *known = draining;
            }
        }
        shown
    }
}

/// It takes new connections, and will go on taking them.
fn takes(live: &Live) -> bool {
    live.ready && live.exit.is_none() && !live.leaving
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::drain::Sockets;
    use crate::sys::inet_diag::Listener;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    /// A run with so many connections in its queue.
    fn queued(run: u64, queue: u32) -> (Run, Found) {
        let address = "127.0.0.1:80".parse().unwrap();
        let listener = Listener { inode: 1, cookie: 1, address, queue, backlog: 128, cgroup: None };
        let sockets = Sockets { listeners: vec![listener], ..Sockets::default() };
        (Run(run), Found { sockets, others: vec![Run(9)] })
    }

    fn watch(runs: &[u64]) -> DrainWatch {
        let mut watch = DrainWatch::default();
        runs.iter().for_each(|run| watch.add(Run(*run), ms(0), ms(10_000)));
        watch
    }

    #[test]
    fn looks_go_on_until_nothing_is_left_to_wait_for() {
        let mut watch = watch(&[1, 2]);
        assert_eq!(watch.next_look(), Some(ms(0)));
        assert_eq!(watch.take_due(ms(0)), [Run(1), Run(2)]);
        assert_eq!(watch.next_look(), None, "two looks at once");
        assert_eq!(watch.look(ms(1), &BTreeMap::from([queued(1, 3), queued(2, 0)]), |_| Relief::Wholly), [Run(2)]);
        assert_eq!(watch.shown(Run(1), ms(1)).map(|shown| (shown.queued, shown.until_ms)), Some((3, 9_999)));
        assert_eq!(watch.next_look(), Some(ms(6)));
        assert!(watch.take_due(ms(5)).is_empty());
        assert_eq!(watch.take_due(ms(6)), [Run(1)]);
        // As long after a slow look as four of its kind would take.
        assert!(watch.look(ms(36), &BTreeMap::from([queued(1, 3)]), |_| Relief::Wholly).is_empty());
        assert_eq!(watch.next_look(), Some(ms(156)));
        watch.take_due(ms(156));
        assert_eq!(watch.look(ms(157), &BTreeMap::from([queued(1, 0)]), |_| Relief::Wholly), [Run(1)]);
        assert_eq!(watch.next_look(), None);
    }

    #[test]
    fn without_a_sibling_there_is_nothing_to_wait_for() {
        let mut watch = watch(&[1, 2, 3]);
        assert_eq!(watch.take_alone(|run| run != Run(2)), [Run(2)]);
        assert_eq!(watch.take_due(ms(0)), [Run(1), Run(3)]);
        let found = BTreeMap::from([queued(1, 5), queued(3, 5)]);
        assert_eq!(
            watch.look(ms(1), &found, |run| if run == Run(1) { Relief::Wholly } else { Relief::Nobody }),
            [Run(3)]
        );
        assert!(watch.take_alone(|_| true).is_empty());
        assert_eq!(watch.take_alone(|_| false), [Run(1)]);
    }

    #[test]
    fn a_run_that_comes_while_a_look_is_under_way_is_looked_at_after_it() {
        let mut watch = watch(&[1]);
        watch.take_due(ms(0));
        watch.add(Run(2), ms(1), ms(10_001));
        assert!(watch.look(ms(2), &BTreeMap::from([queued(1, 1)]), |_| Relief::Wholly).is_empty());
        assert_eq!(watch.take_due(ms(2)), [Run(1), Run(2)]);
    }

    #[test]
    fn a_run_that_is_gone_or_was_waited_for_long_enough_is_not_looked_at() {
        let mut watch = watch(&[1, 2]);
        watch.remove(Run(1));
        assert_eq!(watch.take_due(ms(0)), [Run(2)]);
        watch.remove(Run(2));
        assert!(watch.look(ms(1), &BTreeMap::from([queued(2, 0)]), |_| Relief::Wholly).is_empty());

        watch.add(Run(3), ms(0), ms(50));
        watch.take_due(ms(0));
        watch.look(ms(49), &BTreeMap::from([queued(3, 1)]), |_| Relief::Wholly);
        assert_eq!(watch.next_look(), Some(ms(50)));
        assert!(watch.take_due(ms(50)).is_empty());
        assert!(watch.is_empty() && watch.next_look().is_none());
    }

    #[test]
    fn who_is_relieved_of_some_ports_only_waits_for_the_rest() {
        let mut watch = watch(&[1]);
        watch.take_due(ms(0));
        assert!(watch.look(ms(1), &BTreeMap::from([queued(1, 0)]), |_| Relief::Partly).is_empty());
        assert_eq!(watch.next_look(), Some(ms(1) + PARTLY));
        watch.take_due(ms(1) + PARTLY);
        assert_eq!(watch.look(ms(30), &BTreeMap::from([queued(1, 0)]), |_| Relief::Wholly), [Run(1)]);
    }
}
