//! The life of one proc: its states, and what each makes of every input.
//! Owns: which effects a transition has, and every deadline.
//! Never: knows about other procs; what a death or a readiness means for the instance is decided by its reader.
//!
//! ```text
//!  Queued ──admit──→ Spawning ──spawned──→ New ──ready──→ Running ──stop──→ Draining ──drained──→ Stopping
//!    │ stop             │ stop              │ stop                              ↑                    │ stop_timeout
//!    ↓                  └───────────────────┴──→ Marked ──ready─────────────────┘                    ↓
//!  (nothing)                                        └──stop_timeout──→ Stopping ───────────────→ Killing
//!  Any live state ──exited──→ Dead ──gone──→ (nothing)
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{Effect, News};
use super::moves::{Context, Next, millis, natural, never_ran, stay};
use crate::model::exit::{Exit, Reason};
use crate::model::selector::Generation;
use crate::model::time::Mono;

/// A program that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    pub pid: i32,
    pub started: Mono,
}

/// Where a proc stands. `child` is None while `Spawned` has not come yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Waits for its restart delay, then for room.
    Queued { not_before: Option<Mono> },
    /// `Spawn` is sent. `ready`: the program was quicker than the news of its start.
    Spawning { give_up_at: Mono, ready: bool },
    /// Runs, not ready yet.
    New { child: Child, give_up_at: Mono },
    /// Ready.
    Running { child: Child },
    /// Told to stop while booting. Stopped once ready, so that no app meets a signal mid-boot, but at `stop_at` anyway.
    Marked { child: Option<Child>, stop_at: Mono, why: Reason },
    /// Takes no new connections; signalled when it has none left, or at `until`.
    Draining { child: Option<Child>, until: Mono, why: Reason },
    /// Stop signal sent.
    Stopping { child: Option<Child>, kill_at: Mono, why: Reason },
    /// SIGKILL sent to its whole cgroup.
    Killing { child: Option<Child>, again_at: Mono, gap: Duration, why: Reason },
    /// The main process is dead; the rest of the cgroup is being killed.
    Dead { child: Option<Child>, again_at: Mono, gap: Duration },
}

/// What can happen to one proc: facts about it, and what its instance wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Admit,
    Spawned(i32),
    SpawnFailed,
    Ready,
    Exited { exit: Exit, oom: bool },
    Gone,
    Drained,
    Deadline,
    Stop(Reason),
    Kill(Reason),
}

/// What the instance must know of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Nothing that concerns it.
    Same,
    Ready,
    Died(Death),
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    pub reason: Reason,
    /// None if it never ran.
    pub exit: Option<Exit>,
    pub phase: Phase,
    pub up: Duration,
}

/// In which part of its life a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before it was ready.
    Boot,
    /// While it was ready and wanted.
    Up,
    /// When it was to end anyway.
    Told,
}

impl State {
    pub fn generation(&self) -> Generation {
        match self {
            State::Queued { .. } => Generation::Queue,
            State::Spawning { .. } | State::New { .. } => Generation::New,
            State::Running { .. } => Generation::Running,
            State::Marked { .. } => Generation::Marked,
            State::Draining { .. } | State::Stopping { .. } | State::Killing { .. } | State::Dead { .. } => {
                Generation::Old
            }
        }
    }

    /// When this state does something by itself.
    pub fn deadline(&self) -> Option<Mono> {
        match *self {
            State::Queued { not_before } => not_before,
            State::Spawning { give_up_at, .. } | State::New { give_up_at, .. } => Some(give_up_at),
            State::Running { .. } => None,
            State::Marked { stop_at, .. } => Some(stop_at),
            State::Draining { until, .. } => Some(until),
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Killing { again_at, .. } | State::Dead { again_at, .. } => Some(again_at),
        }
    }

    pub fn child(&self) -> Option<Child> {
        match *self {
            State::Queued { .. } | State::Spawning { .. } => None,
            State::New { child, .. } | State::Running { child } => Some(child),
            State::Marked { child, .. }
            | State::Draining { child, .. }
            | State::Stopping { child, .. }
            | State::Killing { child, .. }
            | State::Dead { child, .. } => child,
        }
    }

