//! Programs and maps that go on working without a daemon: given to the holder, and taken up by the next one.
//! Owns: the names under which the holder keeps them. Never: loads or attaches one.

use super::executor::Executor;
use super::link::{Link, LinkError};
use crate::balance::group::Group;
use crate::balance::hooks::Hooks;
use crate::balance::kept::{Kept, LAYOUT};
use crate::balance::routes::Place;

/// What an earlier daemon left with the holder.
#[derive(Default)]
pub struct Left {
    pub(super) hooks: Kept,
    pub(super) groups: Vec<(Place, Kept)>,
}

const STORED: &str = "bpf/";

pub(super) fn hook_name(name: &str) -> String {
    format!("{STORED}{LAYOUT}/hooks/{name}")
}

fn group_name(name: &str, place: &Place) -> String {
    format!("{STORED}{LAYOUT}/{name}/{}", place.name())
}

impl Left {
    /// Fetches it. `stored` is all that the holder keeps. What a daemon of another layout left is let go, and with it
    /// what its programs knew.
    pub async fn fetch(stored: &[String], link: &mut Link) -> Result<Self, LinkError> {
        let mut left = Self::default();
        for name in Hooks::names() {
            if stored.contains(&hook_name(name))
                && let Some(fd) = link.fetch(&hook_name(name)).await?
            {
                left.hooks.insert(name.to_owned(), fd);
            }
        }
        let whole = left.hooks.len() == Hooks::names().count();
        let first = format!("{STORED}{LAYOUT}/{}/", Group::NAMES[0]);
        for place in stored.iter().filter_map(|name| Place::parse(name.strip_prefix(&first)?)) {
            let mut kept = Kept::new();
            for name in Group::NAMES {
                if let Some(fd) = link.fetch(&group_name(name, &place)).await? {
                    kept.insert(name.to_owned(), fd);
                }
            }
            if kept.len() == Group::NAMES.len() {
                left.groups.push((place, kept));
            }
        }
        let ours = format!("{STORED}{LAYOUT}/");
        let foreign = |name: &&String| name.starts_with(STORED) && (!whole || !name.starts_with(&ours));
        let foreign: Vec<&String> = stored.iter().filter(foreign).collect();
        if !foreign.is_empty() {
            tracing::warn!(
                "the BPF programs that an earlier daemon left are of another version, or not all there: they are loaded anew, \
                 and whose a port is counts from here on"
            );
            foreign.into_iter().for_each(|name| link.take_back(name.clone()));
            return Ok(Self::default());
        }
        Ok(left)
    }
}

impl Executor {
    /// Has the holder keep what goes on working without a daemon.
    pub(super) fn give_sharing(&mut self, link: &mut Link) {
        let Ok(sharing) = &mut self.sharing else { return };
        let (gone, fresh) = sharing.routes.take_changes();
        for place in gone {
            Group::NAMES.into_iter().for_each(|name| link.take_back(group_name(name, &place)));
        }
        let groups = fresh
            .into_iter()
            .flat_map(|(place, kept)| kept.into_iter().map(move |(name, fd)| (group_name(&name, &place), fd)));
        sharing.give.drain(..).chain(groups).for_each(|(name, fd)| link.give(name, fd));
    }
}
