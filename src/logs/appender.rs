//! The thread whose writes may hang.
//! Owns: running one append at a time with a limit, and leaving a thread that hangs to itself.
//! Never: decides what is appended, or drops a line: whoever asked is told, at once or late.
//!
//! A write to a sick disk sleeps where no signal reaches. If the capture thread made it, one bad file would stop the
//! logs of every app; so a second thread does, and is given up for a new one when it is not back in time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use crate::sys::stream::EventFd;

use super::file::{AppendError, Go, LogDir, LogFile};
use super::record::{Phase, Record, RecordStore};

/// One append.
pub struct Job {
    pub file: LogFile,
    pub lines: Vec<u8>,
    /// What to keep while it is under way; file and length are filled in. None: losing or doubling it does no harm.
    pub record: Option<Record>,
}

/// A finished one. The file's length, if all went well.
pub struct Done {
    pub job: Job,
    pub result: Result<u64, AppendError>,
}

/// What both threads use.
pub struct Shared {
    pub root: LogDir,
    pub wake: EventFd,
    store: Mutex<Box<dyn RecordStore>>,
}

impl Shared {
    pub fn new(root: LogDir, wake: EventFd, store: Box<dyn RecordStore>) -> Self {
        Self { root, wake, store: Mutex::new(store) }
    }

    fn store(&self) -> MutexGuard<'_, Box<dyn RecordStore>> {
        // A record is written whole or not at all, so a panic elsewhere leaves a good one.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn record(&self) -> Record {
        self.store().read()
    }

    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        self.store().write(record)
    }
}

struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    /// Set with the store locked: after that the worker neither keeps a record nor begins to write.
    abandoned: Arc<AtomicBool>,
}

pub struct Appender {
    shared: Arc<Shared>,
    worker: Worker,
    hung: Vec<Worker>,
    stall: Duration,
}

impl Appender {
    /// `stall`: how long an append may take before others go on without it.
    pub fn start(shared: Arc<Shared>, stall: Duration) -> io::Result<Self> {
        let worker = start_worker(Arc::clone(&shared))?;
        Ok(Self { shared, worker, hung: Vec::new(), stall })
    }

    /// Begins an append. The job comes back if no thread can be started. `wait` must follow.
    pub fn submit(&mut self, job: Job) -> Result<(), Job> {
        let Err(SendError(job)) = self.worker.jobs.send(job) else { return Ok(()) };
        // The thread ended, as it does after a hang that was over just when it was given up.
        match start_worker(Arc::clone(&self.shared)) {
            Ok(worker) => self.worker = worker,
            Err(_) => return Err(job),
        }
        self.worker.jobs.send(job).map_err(|SendError(job)| job)
    }

    /// Waits for the append that was begun. None: it hangs, and `late` will tell how it ended. The error is that there is
    /// no thread and none can be started.
    pub fn wait(&mut self) -> io::Result<Option<Done>> {
        match self.worker.done.recv_timeout(self.stall) {
            Ok(done) => return Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                self.worker = start_worker(Arc::clone(&self.shared))?;
                return Err(io::Error::other("the thread that appends ended"));
            }
        }
        {
            let _store = self.shared.store();
            self.worker.abandoned.store(true, Ordering::SeqCst);
        }
        let fresh = start_worker(Arc::clone(&self.shared))?;
        let given_up = std::mem::replace(&mut self.worker, fresh);
        // It may have come back just before it was given up. Then nothing hangs, only the thread is spent.
        match given_up.done.try_recv() {
            Ok(done) => Ok(Some(done)),
            Err(_) => {
                self.hung.push(given_up);
                Ok(None)
            }
        }
    }

    /// Appends that hung and are over now.
    pub fn late(&mut self) -> Vec<Done> {
        let mut over = Vec::new();
        self.hung.retain(|worker| match worker.done.try_recv() {
            Ok(done) => {
                over.push(done);
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Disconnected) => false,
        });
        over
    }
}

fn start_worker(shared: Arc<Shared>) -> io::Result<Worker> {
    let (jobs, incoming) = channel::<Job>();
    let (outgoing, done) = channel();
    let abandoned = Arc::new(AtomicBool::new(false));
    let given_up = Arc::clone(&abandoned);
    thread::Builder::new().name("log-append".to_owned()).stack_size(256 << 10).spawn(move || {
        for mut job in incoming {
            let result = append(&shared, &mut job, &given_up);
            if outgoing.send(Done { job, result }).is_err() {
                return;
            }
            if given_up.load(Ordering::SeqCst) {
                // The counter cannot overflow: it is read each time the capture thread wakes.
                let _ = shared.wake.write(1);
                return;
            }
        }
    })?;
    Ok(Worker { jobs, done, abandoned })
}

fn append(shared: &Shared, job: &mut Job, given_up: &AtomicBool) -> Result<u64, AppendError> {
    let Job { file, lines, record } = job;
    file.append(&shared.root, lines, &mut |id, before| {
        let mut store = shared.store();
        if given_up.load(Ordering::SeqCst) {
            return Go::Back;
        }
        let Some(record) = record else { return Go::Ahead };
        (record.phase, record.file, record.before) = (Phase::Append, id, before);
        // Without a record the append is still right unless the daemon dies in it; without the append, never.
        let _ = store.write(record);
        Go::Ahead
    })
}