    /// Lets one input happen. None: nothing of the proc is left.
    pub(super) fn next(self, input: Input, cx: &mut Context<'_>) -> Next {
        let (before, at) = (self.generation(), cx.out.len());
        let (after, became) = match self {
            State::Queued { not_before } => queued(not_before, input, cx),
            State::Spawning { give_up_at, ready } => spawning(give_up_at, ready, input, cx),
            State::New { child, give_up_at } => new(child, give_up_at, input, cx),
            State::Running { child } => running(child, input, cx),
            State::Marked { child, stop_at, why } => marked(child, stop_at, why, input, cx),
            State::Draining { child, until, why } => draining(child, until, why, input, cx),
            State::Stopping { child, kill_at, why } => stopping(child, kill_at, why, input, cx),
            State::Killing { child, again_at, gap, why } => killing(child, again_at, gap, why, input, cx),
            State::Dead { child, again_at, gap } => dead(child, again_at, gap, input, cx),
        };
        if let Some(to) = after.as_ref().map(State::generation).filter(|to| *to != before) {
            cx.out.insert(at, Effect::Log { proc: cx.id.clone(), news: News::Moved { to } });
        }
        (after, became)
    }
}

fn queued(not_before: Option<Mono>, input: Input, cx: &mut Context<'_>) -> Next {
    match input {
        Input::Admit => {
            cx.out.push(Effect::Spawn { proc: cx.id.clone(), revision: cx.revision, spec: Arc::clone(cx.spec) });
            let give_up_at = cx.now.mono + cx.spec.start_timeout;
            stay(State::Spawning { give_up_at, ready: false })
        }
        Input::Deadline => stay(State::Queued { not_before: None }),
        Input::Stop(_) | Input::Kill(_) => (None, Became::Same),
        Input::Spawned(_) | Input::SpawnFailed | Input::Ready | Input::Exited { .. } | Input::Gone | Input::Drained => {
            cx.unexpected(input, State::Queued { not_before })
        }
    }
}

fn spawning(give_up_at: Mono, ready: bool, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::Spawning { give_up_at, ready };
    match input {
        Input::Spawned(pid) => {
            let child = cx.started(pid);
            if ready { cx.becomes_ready(child) } else { stay(State::New { child, give_up_at }) }
        }
        Input::SpawnFailed => never_ran(Phase::Boot),
        // Its own socket told us before the holder's did.
        Input::Ready => stay(State::Spawning { give_up_at, ready: true }),
        Input::Exited { exit, .. } => {
            cx.alarm(input, same.generation());
            cx.exits(None, exit, natural(exit), Phase::Boot)
        }
        Input::Gone => cx.gone_too_early(None, input, Phase::Boot),
        Input::Deadline => cx.start_timeout(None),
        Input::Stop(why) => stay(State::Marked { child: None, stop_at: cx.now.mono + cx.spec.stop_timeout, why }),
        Input::Kill(why) => cx.kill(None, why),
        Input::Admit | Input::Drained => cx.unexpected(input, same),
    }
}

fn new(child: Child, give_up_at: Mono, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::New { child, give_up_at };
    match input {
        Input::Ready => cx.becomes_ready(child),
        Input::Exited { exit, oom } => {
            cx.exits(Some(child), exit, if oom { Reason::Oom } else { natural(exit) }, Phase::Boot)
        }
        Input::Gone => cx.gone_too_early(Some(child), input, Phase::Boot),
        Input::Deadline => cx.start_timeout(Some(child)),
        Input::Stop(why) => {
            stay(State::Marked { child: Some(child), stop_at: cx.now.mono + cx.spec.stop_timeout, why })
        }
        Input::Kill(why) => cx.kill(Some(child), why),
        Input::Admit | Input::Spawned(_) | Input::SpawnFailed | Input::Drained => cx.unexpected(input, same),
    }
}

fn running(child: Child, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::Running { child };
    match input {
        Input::Exited { exit, oom } => {
            cx.exits(Some(child), exit, if oom { Reason::Oom } else { natural(exit) }, Phase::Up)
        }
        Input::Gone => cx.gone_too_early(Some(child), input, Phase::Up),
        Input::Stop(why) => cx.drain(Some(child), why),
        Input::Kill(why) => cx.kill(Some(child), why),
        // A program may say so as often as it likes.
        Input::Ready => stay(same),
        Input::Admit | Input::Spawned(_) | Input::SpawnFailed | Input::Drained | Input::Deadline => {
            cx.unexpected(input, same)
        }
    }
}

