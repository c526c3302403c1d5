//! Which app has something to do next.
//! Owns: an index of the earliest deadline of each app, so that finding the next one of a thousand costs nothing.
//! Never: knows what is due; the app does.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ids::AppName;

/// On one of the two clocks.
#[derive(Debug)]
pub struct Deadlines<T> {
    ordered: BTreeSet<(T, AppName)>,
    of_app: BTreeMap<AppName, T>,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self { ordered: BTreeSet::new(), of_app: BTreeMap::new() }
    }
}

impl<T: Ord + Copy> Deadlines<T> {
    pub fn set(&mut self, app: &AppName, at: Option<T>) {
        if self.of_app.get(app).copied() == at {
            return;
        }
        if let Some(before) = self.of_app.remove(app) {
            self.ordered.remove(&(before, app.clone()));
        }
        if let Some(at) = at {
            self.of_app.insert(app.clone(), at);
            self.ordered.insert((at, app.clone()));
        }
    }

    pub fn first(&self) -> Option<T> {
        self.ordered.first().map(|(at, _)| *at)
    }

    /// The apps whose deadline has come.
    pub fn due(&self, now: T) -> Vec<AppName> {
        self.ordered.iter().take_while(|(at, _)| *at <= now).map(|(_, app)| app.clone()).collect()
    }
}
