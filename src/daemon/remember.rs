//! What was before this daemon: in the memory that the holder keeps, or on disk.
//! Owns: which of the two counts. Never: lets go of an app because one of them cannot be read.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::adopt::Ending;
use super::clock;
use super::driver::OnDisk;
use super::link::Link;
use super::listen::PortMemory;
use super::news::Line;
use super::runtime::{Key, RuntimeFile};
use super::start::{StartError, io_error};
use super::store::{Store, StoreError};
use crate::core::{Desired, Runtime, World};
use crate::model::ids::Run;

/// All that is known of what was before.
pub struct Memory {
    pub world: World,
    pub ports: PortMemory,
    pub runtime: RuntimeFile,
    pub next_job: u64,
    pub endings: BTreeMap<Run, Ending>,
    /// Nothing is known of what runs.
    pub anew: bool,
    /// What is on disk is older than what is in memory.
    pub stale: bool,
    /// Life-cycle events that may not be in their logs yet, oldest first.
    pub news: Vec<Line>,
}

/// What a daemon before us kept in memory.
struct InMemory {
    runtime: Runtime,
    desired: Option<Desired>,
    next_job: u64,
    endings: BTreeMap<Run, Ending>,
    news: Vec<Line>,
}

impl InMemory {
    /// The error is a sentence; nothing of what is kept can be relied on then.
    fn read(file: &RuntimeFile) -> Result<Self, String> {
        let mut kept = Self {
            runtime: Runtime::default(),
            desired: None,
            next_job: 1,
            endings: BTreeMap::new(),
            news: Vec::new(),
        };
        for key in file.keys() {
            let text = || format!("what is kept of {key:?}");
            let value = file.value(key).ok_or_else(text)?.map_err(|error| format!("{}: {error}", text()))?;
            let wrong = |error: serde_json::Error| format!("{}: {error}", text());
            match key {
                Key::World(part) => {
                    let mut value = serde_json::Deserializer::from_slice(&value);
                    kept.runtime.put(part.clone(), &mut value).map_err(wrong)?;
                }
                Key::Desired => kept.desired = Some(serde_json::from_slice(&value).map_err(wrong)?),
                Key::NextJob => kept.next_job = serde_json::from_slice(&value).map_err(wrong)?,
                Key::Ending(run) => {
                    kept.endings.insert(*run, serde_json::from_slice(&value).map_err(wrong)?);
                }
                // In the order of their numbers.
                Key::News(_) => kept.news.push(serde_json::from_slice(&value).map_err(wrong)?),
            }
        }
        Ok(kept)
    }
}

/// The name under which the holder keeps *runtime*.
const RUNTIME: &str = "runtime";

/// What a daemon before us kept, or what is on disk if there was none since the machine came up.
pub async fn remember(store: &Store, link: &mut Link) -> Result<Memory, StartError> {
    let kept = link.fetch(RUNTIME).await?.and_then(|fd| {
        let useless = |why: &String| {
            tracing::error!("what the daemon before kept is of no use: {why}; all apps are started anew");
        };
        open(fd).inspect_err(useless).ok()
    });
    let saved = load(store);
    match kept {
        Some((runtime, InMemory { runtime: parts, desired, next_job, endings, news })) => {
            let OnDisk { world: saved, ports } = saved
                .inspect_err(|error| tracing::error!("{error}; going on with what is in memory"))
                .unwrap_or_default()
                .unwrap_or_else(OnDisk::empty);
            // What is in memory is as new as what is on disk, or newer if the disk took no more.
            let desired = desired.unwrap_or_else(|| saved.clone());
            let stale = desired != saved;
            let world = World::restore(desired, parts);
            Ok(Memory { world, ports, runtime, next_job, endings, anew: false, stale, news })
        }
        None => {
            let saved = saved?;
            let runtime = RuntimeFile::create().map_err(io_error("make a memfd"))?;
            link.store(RUNTIME, &runtime.copy().map_err(io_error("copy a descriptor"))?)?;
            let (world, ports) = match saved {
                Some(OnDisk { world, ports }) => (World::from_desired(world, seed()), ports),
                None => (World::new(seed()), PortMemory::default()),
            };
            Ok(Memory {
                world,
                ports,
                runtime,
                next_job: 1,
                endings: BTreeMap::new(),
                anew: true,
                stale: false,
                news: Vec::new(),
            })
        }
    }
}

fn open(fd: OwnedFd) -> Result<(RuntimeFile, InMemory), String> {
    let file = RuntimeFile::open(fd).map_err(|error| error.to_string())?;
    let kept = InMemory::read(&file)?;
    Ok((file, kept))
}

fn load(store: &Store) -> Result<Option<OnDisk>, StoreError> {
    let (saved, corrupt) = store.load::<OnDisk>()?;
    if let Some(corrupt) = corrupt {
        let instead = if saved.is_some() { "what was saved before it counts" } else { "beginning with no apps" };
        tracing::error!("{corrupt}; {instead}");
    }
    Ok(saved)
}

/// Spreads restart delays differently on each host and each day; nothing secret hangs on it.
fn seed() -> u64 {
    let now = clock::now();
    now.wall.0 ^ now.mono.0.rotate_left(32) ^ u64::from(std::process::id())
}

#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn read_for_fuzzing(file: &RuntimeFile) {
    if let Ok(kept) = InMemory::read(file) {
        let desired = kept.desired.unwrap_or_else(|| OnDisk::empty().world);
        let mut world = World::restore(desired, kept.runtime);
        world.step(clock::now(), crate::core::event::Event::Deadline, &mut Vec::new());
    }
}
