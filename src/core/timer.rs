//! Times by the calendar, as far as the core knows them: the next one of each app, and what follows when it comes.
//! Owns: which app waits for a time at all, what a time that comes late is worth, and whom it concerns.
//! Never: knows a calendar. It asks for the time after a moment (`Effect::NextTime`) and is told (`Event::Planned`);
//! meanwhile and after a daemon's death the question stands in what is saved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::app::App;
use super::effect::{Effect, News};
use super::instance::{Purpose, Rest};
use super::turn::Turn;
use crate::model::ids::Revision;
use crate::model::time::Wall;

/// A time that passed unseen longer ago is lost; a clock that is set back by more had been wrong before.
const LATE: Duration = Duration::from_secs(3600);

/// What an app waits for by the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Whose patterns count.
    pub revision: Revision,
    pub next: Next,
    /// The latest time that has come.
    pub last: Option<Wall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// The time after this one is asked for.
    Asked {
        after: Wall,
    },
    At(Wall),
    /// There is none, or it cannot be told.
    Unknown,
}

impl App {
    /// When something is to happen by the calendar.
    pub fn next_time(&self) -> Option<Wall> {
        match self.runtime.timer.as_ref()?.next {
            Next::At(at) => Some(at),
            Next::Asked { .. } | Next::Unknown => None,
        }
    }

    /// The question that is open, for a daemon that cannot know whether the one before it had it answered.
    pub(super) fn open_question(&self) -> Option<Effect> {
        let timer = self.runtime.timer.as_ref()?;
        let Next::Asked { after } = timer.next else { return None };
        Some(Effect::NextTime { app: self.name.clone(), revision: timer.revision, after })
    }

    /// Whether `arm` has anything to do.
    pub(super) fn is_wrongly_armed(&self, closing: bool) -> bool {
        let armed = self.runtime.timer.as_ref().map(|timer| timer.revision);
        armed != self.waits_for_times(closing).then_some(self.desired.revision)
    }

    /// Nothing happens by the calendar to an app that a person has stopped.
    fn waits_for_times(&self, closing: bool) -> bool {
        !self.desired.spec.times.patterns().is_empty() && !closing && self.desired.is_wanted_up()
    }

    pub(super) fn arm(&mut self, turn: &mut Turn<'_>) {
        if !self.is_wrongly_armed(turn.closing) {
            return;
        }
        if self.waits_for_times(turn.closing) {
            let last = self.runtime.timer.as_ref().and_then(|timer| timer.last);
            self.ask_for_time(last, turn);
        } else {
            self.runtime.timer = None;
            self.timer_touched = true;
        }
    }

    fn ask_for_time(&mut self, last: Option<Wall>, turn: &mut Turn<'_>) {
        let now = turn.now.wall;
        // The clock was set back a little, and shows again what it has shown.
        let after = last.filter(|last| *last > now && late(now, *last) <= LATE).unwrap_or(now);
        let revision = self.desired.revision;
        self.runtime.timer = Some(Timer { revision, next: Next::Asked { after }, last });
        self.timer_touched = true;
        turn.out.push(Effect::NextTime { app: self.name.clone(), revision, after });
    }

    /// The answer, unless the question has changed meanwhile.
    pub(super) fn plan_time(&mut self, revision: Revision, after: Wall, at: Option<Wall>) {
        let Some(timer) = self.runtime.timer.as_mut().filter(|timer| timer.revision == revision) else { return };
        if timer.next == (Next::Asked { after }) {
            timer.next = at.map_or(Next::Unknown, Next::At);
            self.timer_touched = true;
        }
    }

    /// What time it is has changed.
    pub(super) fn clock_was_set(&mut self, turn: &mut Turn<'_>) {
        if let Some(timer) = &self.runtime.timer {
            // What the new clock says has come, comes by `keep_time`.
            if self.next_time().is_none_or(|at| at > turn.now.wall) {
                self.ask_for_time(timer.last, turn);
            }
        }
    }

    /// Does what is to be done at a time that has come.
    pub(super) fn keep_time(&mut self, turn: &mut Turn<'_>) {
        let Some(at) = self.next_time().filter(|at| *at <= turn.now.wall) else { return };
        let since = late(at, turn.now.wall);
        let spec = self.desired.spec.clone();
        for slot in 0..self.count() {
            if !self.wants(slot, turn.closing) {
                continue;
            }
            if since > LATE {
                self.log_instance(slot, News::Missed { by_ms: millis(since) }, turn);
            } else if spec.is_job() {
                self.run_job(slot, turn);
            } else {
                self.restart_by_time(slot, turn);
            }
        }
        self.ask_for_time(Some(at), turn);
    }

    fn run_job(&mut self, slot: u32, turn: &mut Turn<'_>) {
        let instance = self.runtime.slots.make(slot);
        if !instance.procs.is_empty() {
            return self.log_instance(slot, News::Overlap, turn);
        }
        instance.crashes = Default::default();
        self.log_instance(slot, News::Due, turn);
        self.queue(slot, self.desired.revision, Purpose::Start, None, turn);
    }

    fn restart_by_time(&mut self, slot: u32, turn: &mut Turn<'_>) {
        let Some(instance) = self.runtime.slots.get(&slot) else { return };
        let at_rest = instance.procs.is_empty() && instance.rest == Rest::Resting;
        let (revision, purpose) = match (instance.running(), instance.incoming()) {
            (Some(running), None) => (running.revision, Purpose::Cron),
            (None, None) if at_rest => (self.desired.revision, Purpose::Start),
            (Some(_), Some(_)) => return self.log_instance(slot, News::Overlap, turn),
            (None, _) => return,
        };
        self.log_instance(slot, News::Due, turn);
        self.queue(slot, revision, purpose, None, turn);
    }
}

fn late(at: Wall, now: Wall) -> Duration {
    Duration::from_nanos(now.0.saturating_sub(at.0))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
