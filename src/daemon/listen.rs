//! Readiness by listening: which new procs are waited for, and what makes each of them ready.
//! Owns: the rules of `listen` and `auto`, and when to look next. Never: looks; the driver brings the listeners.
//!
//! Where the kernel tells of a listen(2), nothing is looked for. Elsewhere looks go on while a proc boots: the intervals
//! grow from 2 to 100 ms and end with the boot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::ids::{AppName, InstanceId, Revision, Run};
use crate::model::time::Mono;

/// `auto` takes a proc that never listens for ready after this long.
pub const ALIVE: Duration = Duration::from_secs(1);

const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// What a booting proc must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Listen on any port.
    Any,
    /// Listen on all of these again.
    All(Vec<u16>),
    /// Listen on any port, or live until then.
    AnyOrAlive { until: Mono },
}

/// What is remembered of an app's listening, over restarts of the daemon too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMemory {
    /// By app and slot, since instances may be given a port each: the fixed ports it had when it last became ready, and
    /// the revision that had them.
    ready: BTreeMap<AppName, BTreeMap<u32, (Revision, Vec<u16>)>>,
    /// Apps of which some proc ever listened.
    listened: BTreeSet<AppName>,
}

impl PortMemory {
    /// What `auto` asks of a new proc (architecture section 4). One that is `given` sockets need not listen by itself,
    /// whatever the app did before.
    pub fn rule(&self, instance: &InstanceId, revision: Revision, given: bool, started: Mono) -> Rule {
        match self.ready.get(&instance.app).and_then(|slots| slots.get(&instance.slot.0)) {
            Some((known, ports)) if *known == revision && !ports.is_empty() => Rule::All(ports.clone()),
            _ if self.listened.contains(&instance.app) && !given => Rule::Any,
            _ => Rule::AnyOrAlive { until: started + ALIVE },
        }
    }

    /// Keeps what a proc had when it became ready; true if that is news. A port within `ephemeral` may be another one
    /// next time, since the kernel hands those out, so it is not waited for.
    pub fn became_ready(
        &mut self,
        instance: &InstanceId,
        revision: Revision,
        ports: &[u16],
        ephemeral: &RangeInclusive<u16>,
    ) -> bool {
        if ports.is_empty() {
            return false;
        }
        let fixed: Vec<u16> = ports.iter().copied().filter(|port| !ephemeral.contains(port)).collect();
        let slots = self.ready.entry(instance.app.clone()).or_default();
        let had = slots.insert(instance.slot.0, (revision, fixed));
        let first = self.listened.insert(instance.app.clone());
        first || had.as_ref() != slots.get(&instance.slot.0)
    }

    pub fn forget(&mut self, app: &AppName) {
        self.ready.remove(app);
        self.listened.remove(app);
    }
}

/// How the news of a listen(2) comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The kernel tells (`balance::hooks`): there is nothing to look for.
    Told,
    /// It must be looked for.
    Sought,
}

#[derive(Debug)]
struct Booting {
    rule: Rule,
    since: Mono,
    news: News,
}

/// The procs that are waited for.
#[derive(Debug, Default)]
pub struct ListenWatch {
    booting: BTreeMap<Run, Booting>,
    next: Option<Mono>,
}

impl ListenWatch {
    pub fn add(&mut self, run: Run, rule: Rule, now: Mono, news: News) {
        let booting = Booting { rule, since: now, news };
        self.next = self.next.into_iter().chain(next_look(&booting, now)).min();
        self.booting.insert(run, booting);
    }

    pub fn remove(&mut self, run: Run) {
        self.booting.remove(&run);
        if self.booting.is_empty() {
            self.next = None;
        }
    }

    /// When to call `look`. None while nothing boots that time changes anything for.
    pub fn next_look(&self) -> Option<Mono> {
        self.next
    }

    /// `ports` tells the TCP ports a run listens on now. Returns the runs that have become ready.
    pub fn look(&mut self, now: Mono, mut ports: impl FnMut(Run) -> Vec<u16>) -> Vec<Run> {
        let mut ready = Vec::new();
        self.booting.retain(|run, booting| {
            let done = booting.rule.is_met(&ports(*run), now);
            if done {
                ready.push(*run);
            }
            !done
        });
        self.next = self.booting.values().filter_map(|booting| next_look(booting, now)).min();
        ready
    }

