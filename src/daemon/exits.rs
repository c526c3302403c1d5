//! How a run ends: why it died, the rest of its cgroup, and what is cleared away.
//! Owns: the way from the holder's news of an exit to `Event::Exited` and `Event::Gone`.
//! Never: acknowledges an exit before the OOM counter was read, while the process is still a zombie.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;

use super::adopt::Ending;
use super::executor::{Executor, Probe, stream_key};
use super::link::Link;
use super::pidfile::What;
use super::told::Told;
use super::watched::watched;
use crate::core::event::Event;
use crate::model::exit::Exit;
use crate::model::ids::Run;
use crate::model::signal::Signal;
use crate::sys::cgroup::RunCgroup;

impl Executor {
    pub(super) fn exited(&mut self, run: Run, exit: Exit, link: &mut Link, queue: &mut VecDeque<Event>) {
        self.read_ring(link, queue);
        let Some(live) = self.runs.get(&run) else {
            // A run that was given up before its news came.
            link.reap(run.0);
            return link.forget(run.0);
        };
        if live.exit.is_some() {
            return;
        }
        self.set_exit(run, exit);
        self.tell_exit(run, queue);
        self.end_rest(run, link, queue);
    }

    /// What was watched of a run that lived is watched no more.
    pub(super) fn set_exit(&mut self, run: Run, exit: Exit) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.exit = Some(exit);
        live.meter = None;
        for task in live.tasks.drain(..) {
            task.abort();
        }
        self.watch.remove(run);
        self.drains.remove(run);
    }

    /// Tells the core why it died, while the OOM counter can still be read.
    pub(super) fn tell_exit(&mut self, run: Run, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        let Some(exit) = live.exit else { return };
        if live.spec.limits.memory_max.is_some() || live.spec.limits.max_memory_restart.is_some() {
            match live.cgroup.oom_kills() {
                // With the soft limit alone the host's OOM killer may have taken some other process of it long ago.
                Ok(kills) => live.oom |= kills > 0 && (live.spec.limits.memory_max.is_some() || killed(exit)),
                Err(error) => tracing::warn!("{}: {error}", live.proc),
            }
        }
        queue.push_back(Event::Exited { proc: live.proc.clone(), exit, oom: live.oom });
    }

    /// Ends what else is in the cgroup of a run whose main process is dead, and acknowledges the exit.
    pub(super) fn end_rest(&mut self, run: Run, link: &mut Link, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get(&run) else { return };
        let cgroup = live.cgroup.clone();
        if !self.tree.has_cgroups() {
            // The zombie leader still holds the group's number, so nobody else can be hit.
            link.signal_group(run.0, Signal::KILL);
            link.reap(run.0);
            return self.gone(run, link, queue);
        }
        // What cannot be read is not empty.
        let left = cgroup.populated().unwrap_or(true);
        if left && let Err(error) = cgroup.kill() {
            tracing::error!("run {run}: {error}");
        }
        link.reap(run.0);
        if left {
            tokio::spawn(wait_until_empty(run, cgroup, self.tell.clone()));
        } else {
            self.gone(run, link, queue);
        }
    }

    /// Nothing is left in the cgroup: the last event of a proc.
    pub(super) fn gone(&mut self, run: Run, link: &mut Link, queue: &mut VecDeque<Event>) {
        let Some(live) = self.runs.get_mut(&run).filter(|live| !live.gone) else { return };
        if live.probe == Probe::Asked {
            // The holder may be about to clone a probe into the cgroup: its answer comes first.
            return;
        }
        live.gone = true;
        queue.push_back(Event::Gone { proc: live.proc.clone() });
        if live.streams > 0 {
            let ending = Ending { proc: live.proc.clone(), revision: live.revision };
            self.endings.push((run, Some(ending)));
        }
        let (listened, served) = (!live.sockets.is_empty(), live.ready);
        self.litter.push(std::mem::take(&mut live.cgroup));
        if listened {
            self.unshare(run);
        }
        if served {
            self.tell_pid(run, What::Remove);
        }
        // Nobody of the run can write any more: what stands in the pipes now is all there will be.
        for index in 0..2 {
            self.output.finish(stream_key(run, index));
        }
        self.drop_if_done(run, link);
    }
}

fn killed(exit: Exit) -> bool {
    matches!(exit, Exit::Signal { signal: Signal::KILL, .. })
}

pub(super) async fn wait_until_empty(run: Run, cgroup: RunCgroup, tell: UnboundedSender<Told>) {
    emptied(&cgroup).await;
    let _ = tell.send(Told::Empty { run });
}

/// Waits for `populated 0`, the only correct sign that all are gone (cgroup-v2.rst, "Populated notification").
pub(super) async fn emptied(cgroup: &RunCgroup) {
    // A process may be in uninterruptible sleep, or missed by `cgroup.kill` (before Linux 6.12.117 one whose first
    // thread has ended is): asked again one by one, ever more rarely.
    let mut pause = Duration::from_millis(if cgroup.events_file().is_some() { 500 } else { 1 });
    let events = cgroup.events_file().and_then(|path| std::fs::File::open(path).ok());
    let mut events = events.and_then(|file| watched(file, Interest::PRIORITY).ok());
    while cgroup.populated().unwrap_or(true) {
        let changed = async {
            match &mut events {
                Some(file) => reread(file).await,
                // v1 tells nobody when a cgroup becomes empty.
                None => std::future::pending().await,
            }
        };
        if tokio::time::timeout(pause, changed).await.is_err() {
            let _ = cgroup.kill_each();
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }
}

/// Sleeps until a kernfs file has changed since it was last read (poll(2) on it tells of changes after a read).
pub(super) async fn reread(file: &mut AsyncFd<std::fs::File>) {
    use std::os::unix::fs::FileExt;
    let Ok(mut guard) = file.ready(Interest::PRIORITY).await else {
        return std::future::pending().await;
    };
    guard.clear_ready();
    let mut buffer = [0u8; 512];
    let _ = file.get_ref().read_at(&mut buffer, 0);
}
