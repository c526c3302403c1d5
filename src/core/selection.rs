//! Selectors against what exists.
//! Owns: which instances, and which of their procs, a selector means.
//! Never: changes anything; a selector that matches nothing is refused before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;

use super::app::App;
use super::instance::{Instance, Proc};
use super::world::World;
use crate::model::ids::{AppName, InstanceId, Run, Slot};
use crate::model::request::Denied;
use crate::model::selector::{Selector, Target};
use crate::model::spec::AppSpec;

/// The apps of a world.
pub type Apps = BTreeMap<AppName, App>;

/// What is selected of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picked {
    Whole,
    /// Named by pid or generation: these runs alone.
    Runs(BTreeSet<Run>),
}

pub type Selection = BTreeMap<AppName, BTreeMap<u32, Picked>>;

/// What a request can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every slot there is, leftovers of a scale down and apps being deleted among them.
    Everything,
    /// The slots that are to be, each as a whole.
    Wanted,
}

/// What the selectors mean together.
pub fn select(apps: &Apps, selectors: &[Selector], reach: Reach) -> Result<Selection, Denied> {
    let mut selection = Selection::new();
    for selector in selectors {
        if reach == Reach::Wanted && selector.generation.is_some() {
            return Err(Denied::Generation(selector.to_string()));
        }
        let matched = select_one(apps, selector, reach)?;
        if matched.is_empty() {
            return Err(Denied::NoMatch(selector.to_string()));
        }
        for (app, slot, picked) in matched {
            merge(selection.entry(app).or_default(), slot, picked);
        }
    }
    Ok(selection)
}

impl World {
    /// The instances that the selectors mean, for a question about them; nothing is changed by it.
    pub fn select(&self, selectors: &[Selector]) -> Result<Vec<InstanceId>, Denied> {
        let selection = select(&self.apps, selectors, Reach::Everything)?;
        let of_app = |(app, slots): (AppName, BTreeMap<u32, Picked>)| {
            slots.into_keys().map(move |slot| InstanceId { app: app.clone(), slot: Slot(slot) })
        };
        Ok(selection.into_iter().flat_map(of_app).collect())
    }
}

impl World {
    /// The same, for somebody who may touch only some apps: what points at many means those of them; what names another's
    /// is refused.
    pub fn narrow(&self, selectors: &[Selector], may: &dyn Fn(&AppSpec) -> bool) -> Result<Vec<Selector>, Denied> {
        let mut narrow = Vec::new();
        for selector in selectors {
            let spec = |app: &AppName| self.apps.get(app).map(|app| &*app.desired.spec);
            match &selector.target {
                Target::All | Target::Pattern(_) | Target::Namespace(_) => {
                    let theirs = matching_apps(&self.apps, selector)?;
                    let theirs = theirs.into_iter().filter(|app| may(&app.desired.spec));
                    let before = narrow.len();
                    narrow.extend(theirs.map(|app| Selector {
                        generation: selector.generation,
                        target: Target::App(app.name.clone()),
                    }));
                    if narrow.len() == before {
                        return Err(Denied::NoMatch(selector.to_string()));
                    }
                }
                Target::App(_) | Target::Instance(_) | Target::Id(_) | Target::Pid(_) => {
                    let named = select_one(&self.apps, selector, Reach::Everything)?;
                    let other = named.iter().filter_map(|(app, ..)| spec(app)).find(|spec| !may(spec));
                    if let Some(other) = other {
                        return Err(Denied::NotYours { app: other.name.clone(), user: other.identity.user.clone() });
                    }
                    narrow.push(selector.clone());
                }
            }
        }
        Ok(narrow)
    }
}

