//! Who may start now.
//! Owns: that no more than `instances + max_surge` procs of an app are alive when one starts, that rolls go a few at a
//! time, and whether a replacement comes before or after the one it replaces.
//! Never: makes a proc; it lets queued ones in, oldest first.

use super::app::App;
use super::effect::News;
use super::instance::{Goal, Instance, Proc, Purpose};
use super::state::{Input, State};
use super::turn::Turn;
use crate::model::exit::Reason;
use crate::model::ids::{JobId, Run};
use crate::model::selector::Generation;
use crate::model::spec::{AppSpec, Replace};

/// In which order a replacement and the one it replaces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    NewFirst,
    /// `why` if nobody asked for it.
    OldFirst {
        why: Option<String>,
    },
}

enum Gate {
    Open,
    Wait,
    StopFirst { running: Run, why: Reason, said: Option<String>, others: Others },
}

/// Whether other instances may stay while one is down for its replacement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// All but a few.
    Stay,
    /// None that is to be replaced as well.
    Go,
}

/// Lets in whom there is room for.
pub fn admit(app: &mut App, turn: &mut Turn<'_>) {
    let due = |p: &&Proc| p.state == State::Queued { not_before: None };
    let slots = app.runtime.slots.iter();
    let mut waiting: Vec<(Run, u32)> =
        slots.filter_map(|(slot, i)| i.procs.iter().find(due).map(|p| (p.run, *slot))).collect();
    if waiting.is_empty() {
        return;
    }
    waiting.sort();
    let room = app.room();
    let mut alive = app.alive();
    let abreast = app.desired.spec.max_surge.of(app.count()) as usize;
    let mut down_for_it = app.runtime.slots.values().filter(|i| is_down_for_replacement(i)).count();
    for (run, slot) in waiting {
        match gate(app, slot, run) {
            Gate::Open if alive < room => {
                alive += 1;
                count_restart(app, slot, run);
                app.apply(slot, run, Input::Admit, turn);
            }
            Gate::StopFirst { running, why, said, others } if others == Others::Go || down_for_it < abreast => {
                down_for_it += 1;
                if let Some(said) = said {
                    say_old_first(app, slot, run, &said, turn);
                }
                app.apply(slot, running, Input::Stop(why), turn);
            }
            Gate::Open | Gate::StopFirst { .. } | Gate::Wait => {}
        }
    }
}

/// The order in which `spec` would replace what is alive in this slot. `Replace::Auto` means new-first wherever that can
/// work, `Replace::ByPort` the same of an app that listens.
pub fn plan_order(app: &App, instance: &Instance, spec: &AppSpec) -> Order {
    if spec.is_job() {
        return Order::OldFirst { why: None };
    }
    match spec.replace {
        Replace::NewFirst => return Order::NewFirst,
        Replace::OldFirst => return Order::OldFirst { why: None },
        Replace::Auto | Replace::ByPort => {}
    }
    let mut why = None;
    let mut procs = app.runtime.slots.values().flat_map(|i| &i.procs);
    if !spec.share_ports {
        why = Some("share_ports is off".to_owned());
    } else if procs.clone().any(|p| p.listens) {
        why = Some("it listens on a port that two runs cannot share on this host".to_owned());
    } else if spec.replace == Replace::ByPort && spec.listen.is_empty() && !procs.any(|p| p.serves) {
        why = Some("it listens on no port, so the old and the new one would do the same work at once".to_owned());
    } else {
        let users = instance.procs.iter().filter(|p| p.is_alive()).map(|p| &app.spec(p.revision).identity.user);
        if let Some(user) = users.into_iter().find(|user| **user != spec.identity.user) {
            why = Some(format!("its user changes from {user} to {}", spec.identity.user));
        }
    }
    if why.is_some() { Order::OldFirst { why } } else { Order::NewFirst }
}

fn gate(app: &App, slot: u32, run: Run) -> Gate {
    let Some(instance) = app.runtime.slots.get(&slot) else { return Gate::Wait };
    let Some(proc) = instance.get(run) else { return Gate::Wait };
    let spec = app.spec(proc.revision);
    if instance.alive() == 0 {
        return if strangers(app, spec).any(|leaves| leaves) { Gate::Wait } else { Gate::Open };
    }
    // The rest of a dead run is being killed, and may still hold what the next one needs.
    if instance.procs.iter().any(|p| matches!(p.state, State::Dead { .. })) {
        return Gate::Wait;
    }
    match (plan_order(app, instance, spec), instance.running()) {
        (Order::NewFirst, _) => Gate::Open,
        (Order::OldFirst { why: said }, Some(running)) => {
            let why = proc.purpose.reason();
            let others = if strangers(app, spec).next().is_some() { Others::Go } else { Others::Stay };
            Gate::StopFirst { running: running.run, why, said, others }
        }
        (Order::OldFirst { .. }, None) => Gate::Wait,
    }
}

/// The runs of another user than this spec's: for each, whether it is on its way out. The kernel lets sockets of one
/// user only share a port, so none may be there when the first of a new user starts; but one that stays is not waited
/// for.
fn strangers<'a>(app: &'a App, spec: &'a AppSpec) -> impl Iterator<Item = bool> + 'a {
    let shares = matches!(spec.replace, Replace::Auto | Replace::ByPort) && spec.share_ports;
    let slots = app.runtime.slots.values().filter(move |_| shares);
    slots.flat_map(move |instance| {
        let is_stranger = |p: &&Proc| p.is_alive() && app.spec(p.revision).identity.user != spec.identity.user;
        let replaced = instance.queued().is_some_and(|p| app.spec(p.revision).identity.user == spec.identity.user);
        let leaves = move |p: &Proc| replaced || matches!(p.state.generation(), Generation::Old | Generation::Marked);
        instance.procs.iter().filter(is_stranger).map(leaves)
    })
}

/// Nothing runs in this slot because its replacement comes second.
fn is_down_for_replacement(instance: &Instance) -> bool {
    instance.running().is_none() && instance.incoming().is_some_and(|p| p.purpose.replaces())
}

fn count_restart(app: &mut App, slot: u32, run: Run) {
    let Some(instance) = app.runtime.slots.get_mut(&slot) else { return };
    let why = match instance.get(run).map(|p| p.purpose) {
        Some(Purpose::Respawn) => instance.last_exit.as_ref().map_or(Reason::Unknown, |last| last.reason),
        Some(purpose) if purpose.renews() => purpose.reason(),
        Some(_) | None => return,
    };
    instance.restarts += 1;
    *instance.restart_reasons.entry(why).or_default() += 1;
}

/// Once for each roll, in the log of the app and in the answer to whoever waits.
fn say_old_first(app: &App, slot: u32, run: Run, why: &str, turn: &mut Turn<'_>) {
    let Some(instance) = app.runtime.slots.get(&slot) else { return };
    let note = format!("{} is replaced old-first: {why}", app.name);
    let waits = |goal: &Goal| matches!(goal, Goal::Up { run: awaited, .. } if *awaited == run);
    let jobs: Vec<JobId> = instance.waiters.iter().filter(|w| waits(&w.goal)).map(|w| w.job).collect();
    let mut first = jobs.is_empty();
    for job in jobs {
        first |= turn.jobs.note(job, &note);
    }
    if first {
        app.log_instance(slot, News::OldFirst { why: why.to_owned() }, turn);
    }
}
