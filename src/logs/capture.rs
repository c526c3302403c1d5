//! The capture thread: every app's output, from its pipe to its file.
//! Owns: the thread, its surface, and when it looks at which pipe.
//! Never: polls. It sleeps until a pipe is written, somebody calls, or a pause that followed a write is over.
//!
//! Batches are everything: a wake-up costs as much as a thousand lines. So after a small batch the thread does not look
//! again for a millisecond. A line that comes alone is written at once; many are written together.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use crate::model::ids::AppName;
use crate::model::logframe::LogStream;
use crate::model::time::{Mono, Now, Wall};
use crate::sys::stream::{ReadSet, eventfd};

use super::archive::{Archive, HostCap};
use super::desk::Shared;
use super::engine::Engine;
use super::file::{LogDir, Target};
use super::journal::Entry;
use super::record::RecordStore;
use super::trash::Trash;

/// One stream of one proc. The caller chooses the number; no two at once have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// The read end of an app's pipe, non-blocking, and where its lines go.
#[derive(Debug)]
pub struct Stream {
    pub key: StreamKey,
    pub pipe: OwnedFd,
    /// A file to be read before that, from its offset to its end.
    pub spilled: Option<OwnedFd>,
    pub stream: LogStream,
    /// The instance, `api/0`, for what stead itself says in the log.
    pub label: String,
    pub target: Arc<Target>,
}

/// Something that happened to an instance, as a line in its log.
#[derive(Debug, Clone)]
pub struct Event {
    pub target: Arc<Target>,
    /// Grows from event to event. 0: nobody asks what became of it.
    pub number: u64,
    pub at: Wall,
    pub text: String,
    /// What the journal is told of it, if it is told.
    pub entry: Option<Entry>,
}

/// What the thread has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// No writer is left and all that was written is in the file. The fd is closed here.
    Closed(StreamKey),
    /// What was spilled of it is in the log, and that file closed here.
    Unspilled(StreamKey),
    /// The stream cannot be read, and is given up.
    Broken { key: StreamKey, why: String },
    /// From here on lines are lost, until `Kept`.
    Losing { place: String, why: String },
    /// The file takes lines again; so many were lost. The log says so too.
    Kept { place: String, lines: u64, bytes: u64 },
    /// Events up to this number are in their files, or counted as lost.
    Wrote { number: u64 },
    /// The record that survives the daemon cannot be written: a daemon that dies now may double a batch.
    NoRecord { why: String },
}

/// Reads both clocks; called once a batch.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// Told what the thread has to tell, on the thread; must not wait.
pub type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

/// What the thread needs.
pub struct Settings {
    pub store: Box<dyn RecordStore>,
    pub trash: Trash,
    pub clock: Clock,
    pub report: Reporter,
    /// How long an append may take before lines are dropped instead.
    pub log_stall: Duration,
    /// For the rotated files of all logs together.
    pub host_cap: HostCap,
}

pub(super) enum Command {
    Add(Stream),
    Remove(StreamKey),
    Finish(StreamKey),
    Write(Vec<Event>),
    WriteMissing(Vec<Event>),
    Flush { app: AppName, outside: Vec<Arc<Target>>, done: Sender<io::Result<()>> },
    Reopen,
    Sync(Sender<()>),
    Stop,
}

/// A handle on the thread. Dropping it stops the thread at the next batch; what stands in the pipes stays there.
pub struct Capture {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The name under which the epoll set knows the command channel.
const WAKE: u64 = u64::MAX;
/// A round that took less is followed by a pause.
const SMALL: u64 = 128 << 10;
const PAUSE: Duration = Duration::from_millis(1);

impl Capture {
    /// Settles what a dead daemon left, then captures `streams`, which are those it had.
    pub fn start(dir: &Path, settings: Settings, streams: Vec<Stream>) -> io::Result<Self> {
        let wake = eventfd()?;
        let set = ReadSet::new()?;
        set.add(wake.as_fd(), WAKE)?;
        let root = Arc::new(LogDir::open(dir)?);
        let archive = Archive::new(root, settings.host_cap, Arc::clone(&settings.clock));
        let shared = Arc::new(Shared::new(archive, wake, settings.store, settings.trash));
        let (commands, incoming) = channel();
        let mut engine = Engine::new(set, Arc::clone(&shared), settings.log_stall, settings.clock, settings.report)?;
        let thread = thread::Builder::new().name("log-capture".to_owned()).stack_size(512 << 10).spawn(move || {
            engine.recover(streams);
            run(engine, &incoming);
        })?;
        Ok(Self { commands, shared, thread: Some(thread) })
    }

    pub fn add(&self, stream: Stream) {
        self.send(Command::Add(stream));
    }

    /// Stops reading a stream that has not ended. What stands in its pipe stays there.
    pub fn remove(&self, key: StreamKey) {
        self.send(Command::Remove(key));
    }

    /// Takes what stands in the pipe for all there will be, and reports the stream closed. For a proc of which nothing is
    /// left: a stranger it gave its output to could keep the pipe open for ever.
    pub fn finish(&self, key: StreamKey) {
        self.send(Command::Finish(key));
    }

    /// Writes life-cycle events, after everything that was written to their targets so far.
    pub fn write(&self, events: Vec<Event>) {
        self.send(Command::Write(events));
    }

    /// Writes events that a dead daemon may have written, unless it has.
    pub fn write_missing(&self, events: Vec<Event>) {
        self.send(Command::WriteMissing(events));
    }

    /// Empties an app's logs, and `outside`, its files elsewhere. The answer comes when it is done.
    pub fn flush(&self, app: AppName, outside: Vec<Arc<Target>>) -> Receiver<io::Result<()>> {
        let (done, answer) = channel();
        self.send(Command::Flush { app, outside, done });
        answer
    }

    /// Opens all files anew at their next line: somebody moved them.
    pub fn reopen(&self) {
        self.send(Command::Reopen);
    }

    /// The answer comes when all whole lines written before the call are in their files.
    pub fn sync(&self) -> Receiver<()> {
        let (done, answer) = channel();
        self.send(Command::Sync(done));
        answer
    }

    fn send(&self, command: Command) {
        // The thread ends only when told to by `drop`, so it is there; and an eventfd that is full is awake already.
        let _ = self.commands.send(command);
        let _ = self.shared.wake.write(1);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut engine: Engine, commands: &Receiver<Command>) {
    let mut last = Round { ended: Mono(0), bytes: u64::MAX };
    loop {
        if let Err(e) = engine.wait(WAKE) {
            // epoll_wait fails only for a bad set, which this thread alone holds.
            engine.give_up(&e);
            return;
        }
        while let Ok(command) = commands.try_recv() {
            if matches!(command, Command::Stop) {
                return;
            }
            engine.apply(command);
        }
        engine.settle_late();
        if !engine.has_work() {
            continue;
        }
        let since = engine.now().mono.since(last.ended);
        if last.bytes < SMALL && since < PAUSE {
            thread::sleep(PAUSE - since);
            if engine.gather(WAKE).is_err() {
                continue;
            }
        }
        let bytes = engine.round();
        last = Round { ended: engine.now().mono, bytes };
    }
}

/// The last time the ready streams were looked at.
struct Round {
    ended: Mono,
    bytes: u64,
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
