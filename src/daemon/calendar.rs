//! The calendar for the core: which time comes next, and the one timer that waits for it.
//! Owns: the host's time zones. Never: decides what is done at a time, or what one is worth that comes late.

use std::io;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::driver::Driver;
use super::watched::watched;
use crate::core::event::Event;
use crate::model::ids::{AppName, Revision};
use crate::model::spec::AppSpec;
use crate::model::time::Wall;
use crate::sys::wall_timer::{Rang, WallTimer};

/// What cannot be of the specs' times on this host. On the loop's own thread: the others have too small a stack for a
/// zone's file, which is looked up in memory from the second time on.
pub(super) fn problem(specs: &[AppSpec]) -> Option<String> {
    let problem = |spec: &AppSpec| {
        let why = zone(Some(spec.times.time_zone.as_deref()?)).err()?;
        Some(format!("{}: `time_zone`: {why}", spec.name))
    };
    specs.iter().find_map(problem)
}

/// The zone of a name, or the host's own.
fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        Some(name) => TimeZone::get(name).map_err(|_| format!("no time zone \"{name}\" on this host (tzdata)")),
        // UTC where the host does not say.
        None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
    }
}

/// Waits for one moment on the host's clock, and hears of it when that is set.
#[derive(Debug)]
pub struct Calendar {
    timer: AsyncFd<WallTimer>,
    set: Option<Wall>,
}

impl Calendar {
    pub fn new() -> io::Result<Self> {
        Ok(Self { timer: watched(WallTimer::new()?, Interest::READABLE)?, set: None })
    }

    fn wait_for(&mut self, at: Option<Wall>) {
        if self.set == at {
            return;
        }
        match self.timer.get_ref().set(at.map(|at| Duration::from_nanos(at.0))) {
            Ok(()) => self.set = at,
            Err(error) => tracing::error!("cannot wait for a time of the calendar: {error}"),
        }
    }

    /// Until the time has come, or the clock was set.
    pub async fn rings(&mut self) -> Event {
        loop {
            let Ok(mut guard) = self.timer.readable().await else { return std::future::pending().await };
            let rang = self.timer.get_ref().rang();
            match rang {
                Ok(Rang::Nothing) => guard.clear_ready(),
                Ok(Rang::TimeHasCome) => {
                    self.set = None;
                    return Event::Deadline;
                }
                Ok(Rang::ClockWasSet) => {
                    self.set = None;
                    return Event::ClockSet;
                }
                Err(error) => {
                    tracing::error!("cannot wait for a time of the calendar: {error}");
                    return std::future::pending().await;
                }
            }
        }
    }
}

impl Driver {
    pub(super) fn wait_for_times(&mut self) {
        let next = self.world.next_time();
        self.calendar.wait_for(next);
    }

    /// Answers the core's question when an app's next time is.
    pub(super) fn plan_time(&mut self, app: AppName, revision: Revision, after: Wall) {
        let at = self.world.spec_at(&app, revision).and_then(|spec| next(spec, after));
        self.queue.push_back(Event::Planned { app, revision, after, at });
    }
}

fn next(spec: &AppSpec, after: Wall) -> Option<Wall> {
    match zone(spec.times.time_zone.as_deref()) {
        Ok(zone) => spec.times.next(&zone, after),
        Err(why) => {
            tracing::error!("{}: {why}: nothing is done to it by the calendar", spec.name);
            None
        }
    }
}
