//! The moves a proc can make from one state to another.
//! Owns: the effects and the deadline that go with each move.
//! Never: chooses one; `state` does, state by state.

use std::sync::Arc;
use std::time::Duration;

use super::effect::{Alarm, Effect, News};
use super::state::{Became, Child, Death, Input, Phase, State};
use crate::model::exit::{Exit, Reason};
use crate::model::ids::{ProcId, Revision};
use crate::model::selector::Generation;
use crate::model::signal::Signal;
use crate::model::spec::AppSpec;
use crate::model::time::{Mono, Now};

/// SIGKILL cannot be refused, but a process in uninterruptible sleep obeys late. Asked again after this, then doubling.
const KILL_AGAIN: Duration = Duration::from_secs(5);
const KILL_AGAIN_MAX: Duration = Duration::from_secs(300);

/// What a transition may read and write.
pub struct Context<'a> {
    pub id: ProcId,
    pub revision: Revision,
    pub spec: &'a Arc<AppSpec>,
    pub now: Now,
    pub out: &'a mut Vec<Effect>,
}

/// The state after a transition, None if nothing of the proc is left; and what the instance must know.
pub type Next = (Option<State>, Became);

pub fn stay(state: State) -> Next {
    (Some(state), Became::Same)
}

pub fn never_ran(phase: Phase) -> Next {
    (None, Became::Died(Death { reason: Reason::SpawnFailed, exit: None, phase, up: Duration::ZERO }))
}

/// Why a process ended that nobody had told to.
pub fn natural(exit: Exit) -> Reason {
    match exit {
        Exit::Signal { .. } => Reason::Signal,
        Exit::Code(_) => Reason::Exit,
        Exit::Unknown => Reason::Unknown,
    }
}

pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Context<'_> {
    pub fn log(&mut self, news: News) {
        self.out.push(Effect::Log { proc: self.id.clone(), news });
    }

    pub fn started(&mut self, pid: i32) -> Child {
        self.log(News::Started { pid, revision: self.revision });
        Child { pid, started: self.now.mono }
    }

    pub fn becomes_ready(&mut self, child: Child) -> Next {
        self.log(News::Ready { after_ms: millis(self.now.mono.since(child.started)) });
        (Some(State::Running { child }), Became::Ready)
    }

    pub fn drain(&mut self, child: Option<Child>, why: Reason) -> Next {
        self.out.push(Effect::Drain { proc: self.id.clone() });
        stay(State::Draining { child, until: self.now.mono + self.spec.drain_timeout, why })
    }

    pub fn signal(&mut self, child: Option<Child>, why: Reason) -> Next {
        self.log(News::Stopping { signal: self.spec.stop_signal });
        if child.is_some() {
            self.push_signal(self.spec.stop_signal);
        }
        stay(State::Stopping { child, kill_at: self.now.mono + self.spec.stop_timeout, why })
    }

    pub fn push_signal(&mut self, signal: Signal) {
        self.out.push(Effect::Signal { proc: self.id.clone(), signal, scope: self.spec.stop_scope });
    }

    pub fn start_timeout(&mut self, child: Option<Child>) -> Next {
        self.log(News::StartTimeout { after_ms: millis(self.spec.start_timeout) });
        self.kill(child, Reason::StartTimeout)
    }

    pub fn kill(&mut self, child: Option<Child>, why: Reason) -> Next {
        self.log(News::Killing { why });
        self.out.push(Effect::Kill { proc: self.id.clone() });
        stay(State::Killing { child, again_at: self.now.mono + KILL_AGAIN, gap: KILL_AGAIN, why })
    }

    pub fn kill_again(&mut self, gap: Duration) -> (Mono, Duration) {
        self.out.push(Effect::Kill { proc: self.id.clone() });
        let gap = (gap * 2).min(KILL_AGAIN_MAX);
        (self.now.mono + gap, gap)
    }

    pub fn exits(&mut self, child: Option<Child>, exit: Exit, reason: Reason, phase: Phase) -> Next {
        let up = child.map_or(Duration::ZERO, |child| self.now.mono.since(child.started));
        let dead = State::Dead { child, again_at: self.now.mono + KILL_AGAIN, gap: KILL_AGAIN };
        (Some(dead), Became::Died(Death { reason, exit: Some(exit), phase, up }))
    }

    /// `Gone` without `Exited`: the status is lost, the proc is gone all the same.
    pub fn gone_too_early(&mut self, child: Option<Child>, input: Input, phase: Phase) -> Next {
        self.alarm(input, Generation::Old);
        let (_, became) = self.exits(child, Exit::Unknown, Reason::Exit, phase);
        (None, became)
    }

    pub fn unexpected(&mut self, input: Input, same: State) -> Next {
        self.alarm(input, same.generation());
        stay(same)
    }

    pub fn alarm(&mut self, input: Input, generation: Generation) {
        let (event, generation) = (format!("{input:?}"), generation.as_str().to_owned());
        self.out.push(Effect::Alarm(Alarm::Unexpected { event, proc: self.id.clone(), generation }));
    }
}
