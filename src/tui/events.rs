//! What happened, seen from what is listed before and after.
//! Owns: its sentences. Pure. Never: asks for more than the list has: what came and went between two lists is told by
//! its traces, a count of restarts and the last exit.

use std::collections::{BTreeMap, VecDeque};

use crate::model::status::{ExitStatus, InstanceStatus};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Milliseconds since 1970-01-01 UTC.
    pub at: u64,
    pub instance: String,
    pub text: String,
    pub weight: Weight,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Usual,
    Odd,
    Bad,
}

/// So many are remembered.
const KEPT: usize = 500;

/// Oldest first.
#[derive(Debug, Default)]
pub struct Events {
    pub list: VecDeque<Happened>,
}

impl Events {
    pub fn add(&mut self, happened: Vec<Happened>) {
        self.list.extend(happened);
        while self.list.len() > KEPT {
            self.list.pop_front();
        }
    }
}

/// What is known of the past from the first list alone: how each instance ended last, in the order of time.
pub fn known(rows: &[InstanceStatus]) -> Vec<Happened> {
    let mut known: Vec<Happened> =
        rows.iter().filter_map(|row| row.last_exit.as_ref().map(|exit| ended(row, exit, ""))).collect();
    known.sort_by_key(|happened| happened.at);
    known
}

/// What must have happened between two lists; `now` in milliseconds since 1970.
pub fn between(before: &[InstanceStatus], after: &[InstanceStatus], now: u64) -> Vec<Happened> {
    let known: BTreeMap<&str, &InstanceStatus> = before.iter().map(|row| (row.instance.as_str(), row)).collect();
    let there: BTreeMap<&str, &InstanceStatus> = after.iter().map(|row| (row.instance.as_str(), row)).collect();
    let mut happened = Vec::new();
    for old in before.iter().filter(|row| !there.contains_key(row.instance.as_str())) {
        happened.push(Happened { at: now, instance: old.instance.clone(), text: "gone".into(), weight: Weight::Usual });
    }
    for new in after {
        let say = |text: String, weight| Happened { at: now, instance: new.instance.clone(), text, weight };
        let Some(old) = known.get(new.instance.as_str()) else {
            happened.push(say(format!("new, {}", new.status), Weight::Usual));
            continue;
        };
        let restarted = match new.restarts.saturating_sub(old.restarts) {
            0 => String::new(),
            1 => format!(", restart {}", new.restarts),
            several => format!(", {several} restarts, {} in all", new.restarts),
        };
        match &new.last_exit {
            Some(exit) if new.last_exit != old.last_exit => happened.push(ended(new, exit, &restarted)),
            _ if !restarted.is_empty() => {
                happened.push(say(restarted.trim_start_matches(", ").to_owned(), Weight::Odd));
            }
            _ => {}
        }
        let changed = new.status != old.status || (new.pid != old.pid && new.pid.is_some());
        if changed {
            let pid = new.pid.filter(|_| new.pid != old.pid).map(|pid| format!(", pid {pid}")).unwrap_or_default();
            let weight = if new.status.is_trouble() { Weight::Bad } else { Weight::Usual };
            happened.push(say(format!("{}{pid}", new.status), weight));
        }
        if new.outdated && !old.outdated {
            happened.push(say("outdated: newer settings are deployed".into(), Weight::Usual));
        }
    }
    happened.sort_by_key(|happened| happened.at);
    happened
}

/// Something about stead itself.
pub fn of_stead(text: &str, now: u64) -> Happened {
    Happened { at: now, instance: "stead".into(), text: text.to_owned(), weight: Weight::Bad }
}

fn ended(row: &InstanceStatus, exit: &ExitStatus, restarted: &str) -> Happened {
    let mut text = format!("ended ({}", exit.reason);
    match (&exit.signal, exit.code) {
        (Some(signal), _) => text.push_str(&format!(", {signal}")),
        (None, Some(code)) => text.push_str(&format!(", code {code}")),
        (None, None) => {}
    }
    text.push_str(&format!("){restarted}"));
    if let Some(message) = &exit.message {
        text.push_str(&format!(": {message}"));
    }
    let asked_for = matches!(exit.reason.as_str(), "stopped" | "killed" | "replaced");
    let weight = if asked_for { Weight::Usual } else { Weight::Odd };
    Happened { at: exit.at, instance: row.instance.clone(), text, weight }
}
