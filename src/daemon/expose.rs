//! What machines are told: figures of every instance, and of stead itself.
//! Owns: the counts of events, and which fact of the daemon becomes which figure.
//! Never: measures or counts connections on the loop's thread, or keeps a figure for the next who asks.

use std::time::Duration;

use tokio::sync::oneshot;

use super::asks::{Chosen, each};
use super::clock;
use super::driver::Driver;
use super::journal::{self, KINDS};
use super::measure::Measured;
use super::traffic::{self, Who};
use crate::api::{Asked, Owners};
use crate::core::effect::News;
use crate::metrics::exposition::{self, App, Exposition, Instance, Process};
use crate::metrics::itself;
use crate::metrics::meter::Depth;
use crate::model::status::{AppView, InstanceView, MetricsFormat};
use crate::model::time::{Mono, Now, Wall};

/// What is known of the past only because it was counted.
#[derive(Debug, Default)]
pub struct Exposed {
    events: [u64; KINDS.len()],
    epoch: Epoch,
}

impl Exposed {
    pub fn count(&mut self, news: &News) {
        if let Some(count) = journal::kind(news).and_then(|kind| self.events.get_mut(kind)) {
            *count += 1;
        }
    }
}

/// Where the zero of `Mono` is on the calendar. The two clocks drift apart by microseconds, and a start that is told with
/// another fraction each time would look like a restart: it moves only when the calendar is set.
#[derive(Debug, Clone, Copy, Default)]
struct Epoch(Option<u64>);

const DRIFT: Duration = Duration::from_secs(1);

impl Epoch {
    fn at(&mut self, now: Now) -> Self {
        let zero = now.wall.0.saturating_sub(now.mono.0);
        if self.0.is_none_or(|known| Duration::from_nanos(known.abs_diff(zero)) > DRIFT) {
            self.0 = Some(zero);
        }
        *self
    }

    fn wall(self, at: Mono) -> Wall {
        Wall(self.0.unwrap_or_default().saturating_add(at.0))
    }
}

impl Driver {
    pub(super) fn expose(&mut self, owners: Owners, format: MetricsFormat, answer: oneshot::Sender<String>) {
        // Without selectors nothing can be wrong with the question.
        let chosen = self.chosen(&Asked { selectors: Vec::new(), owners }).unwrap_or_default();
        let epoch = self.exposed.epoch.at(clock::now());
        let whose: Vec<Option<Who>> = each(&chosen).map(|(_, slot)| self.who(slot)).collect();
        let events = KINDS.iter().zip(self.exposed.events).map(|(kind, count)| (kind.name, count)).collect();
        let measuring = self.measure(&chosen, Some(Depth::Whole));
        tokio::spawn(async move {
            let measured = measuring.await;
            tokio::task::spawn_blocking(move || {
                let exposition = Exposition {
                    version: env!("CARGO_PKG_VERSION"),
                    apps: chosen.iter().map(app).collect(),
                    instances: instances(&chosen, measured, whose, epoch),
                    events,
                    processes: processes(epoch),
                };
                answer.send(exposition::encode(exposition, format))
            });
        });
    }

    /// Whose connections are an instance's: its speaking run's.
    fn who(&self, slot: &InstanceView) -> Option<Who> {
        let live = self.executor.runs.get(&slot.procs.first()?.proc.run)?;
        Some(Who {
            run: live.proc.run,
            app: live.proc.instance.app.clone(),
            cgroup: live.cgroup.clone(),
            cgroup_id: live.cgroup_id,
            pid: live.pid,
            drained: false,
        })
    }
}

fn app(chosen: &Chosen) -> App {
    let AppView { spec, instances, .. } = &*chosen.app;
    App {
        name: spec.name.to_string(),
        namespace: spec.namespace.clone(),
        user: spec.identity.user.clone(),
        instances_wanted: *instances,
    }
}

fn instances(chosen: &[Chosen], measured: Vec<Measured>, whose: Vec<Option<Who>>, epoch: Epoch) -> Vec<Instance> {
    let listens: Vec<bool> = measured.iter().map(|measured| !measured.ports.is_empty()).collect();
    let asked = whose.into_iter().zip(&listens).filter_map(|(who, listens)| who.filter(|_| *listens));
    let mut counts = traffic::count(&asked.collect::<Vec<Who>>()).into_iter();
    let of = |((app, slot), Measured { figures, ports, .. }): ((&AppView, &InstanceView), Measured)| {
        let speaker = slot.procs.first();
        let live = speaker.filter(|proc| proc.pid.is_some());
        Instance {
            app: app.spec.name.to_string(),
            slot: slot.instance.slot.0,
            status: slot.status,
            up: live.is_some(),
            ready: speaker.is_some_and(|proc| proc.ready),
            outdated: slot.outdated,
            started: live.and_then(|proc| proc.started).map(|started| epoch.wall(started)),
            restarts: slot.restart_reasons.clone(),
            figures,
            memory_max: app.spec.limits.memory_max.map(|bytes| bytes.0),
            max_memory_restart: app.spec.limits.max_memory_restart.map(|bytes| bytes.0),
            connections: if ports.is_empty() { None } else { counts.next() },
        }
    };
    each(chosen).zip(measured).map(of).collect()
}

/// The daemon, and its parent.
fn processes(epoch: Epoch) -> Vec<(&'static str, Process)> {
    let pids = [("steadd", std::process::id().cast_signed()), ("stead-holder", nix::unistd::getppid().as_raw())];
    let cost = |(name, pid)| {
        let cost = itself::cost(pid)?;
        Some((name, Process { cost, started: epoch.wall(cost.started) }))
    };
    pids.into_iter().filter_map(cost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_the_same_however_the_clocks_drift_and_anew_once_the_calendar_is_set() {
        let now = |mono, wall| Now { mono: Mono(mono), wall: Wall(wall) };
        let mut epoch = Epoch::default();
        let first = epoch.at(now(50, 1_000_000_050)).wall(Mono(7));
        assert_eq!(first, Wall(1_000_000_007));
        assert_eq!(epoch.at(now(90, 1_000_400_090)).wall(Mono(7)), first);
        assert_eq!(epoch.at(now(90, 9_000_000_090)).wall(Mono(7)), Wall(9_000_000_007));
    }
}
