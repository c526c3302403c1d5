//! `save` and `resurrect`: what is wanted now under a name, and again later.
//! Owns: which apps of a save are brought up. Never: stops, changes or forgets one that is there.

use tokio::sync::oneshot;

use super::account;
use super::asks::Checked;
use super::driver::{Driver, OnDisk};
use super::sockets::Rights;
use super::told::Told;
use crate::api::{Job, Owners, Refusal};
use crate::model::ids::AppName;
use crate::model::request::Whom;
use crate::model::spec::AppSpec;

impl Driver {
    /// Keeps what is wanted under a name. The answer is how many apps that are.
    pub(super) fn save_as(&self, name: &str, answer: oneshot::Sender<Result<u32, Refusal>>) {
        let desired = self.world.desired();
        let count = u32::try_from(desired.apps.len()).unwrap_or(u32::MAX);
        let on_disk = OnDisk { world: desired, ports: self.executor.ports().clone() };
        let saved = check_name(name).and_then(|()| {
            self.store
                .save_as(name, &on_disk)
                .map_err(|error| Refusal::Unavailable(format!("nothing is saved: {error}")))
        });
        let _ = answer.send(saved.map(|()| count));
    }

    /// Brings up what was up when it was saved: an app that is not there any more as it was then, one that is down as it
    /// is now.
    pub(super) fn resurrect(&mut self, name: &str, answer: oneshot::Sender<Result<Job, Refusal>>) {
        let specs = match self.to_resurrect(name) {
            Ok(specs) => specs,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let tell = self.executor.tell.clone();
        tokio::task::spawn_blocking(move || {
            let checked = account::check(&specs).map_err(|problems| Refusal::Config(problems.join("\n")));
            let specs = checked.map(|accounts| (specs, accounts));
            let _ = tell.send(Told::Checked(Box::new(Checked {
                specs,
                rights: Rights::Root,
                owners: Owners::Everybody,
                whom: Whom::All,
                answer,
            })));
        });
    }

    fn to_resurrect(&self, name: &str) -> Result<Vec<AppSpec>, Refusal> {
        check_name(name)?;
        let saved = self.store.load_saved::<OnDisk>(name).map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let Some(saved) = saved else {
            let there = self.store.saves();
            let there =
                if there.is_empty() { "nothing is saved".to_owned() } else { format!("there is {}", there.join(", ")) };
            return Err(Refusal::Argument(format!("nothing is saved as \"{name}\": {there}")));
        };
        let now = self.world.desired().apps;
        let specs = saved.world.apps.into_values().filter(|app| app.is_wanted_up()).filter_map(|app| {
            match now.get(&app.spec.name) {
                None => Some(AppSpec { instances: app.count(), ..(*app.spec).clone() }),
                Some(known) if known.is_wanted_up() => None,
                Some(known) => Some((*known.spec).clone()),
            }
        });
        Ok(specs.collect())
    }
}

/// It becomes the name of a file.
fn check_name(name: &str) -> Result<(), Refusal> {
    match AppName::parse(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::Argument(format!(
            "bad name \"{name}\" for a save: use letters, digits, \".\", \"_\" and \"-\", as in \"before-upgrade\""
        ))),
    }
}
