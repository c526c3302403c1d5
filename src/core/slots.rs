//! The slots of an app by number.
//! Owns: which of them may have changed since somebody last asked, so that only those are saved.
//! Never: knows what is in one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::instance::Instance;

/// Read as the map that it is. Whoever gets hold of one to change it has touched it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slots {
    map: BTreeMap<u32, Instance>,
    #[serde(skip)]
    touched: BTreeSet<u32>,
}

impl Slots {
    pub fn get_mut(&mut self, slot: &u32) -> Option<&mut Instance> {
        let instance = self.map.get_mut(slot)?;
        self.touched.insert(*slot);
        Some(instance)
    }

    /// The slot, made if it is not there.
    pub fn make(&mut self, slot: u32) -> &mut Instance {
        self.touched.insert(slot);
        self.map.entry(slot).or_default()
    }

    pub fn insert(&mut self, slot: u32, instance: Instance) {
        self.touched.insert(slot);
        self.map.insert(slot, instance);
    }

    pub fn retain(&mut self, keep: impl Fn(u32, &Instance) -> bool) {
        let Self { map, touched } = self;
        map.retain(|slot, instance| {
            let kept = keep(*slot, instance);
            if !kept {
                touched.insert(*slot);
            }
            kept
        });
    }

    /// Slots that were touched since the last call, those that are gone among them.
    pub fn take_touched(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.touched)
    }
}

impl Deref for Slots {
    type Target = BTreeMap<u32, Instance>;

    fn deref(&self) -> &BTreeMap<u32, Instance> {
        &self.map
    }
}

impl<'a> IntoIterator for &'a Slots {
    type Item = (&'a u32, &'a Instance);
    type IntoIter = std::collections::btree_map::Iter<'a, u32, Instance>;

    fn into_iter(self) -> Self::IntoIter {
        self.map.iter()
    }
}

/// What is in them counts, not who has seen it.
impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}
