//! What was before this daemon: in the memory that the holder keeps, or on disk.
//! Owns: which of the two counts. Never: lets go of an app because one of them cannot be read.

use std::collections::BTreeMap;

use super::adopt::{Ending, Kept};
use super::clock;
use super::driver::OnDisk;
use super::link::Link;
use super::listen::PortMemory;
use super::news::Line;
use super::runtime::RuntimeFile;
use super::start::{StartError, io_error};
use super::store::{Store, StoreError};
use crate::core::World;
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

/// The name under which the holder keeps *runtime*.
const RUNTIME: &str = "runtime";

/// What a daemon before us kept, or what is on disk if there was none since the machine came up.
pub async fn remember(store: &Store, link: &mut Link) -> Result<Memory, StartError> {
    let kept = match link.fetch(RUNTIME).await? {
        None => None,
        Some(fd) => match RuntimeFile::open(fd).map_err(|e| e.to_string()).and_then(|file| {
            let kept = Kept::read(&file)?;
            Ok((file, kept))
        }) {
            Ok(kept) => Some(kept),
            Err(why) => {
                tracing::error!("what the daemon before kept is of no use: {why}; all apps are started anew");
                None
            }
        },
    };
    let saved = load(store);
    match kept {
        Some((runtime, Kept { runtime: parts, desired, next_job, endings, news })) => {
            let OnDisk { world: saved, ports } = saved
                .inspect_err(|error| tracing::error!("{error}; going on with what is in memory"))
                .unwrap_or_default()
                .unwrap_or_else(|| OnDisk::of(&World::new(seed())));
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