fn marked(child: Option<Child>, stop_at: Mono, why: Reason, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::Marked { child, stop_at, why };
    match input {
        Input::Spawned(pid) => stay(State::Marked { child: Some(cx.started(pid)), stop_at, why }),
        Input::SpawnFailed => never_ran(Phase::Told),
        Input::Ready => cx.drain(child, why),
        // It ended before anybody told it to: for its own reasons, but nobody waits for it any more.
        Input::Exited { exit, oom } => {
            cx.exits(child, exit, if oom { Reason::Oom } else { natural(exit) }, Phase::Told)
        }
        Input::Gone => cx.gone_too_early(child, input, Phase::Told),
        Input::Deadline => cx.signal(child, why),
        Input::Kill(why) => cx.kill(child, why),
        Input::Stop(_) => stay(same),
        Input::Admit | Input::Drained => cx.unexpected(input, same),
    }
}

fn draining(child: Option<Child>, until: Mono, why: Reason, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::Draining { child, until, why };
    match input {
        Input::Spawned(pid) => stay(State::Draining { child: Some(cx.started(pid)), until, why }),
        Input::SpawnFailed => never_ran(Phase::Told),
        Input::Drained | Input::Deadline => cx.signal(child, why),
        Input::Exited { exit, oom } => cx.exits(child, exit, if oom { Reason::Oom } else { why }, Phase::Told),
        Input::Gone => cx.gone_too_early(child, input, Phase::Told),
        Input::Kill(why) => cx.kill(child, why),
        Input::Stop(_) | Input::Ready => stay(same),
        Input::Admit => cx.unexpected(input, same),
    }
}

fn stopping(child: Option<Child>, kill_at: Mono, why: Reason, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::Stopping { child, kill_at, why };
    match input {
        // The signal went to nobody; now there is somebody.
        Input::Spawned(pid) => {
            let child = Some(cx.started(pid));
            cx.push_signal(cx.spec.stop_signal);
            stay(State::Stopping { child, kill_at, why })
        }
        Input::SpawnFailed => never_ran(Phase::Told),
        Input::Deadline => {
            cx.log(News::StopTimeout { after_ms: millis(cx.spec.stop_timeout) });
            cx.kill(child, Reason::StopTimeout)
        }
        Input::Exited { exit, oom } => cx.exits(child, exit, if oom { Reason::Oom } else { why }, Phase::Told),
        Input::Gone => cx.gone_too_early(child, input, Phase::Told),
        Input::Kill(why) => cx.kill(child, why),
        // `Drained` may come right after `drain_timeout` had us stop waiting for it.
        Input::Stop(_) | Input::Ready | Input::Drained => stay(same),
        Input::Admit => cx.unexpected(input, same),
    }
}

fn killing(
    child: Option<Child>,
    again_at: Mono,
    gap: Duration,
    why: Reason,
    input: Input,
    cx: &mut Context<'_>,
) -> Next {
    let same = State::Killing { child, again_at, gap, why };
    // A boot that was ended for being too slow is a failed boot; every other kill was wished for.
    let phase = if why == Reason::StartTimeout { Phase::Boot } else { Phase::Told };
    match input {
        // The kill may have come before there was anything in the cgroup.
        Input::Spawned(pid) => {
            let child = Some(cx.started(pid));
            cx.out.push(Effect::Kill { proc: cx.id.clone() });
            stay(State::Killing { child, again_at, gap, why })
        }
        Input::SpawnFailed => never_ran(phase),
        Input::Deadline => {
            let (again_at, gap) = cx.kill_again(gap);
            stay(State::Killing { child, again_at, gap, why })
        }
        Input::Exited { exit, .. } => cx.exits(child, exit, why, phase),
        Input::Gone => cx.gone_too_early(child, input, phase),
        // A person who kills what is already being killed wants it done now, in case the first was lost.
        Input::Kill(_) => {
            cx.out.push(Effect::Kill { proc: cx.id.clone() });
            stay(same)
        }
        Input::Stop(_) | Input::Ready | Input::Drained => stay(same),
        Input::Admit => cx.unexpected(input, same),
    }
}

fn dead(child: Option<Child>, again_at: Mono, gap: Duration, input: Input, cx: &mut Context<'_>) -> Next {
    let same = State::Dead { child, again_at, gap };
    match input {
        Input::Gone => (None, Became::Same),
        Input::Deadline => {
            let (again_at, gap) = cx.kill_again(gap);
            stay(State::Dead { child, again_at, gap })
        }
        Input::Kill(_) => {
            cx.out.push(Effect::Kill { proc: cx.id.clone() });
            stay(same)
        }
        // News of its last moments may overtake the news of its death; there is nothing left to stop.
        Input::Ready | Input::Drained | Input::Stop(_) => stay(same),
        Input::Admit | Input::Spawned(_) | Input::SpawnFailed | Input::Exited { .. } => cx.unexpected(input, same),
    }
}
