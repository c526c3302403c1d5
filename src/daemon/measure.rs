//! Figures of what runs, taken when somebody asks.
//! Owns: which meters are read for a question, and how long is waited for them.
//! Never: takes figures on the loop's own thread, or gives those of an earlier question.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use super::asks::Chosen;
use super::clock;
use super::driver::Driver;
use super::readiness::listening;
use crate::metrics::meter::{Depth, Figures, Meter};
use crate::metrics::sampler::Sampler;
use crate::model::listen::Listen;
use crate::sys::rlimit;

/// What was found out about one instance.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// None: nothing of it lives.
    pub figures: Option<Figures>,
    pub ports: Vec<u16>,
    pub cgroup: Option<String>,
}

/// Figures that take longer than this to collect are not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Files may be kept open on descriptors below this one: the upper half is for pipes, logs and connections alone.
pub fn keep_below() -> i32 {
    rlimit::nofile().map_or(0, |(soft, _)| i32::try_from(soft / 2).unwrap_or(i32::MAX))
}

impl Driver {
    /// Of each chosen instance, in order, the figures of the live proc that speaks for it, collected on a thread; no
    /// figures without a depth.
    pub(super) fn measure(
        &self,
        chosen: &[Chosen],
        depth: Option<Depth>,
    ) -> impl Future<Output = Vec<Measured>> + Send + 'static + use<> {
        let mut measured = Vec::new();
        let mut wanted: Vec<Wanted> = Vec::new();
        for slot in chosen.iter().flat_map(Chosen::slots) {
            let live = slot.procs.first().and_then(|proc| self.executor.runs.get(&proc.proc.run));
            let live = live.and_then(|live| live.meter.as_ref().map(|meter| (live, meter)));
            if let (Some((live, meter)), Some(_)) = (live, depth) {
                let given = live.spec.listen.iter().filter_map(Listen::port).collect();
                let meter = Arc::clone(meter);
                wanted.push(Wanted { at: measured.len(), meter, cgroup_id: live.cgroup_id, given });
            }
            let cgroup = live.and_then(|(live, _)| self.executor.tree.shown(&live.proc));
            measured.push(Measured { cgroup, ..Measured::default() });
        }
        let sampler = self.sampler.clone();
        let sampling = depth.map(|depth| tokio::task::spawn_blocking(move || sample(&sampler, &wanted, depth)));
        async move {
            let Some(sampling) = sampling else { return measured };
            if let Ok(Ok(sampled)) = tokio::time::timeout(PATIENCE, sampling).await {
                for (at, figures, ports) in sampled {
                    measured[at].figures = Some(figures);
                    measured[at].ports = ports;
                }
            }
            measured
        }
    }
}

/// A live proc to be looked at.
struct Wanted {
    /// Which of the chosen it speaks for.
    at: usize,
    meter: Arc<Meter>,
    cgroup_id: Option<u64>,
    /// Ports that it was given, and does not listen on by itself.
    given: Vec<u16>,
}

impl Borrow<Meter> for Wanted {
    fn borrow(&self) -> &Meter {
        &self.meter
    }
}

fn sample(sampler: &Sampler, wanted: &[Wanted], depth: Depth) -> Vec<(usize, Figures, Vec<u16>)> {
    let listening = listening();
    let figures = sampler.sample(clock::mono(), wanted, depth);
    let ports = |one: &Wanted| listening.ports_with(one.cgroup_id, one.meter.pid(), one.given.clone());
    wanted.iter().zip(figures).map(|(one, figures)| (one.at, figures, ports(one))).collect()
}
