//! What changed between two specs, by key.
//! Owns: the comparison that `plan` and views show. Never: shows the value of an environment variable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::raw::Value;
use super::write::settings;
use crate::model::spec::AppSpec;

/// What stands for a value that is not shown.
const HIDDEN: &str = "…";

/// One key that differs. Values are written as in a file; None is unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `memory_max`, or `env.PORT` for one variable.
    pub key: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// The keys that differ, in the order of the reference. Empty if and only if the specs are equal.
pub fn diff(old: &AppSpec, new: &AppSpec) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((key, old_value), (_, new_value)) in settings(old).into_iter().zip(settings(new)) {
        if key.name == "env" {
            variables(&old.env, &new.env, &mut changes);
        } else if old_value != new_value {
            let text = |value: Option<Value>| value.map(|value| value.to_string());
            changes.push(Change { key: key.name.to_owned(), old: text(old_value), new: text(new_value) });
        }
    }
    changes
}

fn variables(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>, changes: &mut Vec<Change>) {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (old, new) = (old.get(name), new.get(name));
        if old != new {
            let hidden = |value: Option<&String>| value.map(|_| HIDDEN.to_owned());
            changes.push(Change { key: format!("env.{name}"), old: hidden(old), new: hidden(new) });
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
        match (self.old.as_deref(), self.new.as_deref()) {
            (Some(HIDDEN), Some(HIDDEN)) => write!(f, "{}: changed", self.key),
            (None, Some(HIDDEN)) => write!(f, "{}: added", self.key),
            (Some(HIDDEN), None) => write!(f, "{}: removed", self.key),
            _ => write!(f, "{}: {} → {}", self.key, text(&self.old), text(&self.new)),
        }
    }
}
