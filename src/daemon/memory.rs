//! Memory limits that somebody must watch: the soft limit everywhere, the OOM killer on v1.
//! Owns: when `max_memory_restart` is exceeded by memory that counts. Never: polls; kernel events drive it.
//!
//! Both hierarchies count page cache, which is no reason to replace anything. So on each event what the app really holds
//! is read: under the limit, the kernel is asked again at usage plus what is left; over it, the app is replaced.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::exits::reread;
use super::told::Told;
use super::watched::watched;
use crate::model::ids::Run;
use crate::model::spec::Limits;
use crate::sys::cgroup::{Layout, RunCgroup};

/// On v1 the eventfd fires before the counter rises, by up to 1.6 ms as measured; later looks are for a loaded host.
const LOOKS_MS: [u64; 6] = [1, 2, 5, 10, 50, 200];

/// Between two tellings that a run is over its soft limit: the first may have come when nothing could be done about it.
const AGAIN: Duration = Duration::from_secs(30);

/// From the first instruction on: the OOM killer, where the kernel does not end the whole instance by itself.
pub fn watch_oom_killer(
    run: Run,
    cgroup: &RunCgroup,
    limits: &Limits,
    layout: Layout,
    tell: &UnboundedSender<Told>,
) -> Option<AbortHandle> {
    (limits.memory_max.is_some() && layout != Layout::Unified)
        .then(|| tokio::spawn(watch_oom(run, cgroup.clone(), tell.clone())).abort_handle())
}

/// Once it is ready, and so can be replaced: the soft limit.
pub fn watch_soft(run: Run, cgroup: &RunCgroup, limits: &Limits, tell: &UnboundedSender<Told>) -> Option<AbortHandle> {
    let limit = limits.max_memory_restart?.0;
    let (cgroup, tell) = (cgroup.clone(), tell.clone());
    let task = tokio::spawn(async move {
        loop {
            let over = if cgroup.memory_events_file().is_some() {
                watch_high(&cgroup, limit).await
            } else {
                watch_threshold(&cgroup, limit).await
            };
            if let Err(error) = over {
                return tracing::error!("max_memory_restart of run {run} is not watched any more: {error}");
            }
            let _ = tell.send(Told::OverMemory { run });
            tokio::time::sleep(AGAIN).await;
        }
    });
    Some(task.abort_handle())
}

/// How much more may be used before somebody must look again; None if the limit is exceeded by what counts. Never so
/// little that an app just below its limit is throttled, and looked at, for every few pages of cache.
fn room(cgroup: &RunCgroup, limit: u64) -> Result<Option<u64>, String> {
    let memory = cgroup.memory().map_err(|error| error.to_string())?.ok_or("the memory controller is not there")?;
    let least = (limit / 64).max(1 << 20);
    Ok(limit.checked_sub(memory.held()).map(|left| memory.current + left.max(least)))
}

/// v2: crossing memory.high raises a counter in memory.events and throttles the app until it is moved.
async fn watch_high(cgroup: &RunCgroup, limit: u64) -> Result<(), String> {
    let path = cgroup.memory_events_file().ok_or("memory.events is not there")?;
    let file = std::fs::File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut events = watched(file, Interest::PRIORITY).map_err(|e| format!("{}: {e}", path.display()))?;
    loop {
        match room(cgroup, limit)? {
            Some(high) => cgroup.set_memory_high(high).map_err(|error| error.to_string())?,
            None => {
                // A throttled instance could not drain.
                return cgroup.lift_memory_high().map_err(|error| error.to_string());
            }
        }
        reread(&mut events).await;
    }
}

/// v1: an eventfd for one usage threshold, in either direction; a new one for each.
async fn watch_threshold(cgroup: &RunCgroup, limit: u64) -> Result<(), String> {
    loop {
        let Some(threshold) = room(cgroup, limit)? else { return Ok(()) };
        let eventfd = cgroup.threshold_eventfd(threshold).map_err(|error| error.to_string())?;
        let eventfd = eventfd.ok_or("no memory cgroup was entered")?;
        // Crossed while it was being armed: the kernel tells of crossings only after that.
        if room(cgroup, limit)?.is_none() {
            return Ok(());
        }
        fired(eventfd).await?;
    }
}

async fn watch_oom(run: Run, cgroup: RunCgroup, tell: UnboundedSender<Told>) {
    let watched = async {
        loop {
            let eventfd = cgroup.oom_eventfd().map_err(|error| error.to_string())?;
            let eventfd = eventfd.ok_or("no memory cgroup was entered")?;
            // The directory is this run's own, so any kill is one of it; one before the watch began tells nobody.
            if cgroup.oom_kills().map_err(|error| error.to_string())? == 0 {
                fired(eventfd).await?;
            }
            for look in LOOKS_MS {
                if cgroup.oom_kills().map_err(|error| error.to_string())? > 0 {
                    let _ = tell.send(Told::OomV1 { run });
                    return Ok::<(), String>(());
                }
                tokio::time::sleep(Duration::from_millis(look)).await;
            }
        }
    };
    if let Err(error) = watched.await {
        tracing::error!("the OOM killer is not watched for run {run}: {error}");
    }
}

/// Waits for an eventfd and takes its count.
async fn fired(eventfd: OwnedFd) -> Result<(), String> {
    let file = watched(std::fs::File::from(eventfd), Interest::READABLE).map_err(|e| e.to_string())?;
    let mut guard = file.readable().await.map_err(|e| e.to_string())?;
    let read = guard.try_io(|inner| {
        use std::io::Read;
        inner.get_ref().read(&mut [0u8; 8])
    });
    match read {
        Ok(Err(error)) => Err(error.to_string()),
        _ => Ok(()),
    }
}
