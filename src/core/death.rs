//! What follows the end of a run.
//! Owns: whether and as what an instance comes back, and which jobs fail by it.
//! Never: deploys. A crash respawns the revision that was running; a failed roll leaves, or brings back, the one before.

use super::app::App;
use super::effect::News;
use super::instance::{Goal, Proc, Purpose, Rest};
use super::restart::{self, End, Verdict};
use super::state::{Death, Phase};
use super::turn::Turn;
use crate::model::exit::{Exit, LastExit, Reason};
use crate::model::ids::{JobId, Revision, Run};
use crate::model::quantity::format_span;
use crate::model::request::{ENDED_EARLY, InstanceResult, NOT_READY};
use crate::model::spec::Restart;

/// To whom a clean end is a failure, it most likely is one of these two.
const CLEAN_MEND: &str = ": a job that ends needs restart = \"on-failure\"; a program that puts itself in the background \
                          must be run in the foreground";

/// A run that is over.
pub struct Dead {
    pub run: Run,
    pub revision: Revision,
    pub purpose: Purpose,
    pub end: Death,
    /// What there is to say beyond the reason.
    pub message: Option<String>,
}

/// Records the death, then settles what it means for its slot and its roll.
pub fn apply(app: &mut App, slot: u32, mut dead: Dead, turn: &mut Turn<'_>) {
    if let Some(message) = &mut dead.message {
        // Wherever this is said, the instance stands before it already.
        let name = format!("{}: ", app.instance_id(slot));
        if let Some(rest) = message.strip_prefix(&name) {
            *message = rest.to_owned();
        }
    }
    record(app, slot, &dead, turn);
    let wanted = app.wants(slot, turn.closing);
    let Some(instance) = app.runtime.slots.get_mut(&slot) else { return };
    let others = instance.is_live_or_coming();
    match dead.end.phase {
        Phase::Told => {}
        Phase::Up if !wanted => {}
        // Its successor is on its way already and now has nothing to wait for.
        Phase::Up if others => instance.hurry(),
        Phase::Up => respawn(app, slot, &dead, turn),
        Phase::Boot => failed_boot(app, slot, &dead, wanted, others, turn),
    }
}

fn record(app: &mut App, slot: u32, dead: &Dead, turn: &mut Turn<'_>) {
    let message = match dead.end.reason {
        Reason::StartTimeout => {
            Some(format!("{NOT_READY} {} (start_timeout)", format_span(app.spec(dead.revision).start_timeout)))
        }
        _ => dead.message.clone(),
    };
    let last = LastExit { reason: dead.end.reason, exit: dead.end.exit, at: turn.now.wall, message };
    match &dead.message {
        Some(why) => app.log_instance(slot, News::SpawnFailed { why: why.clone() }, turn),
        None => {
            let news = News::Exited { reason: last.reason, text: last.to_string() };
            turn.log(app.proc_id(slot, dead.run), news);
        }
    }
    if let Some(instance) = app.runtime.slots.get_mut(&slot) {
        instance.last_exit = Some(last);
    }
}

fn failed_boot(app: &mut App, slot: u32, dead: &Dead, wanted: bool, others: bool, turn: &mut Turn<'_>) {
    let on_this_run = |goal: &Goal| matches!(goal, Goal::Up { run, reached: false, .. } if *run == dead.run);
    let policy = app.spec(dead.revision).restart;
    if wanted && !others && (stops(app, dead) || is_clean(dead) && policy != Restart::Always) {
        // A short job that did its work before anything could call it ready.
        let done = InstanceResult::Started;
        app.tell_waiters(slot, on_this_run, &done, turn);
        rest(app, slot, Rest::Resting);
        return;
    }
    let why = failure(app, slot, dead);
    app.tell_waiters(slot, on_this_run, &InstanceResult::Failed { why: why.clone() }, turn);
    if let Purpose::Roll { job, .. } = dead.purpose {
        cancel(app, slot, Series::Roll(job), &why, turn);
    }
    if dead.purpose == Purpose::Cron {
        cancel(app, slot, Series::Cron, &why, turn);
    }
    if !wanted {
        return;
    }
    let coming = app.runtime.slots.get(&slot).is_some_and(|i| i.incoming().is_some());
    match dead.purpose {
        Purpose::Memory if others && !coming => retry_for_memory(app, slot, dead, turn),
        _ if others => {}
        // A run of a job that a person asked for is no reason to run it once more as it was.
        Purpose::Roll { from, .. } if from != dead.revision && !app.spec(dead.revision).is_job() => {
            bring_back(app, slot, from, &why, turn);
        }
        Purpose::Roll { .. } | Purpose::Start | Purpose::Respawn | Purpose::Memory | Purpose::Cron => {
            respawn(app, slot, dead, turn);
        }
    }
}

/// It ended as an app of its kind does that is not to come back.
fn stops(app: &App, dead: &Dead) -> bool {
    let codes = &app.spec(dead.revision).stop_exit_codes;
    let code = match dead.end.exit {
        Some(Exit::Code(code)) if dead.end.reason == Reason::Exit => u8::try_from(code).ok(),
        _ => None,
    };
    code.is_some_and(|code| codes.contains(&code))
}

fn is_clean(dead: &Dead) -> bool {
    dead.end.exit == Some(Exit::Code(0)) && dead.end.reason == Reason::Exit
}