    /// A run listens on these now. True if that makes it ready.
    pub fn heard(&mut self, run: Run, ports: &[u16], now: Mono) -> bool {
        let ready = self.booting.get(&run).is_some_and(|booting| booting.rule.is_met(ports, now));
        if ready {
            self.remove(run);
        }
        ready
    }
}

impl Rule {
    fn is_met(&self, open: &[u16], now: Mono) -> bool {
        match self {
            Rule::Any => !open.is_empty(),
            Rule::All(wanted) => wanted.iter().all(|port| open.contains(port)),
            Rule::AnyOrAlive { until } => !open.is_empty() || now >= *until,
        }
    }
}

/// A quarter of its age later, within bounds; a deadline of its own is not slept over.
fn next_look(booting: &Booting, now: Mono) -> Option<Mono> {
    let soon = now + (now.since(booting.since) / 4).clamp(FIRST_LOOK, LAST_LOOK);
    match (&booting.rule, booting.news) {
        (Rule::AnyOrAlive { until }, News::Told) => Some(*until),
        (Rule::AnyOrAlive { until }, News::Sought) => Some((*until).min(soon).max(now)),
        (Rule::Any | Rule::All(_), News::Told) => None,
        (Rule::Any | Rule::All(_), News::Sought) => Some(soon),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Slot;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    fn slot(number: u32) -> InstanceId {
        InstanceId { app: AppName::parse("api").unwrap(), slot: Slot(number) }
    }

    #[test]
    fn a_program_that_never_listens_is_ready_after_a_second() {
        let mut watch = ListenWatch::default();
        watch.add(Run(1), PortMemory::default().rule(&slot(0), Revision(1), false, ms(0)), ms(0), News::Sought);
        assert!(watch.look(ms(999), |_| vec![]).is_empty());
        assert!(watch.next_look().unwrap() <= ms(1000));
        assert_eq!(watch.look(ms(1000), |_| vec![]), [Run(1)]);
        assert_eq!(watch.next_look(), None);
    }

    #[test]
    fn a_revision_that_listened_must_listen_on_the_same_ports_again() {
        let mut memory = PortMemory::default();
        assert!(memory.became_ready(&slot(0), Revision(1), &[80, 443, 40_000], &(32_768..=60_999)));
        assert!(!memory.became_ready(&slot(0), Revision(1), &[80, 443], &(32_768..=60_999)));
        // A sibling may have a port of its own.
        assert_eq!(memory.rule(&slot(1), Revision(1), false, ms(0)), Rule::Any);
        assert_eq!(memory.rule(&slot(0), Revision(1), false, ms(0)), Rule::All(vec![80, 443]));
        assert_eq!(memory.rule(&slot(0), Revision(2), false, ms(0)), Rule::Any);
        assert_eq!(memory.rule(&slot(0), Revision(2), true, ms(0)), Rule::AnyOrAlive { until: ms(1000) });
        let mut watch = ListenWatch::default();
        watch.add(Run(2), memory.rule(&slot(0), Revision(1), false, ms(0)), ms(0), News::Sought);
        assert!(watch.look(ms(5000), |_| vec![80]).is_empty());
        assert_eq!(watch.look(ms(5001), |_| vec![443, 80]), [Run(2)]);
    }

    #[test]
    fn looking_gets_slower_and_stops_when_the_boot_ends() {
        let mut watch = ListenWatch::default();
        watch.add(Run(1), Rule::Any, ms(0), News::Sought);
        assert_eq!(watch.next_look(), Some(ms(2)));
        watch.look(ms(100), |_| vec![]);
        assert_eq!(watch.next_look(), Some(ms(125)));
        watch.look(ms(10_000), |_| vec![]);
        assert_eq!(watch.next_look(), Some(ms(10_100)));
        watch.remove(Run(1));
        assert_eq!(watch.next_look(), None);
    }

    #[test]
    fn who_is_told_does_not_look() {
        let mut watch = ListenWatch::default();
        watch.add(Run(1), Rule::All(vec![80, 443]), ms(0), News::Told);
        assert_eq!(watch.next_look(), None);
        watch.add(Run(2), Rule::AnyOrAlive { until: ms(1000) }, ms(0), News::Told);
        assert_eq!(watch.next_look(), Some(ms(1000)));
        assert!(!watch.heard(Run(1), &[80], ms(5)));
        assert!(watch.heard(Run(1), &[80, 443], ms(6)));
        assert!(!watch.heard(Run(1), &[80, 443], ms(7)), "only once");
        assert_eq!(watch.look(ms(1000), |_| vec![]), [Run(2)]);
    }
}
