//! Who leaves when somebody new is ready.
//! Owns: that a slot has one running proc, the newest; an older one never takes the place of a newer one.
//! Never: evicts for anything but readiness. Slots beyond the count leave by `App::settle`.

use super::app::App;
use super::instance::Goal;
use super::state::{Input, State};
use super::turn::Turn;
use crate::model::exit::Reason;
use crate::model::ids::Run;

/// The proc `run` of `slot` is ready.
pub fn apply_ready(app: &mut App, slot: u32, run: Run, turn: &mut Turn<'_>) {
    let Some(instance) = app.runtime.slots.get_mut(&slot) else { return };
    let Some(proc) = instance.get(run) else { return };
    let (age, purpose) = (proc.age(), proc.purpose);
    let rivals = instance.procs.iter().filter(|p| p.run != run && matches!(p.state, State::Running { .. }));
    let rivals: Vec<_> = rivals.map(|p| (p.age(), p.run)).collect();
    if rivals.iter().any(|(other, _)| *other > age) {
        app.supersede(slot, run, turn);
        app.apply(slot, run, Input::Stop(Reason::Replaced), turn);
        return;
    }
    for waiter in &mut instance.waiters {
        if let Goal::Up { run: awaited, reached, .. } = &mut waiter.goal
            && *awaited <= run
        {
            *reached = true;
        }
    }
    let why = purpose.reason();
    for (_, older) in rivals {
        app.apply(slot, older, Input::Stop(why), turn);
    }
}