/// Why a boot came to nothing, for the person who asked for it.
fn failure(app: &App, slot: u32, dead: &Dead) -> String {
    let last = app.runtime.slots.get(&slot).and_then(|i| i.last_exit.as_ref());
    match (dead.end.reason, &dead.message, last) {
        (Reason::SpawnFailed, Some(why), _) => why.clone(),
        (Reason::StartTimeout, _, Some(LastExit { message: Some(message), .. })) => message.clone(),
        (_, _, Some(last)) => {
            let end = format!("{ENDED_EARLY} ({last})");
            if is_clean(dead) && app.spec(dead.revision).restart == Restart::Always { end + CLEAN_MEND } else { end }
        }
        (reason, _, None) => format!("{ENDED_EARLY} ({reason})"),
    }
}

fn respawn(app: &mut App, slot: u32, dead: &Dead, turn: &mut Turn<'_>) {
    match verdict(app, slot, dead, turn) {
        Verdict::Again { after, attempts } => {
            queue_after(app, slot, dead.revision, Purpose::Respawn, (after, attempts), turn);
        }
        Verdict::Rest => rest(app, slot, Rest::Resting),
        Verdict::GiveUp { deaths } if app.spec(dead.revision).is_job() => {
            rest(app, slot, Rest::Resting);
            app.log_instance(slot, News::GaveUpUntilDue { deaths }, turn);
        }
        Verdict::GiveUp { deaths } => {
            rest(app, slot, Rest::Errored);
            app.log_instance(slot, News::GaveUp { deaths }, turn);
        }
    }
}

/// The one that is too big still runs; its replacement is tried again by the same rules as a restart, and given up by
/// them too. `memory_max` is there for the rest.
fn retry_for_memory(app: &mut App, slot: u32, dead: &Dead, turn: &mut Turn<'_>) {
    match verdict(app, slot, dead, turn) {
        Verdict::Again { after, attempts } => {
            queue_after(app, slot, dead.revision, Purpose::Memory, (after, attempts), turn);
        }
        Verdict::Rest | Verdict::GiveUp { .. } => {}
    }
}

fn verdict(app: &mut App, slot: u32, dead: &Dead, turn: &mut Turn<'_>) -> Verdict {
    let spec = app.spec(dead.revision).clone();
    let stops = stops(app, dead);
    let end = End { clean: is_clean(dead), stops, was_ready: dead.end.phase == Phase::Up, up: dead.end.up };
    match app.runtime.slots.get_mut(&slot) {
        Some(instance) => restart::next_verdict(&spec, &mut instance.crashes, end, &mut turn.numbers.jitter),
        None => Verdict::Rest,
    }
}

fn queue_after(
    app: &mut App,
    slot: u32,
    revision: Revision,
    purpose: Purpose,
    (after, attempts): (std::time::Duration, u32),
    turn: &mut Turn<'_>,
) {
    let not_before = (!after.is_zero()).then(|| turn.now.mono + after);
    app.queue(slot, revision, purpose, not_before, turn);
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    app.log_instance(slot, News::Restarting { after_ms, deaths: attempts }, turn);
}

fn rest(app: &mut App, slot: u32, rest: Rest) {
    if let Some(instance) = app.runtime.slots.get_mut(&slot) {
        instance.rest = rest;
    }
}

/// The revision before takes its place again, with a clean record: it had been stopped while it was well.
fn bring_back(app: &mut App, slot: u32, to: Revision, why: &str, turn: &mut Turn<'_>) {
    if let Some(instance) = app.runtime.slots.get_mut(&slot) {
        instance.crashes = Default::default();
    }
    app.queue(slot, to, Purpose::Respawn, None, turn);
    app.log_instance(slot, News::RolledBack { to, why: why.to_owned() }, turn);
}

/// Replacements of several instances that go one after the other, for one reason.
#[derive(Debug, Clone, Copy)]
enum Series {
    Roll(JobId),
    Cron,
}

/// What has not been replaced yet stays; what had already been stopped for it comes back.
fn cancel(app: &mut App, failed: u32, series: Series, why: &str, turn: &mut Turn<'_>) {
    let from = |purpose: Purpose, revision: Revision| match (purpose, series) {
        (Purpose::Roll { from, job: of }, Series::Roll(job)) if of == job => Some(from),
        (Purpose::Cron, Series::Cron) => Some(revision),
        (Purpose::Roll { .. } | Purpose::Start | Purpose::Respawn | Purpose::Memory | Purpose::Cron, _) => None,
    };
    let slots = app.runtime.slots.iter();
    let of = |slot: u32, p: &Proc| Some((slot, p.run, from(p.purpose, p.revision)?));
    let queued = slots.filter_map(|(slot, i)| i.queued().and_then(|p| of(*slot, p)));
    let queued: Vec<(u32, Run, Revision)> = queued.collect();
    let failed = app.instance_id(failed);
    for (slot, run, from) in queued {
        let on_it = |goal: &Goal| matches!(goal, Goal::Up { run: awaited, .. } if *awaited == run);
        let why = format!("not replaced, because {failed} failed: {why}");
        app.tell_waiters(slot, on_it, &InstanceResult::Failed { why: why.clone() }, turn);
        let wanted = app.wants(slot, turn.closing);
        let Some(instance) = app.runtime.slots.get_mut(&slot) else { continue };
        let revision = instance.get(run).map(|p| p.revision);
        instance.remove(run);
        if wanted && !instance.is_live_or_coming() {
            if revision == Some(from) {
                app.queue(slot, from, Purpose::Respawn, None, turn);
            } else {
                bring_back(app, slot, from, &why, turn);
            }
        }
    }
}
