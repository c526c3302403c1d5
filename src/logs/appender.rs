//! The thread whose writes may hang.
//! Owns: running one job at a time with a limit, and leaving a thread that hangs to itself.
//! Never: decides what is appended, or drops a line: whoever asked is told, at once or late.
//!
//! A write to a sick disk sleeps where no signal reaches. If the capture thread made it, one bad file would stop the
//! logs of every app; so a second thread does, and is given up for a new one when it does not get on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, channel};
use std::time::Duration;
use std::{io, thread};

use super::capture::Clock;
use super::desk::{Leave, Shared};
use super::file::LogFile;
use super::pump::{Loss, Mover, Order, Outcome, append};
use super::record::Record;

/// Something to be put into a file.
pub struct Job {
    pub file: LogFile,
    /// The file's length, as far as is known.
    pub len: u64,
    pub work: Work,
}

pub enum Work {
    /// Lines of stead's own: losing or doubling them when the daemon dies does no harm.
    Lines(Vec<u8>),
    /// What stands in a pipe.
    Pump(Order),
}

/// A finished job.
pub struct Done {
    pub file: LogFile,
    pub outcome: Outcome,
}

/// What became of a job in time.
pub struct Waited {
    /// None: it hangs, and `late` will tell how it ended.
    pub done: Option<Done>,
    /// The batch that the thread was in when it was given up. It counts as written, so that it must be taken out of its
    /// pipe; if it is not, `late` says so.
    pub left: Option<Record>,
}

struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    leave: Arc<Leave>,
}

pub struct Appender {
    shared: Arc<Shared>,
    clock: Clock,
    worker: Worker,
    hung: Vec<Worker>,
    stall: Duration,
}

impl Appender {
    /// `stall`: how long an append may take before others go on without it.
    pub fn start(shared: Arc<Shared>, stall: Duration, clock: Clock) -> io::Result<Self> {
        let worker = start_worker(&shared, &clock)?;
        Ok(Self { shared, clock, worker, hung: Vec::new(), stall })
    }

    /// Begins a job. It comes back if no thread can be started. `wait` must follow.
    pub fn submit(&mut self, job: Job) -> Result<(), Job> {
        let Err(SendError(job)) = self.worker.jobs.send(job) else { return Ok(()) };
        // The thread ended, as it does after a hang that was over just when it was given up.
        match start_worker(&self.shared, &self.clock) {
            Ok(worker) => self.worker = worker,
            Err(_) => return Err(job),
        }
        self.worker.jobs.send(job).map_err(|SendError(job)| job)
    }

    /// Waits for the job that was begun, as long as it gets on. The error is that there is no thread and none can be
    /// started.
    pub fn wait(&mut self) -> io::Result<Waited> {
        let mut steps = self.worker.leave.steps();
        loop {
            match self.worker.done.recv_timeout(self.stall) {
                Ok(done) => return Ok(Waited { done: Some(done), left: None }),
                Err(RecvTimeoutError::Timeout) if self.worker.leave.steps() != steps => {
                    steps = self.worker.leave.steps();
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.worker = start_worker(&self.shared, &self.clock)?;
                    return Err(io::Error::other("the thread that appends ended"));
                }
            }
        }
        let left = self.shared.give_up(&self.worker.leave);
        let fresh = start_worker(&self.shared, &self.clock)?;
        let given_up = std::mem::replace(&mut self.worker, fresh);
        // It may have come back just before it was given up. Then nothing hangs, only the thread is spent.
        match given_up.done.try_recv() {
            Ok(done) => Ok(Waited { done: Some(done), left }),
            Err(_) => {
                self.hung.push(given_up);
                Ok(Waited { done: None, left })
            }
        }
    }

    /// Jobs that hung and are over now.
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

fn start_worker(shared: &Arc<Shared>, clock: &Clock) -> io::Result<Worker> {
    let (jobs, incoming) = channel::<Job>();
    let (outgoing, done) = channel();
    let leave = Arc::new(Leave::default());
    let mut mover = Mover::new(Arc::clone(shared), Arc::clone(&leave), Arc::clone(clock));
    let (shared, given_up) = (Arc::clone(shared), Arc::clone(&leave));
    thread::Builder::new().name("log-append".to_owned()).stack_size(256 << 10).spawn(move || {
        for Job { mut file, len, work } in incoming {
            let outcome = match work {
                Work::Lines(lines) => write(&shared, &given_up, &mut file, len, &lines),
                Work::Pump(order) => mover.pump(&order, Some(&mut file), len),
            };
            if outgoing.send(Done { file, outcome }).is_err() {
                return;
            }
            if given_up.is_over() {
                // The counter cannot overflow: it is read each time the capture thread wakes.
                let _ = shared.wake.write(1);
                return;
            }
        }
    })?;
    Ok(Worker { jobs, done, leave })
}

fn write(shared: &Shared, leave: &Leave, file: &mut LogFile, len: u64, lines: &[u8]) -> Outcome {
    match append(shared, leave, file, lines, None) {
        Ok(len) => Outcome { len, ..Outcome::default() },
        Err(error) => Outcome { len, lost: Some(Loss::rest(lines, &error)), ..Outcome::default() },
    }
}