/// The apps that the selectors mean as a whole.
pub fn select_apps(apps: &Apps, selectors: &[Selector]) -> Result<BTreeSet<AppName>, Denied> {
    let mut names = BTreeSet::new();
    for selector in selectors {
        if selector.generation.is_some() {
            return Err(Denied::Generation(selector.to_string()));
        }
        match selector.target {
            Target::Instance(_) | Target::Id(_) | Target::Pid(_) => {
                select_one(apps, selector, Reach::Everything)?;
                return Err(Denied::NotAnApp(selector.to_string()));
            }
            Target::All | Target::App(_) | Target::Pattern(_) | Target::Namespace(_) => {}
        }
        let matching = matching_apps(apps, selector)?;
        if matching.is_empty() {
            return Err(Denied::NoMatch(selector.to_string()));
        }
        names.extend(matching.into_iter().map(|app| app.name.clone()));
    }
    Ok(names)
}

fn select_one(apps: &Apps, selector: &Selector, reach: Reach) -> Result<Vec<(AppName, u32, Picked)>, Denied> {
    let mut found = Vec::new();
    for app in matching_apps(apps, selector)? {
        if reach == Reach::Wanted && app.desired.deleting {
            continue;
        }
        for (slot, instance) in &app.runtime.slots {
            if reach == Reach::Wanted && *slot >= app.count() {
                continue;
            }
            if let Some(picked) = pick(app, *slot, instance, selector) {
                found.push((app.name.clone(), *slot, picked));
            }
        }
    }
    if found.is_empty() {
        return Err(match &selector.target {
            Target::App(name) if !apps.contains_key(name) => Denied::NoSuchApp(name.to_string()),
            Target::Instance(id) if !apps.contains_key(&id.app) => Denied::NoSuchApp(id.app.to_string()),
            _ => Denied::NoMatch(selector.to_string()),
        });
    }
    Ok(found)
}

/// The apps in which the target may be.
fn matching_apps<'a>(apps: &'a Apps, selector: &Selector) -> Result<Vec<&'a App>, Denied> {
    Ok(match &selector.target {
        Target::All | Target::Id(_) | Target::Pid(_) => apps.values().collect(),
        Target::App(name) => match apps.get(name) {
            Some(app) => vec![app],
            None => return Err(Denied::NoSuchApp(name.to_string())),
        },
        Target::Instance(id) => apps.get(&id.app).into_iter().collect(),
        Target::Pattern(pattern) => {
            let bad = |e: regex_lite::Error| Denied::BadPattern { pattern: pattern.clone(), why: e.to_string() };
            let regex = Regex::new(pattern).map_err(bad)?;
            apps.values().filter(|app| regex.is_match(app.name.as_str())).collect()
        }
        Target::Namespace(namespace) => apps.values().filter(|app| app.desired.spec.namespace == *namespace).collect(),
    })
}

/// What the selector picks of one instance of an app that matches.
fn pick(app: &App, slot: u32, instance: &Instance, selector: &Selector) -> Option<Picked> {
    let runs = |which: &dyn Fn(&Proc) -> bool| {
        let runs: BTreeSet<Run> = instance.procs.iter().filter(|p| which(p)).map(|p| p.run).collect();
        (!runs.is_empty()).then_some(Picked::Runs(runs))
    };
    let of_generation = |p: &Proc| selector.generation.is_none_or(|g| p.state.generation() == g);
    match &selector.target {
        Target::Pid(pid) => {
            return runs(&|p| of_generation(p) && p.state.child().is_some_and(|child| child.pid == *pid));
        }
        Target::Instance(id) if id.slot.0 != slot => return None,
        Target::Id(id) if app.desired.ids.get(slot as usize) != Some(id) => return None,
        Target::Instance(_)
        | Target::Id(_)
        | Target::All
        | Target::App(_)
        | Target::Pattern(_)
        | Target::Namespace(_) => {}
    }
    if selector.generation.is_some() { runs(&of_generation) } else { Some(Picked::Whole) }
}

fn merge(slots: &mut BTreeMap<u32, Picked>, slot: u32, picked: Picked) {
    let merged = match (slots.remove(&slot), picked) {
        (None, picked) => picked,
        (Some(Picked::Runs(mut known)), Picked::Runs(more)) => {
            known.extend(more);
            Picked::Runs(known)
        }
        (Some(_), _) => Picked::Whole,
    };
    slots.insert(slot, merged);
}
