//! Where bytes are moved: the record of the batch under way, and the trash pipe.
//! Owns: that one thread at a time uses them, and never again one that was given up.
//! Never: chooses what is moved.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::stream::EventFd;

use super::archive::Archive;
use super::file::LogDir;
use super::record::{Phase, Record, RecordStore};
use super::trash::Trash;

/// What the threads of the capture share.
pub struct Shared {
    pub root: Arc<LogDir>,
    pub archive: Archive,
    pub wake: EventFd,
    desk: Mutex<Desk>,
}

pub struct Desk {
    pub trash: Trash,
    store: Box<dyn RecordStore>,
    failed: bool,
    untold: Option<io::Error>,
}

/// A thread's leave to use the desk, until it is given up.
#[derive(Default)]
pub struct Leave {
    over: AtomicBool,
    steps: AtomicU64,
}

impl Leave {
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Counts what the thread got done: one that goes on does not hang.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub fn new(archive: Archive, wake: EventFd, store: Box<dyn RecordStore>, trash: Trash) -> Self {
        let root = archive.root();
        Self { root, archive, wake, desk: Mutex::new(Desk { trash, store, failed: false, untold: None }) }
    }

    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        // A record is written whole or not at all, so a panic elsewhere leaves a good one.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: the thread was given up, and must touch neither record nor pipe.
    pub fn desk_with(&self, leave: &Leave) -> Option<MutexGuard<'_, Desk>> {
        let desk = self.desk();
        (!leave.is_over()).then_some(desk)
    }

    /// Gives a thread up. Returns the batch that it was writing: it may be in the file, and is in the pipe.
    pub fn give_up(&self, leave: &Leave) -> Option<Record> {
        let desk = self.desk();
        leave.over.store(true, Ordering::SeqCst);
        Some(desk.record()).filter(|record| record.phase == Phase::Append)
    }
}

impl Desk {
    pub fn record(&self) -> Record {
        self.store.read()
    }

    /// Without a record a batch is still right unless the daemon dies in it; without the batch, never. So a record that
    /// cannot be written holds nothing up, and `trouble` tells of it.
    pub fn keep(&mut self, record: &Record) {
        match self.store.write(record) {
            Ok(()) => self.failed = false,
            Err(e) if !self.failed => {
                self.failed = true;
                self.untold = Some(e);
            }
            Err(_) => {}
        }
    }

    /// Why records cannot be written, told once.
    pub fn trouble(&mut self) -> Option<io::Error> {
        self.untold.take()
    }

    /// Takes a batch out of its pipe, now that it is in the file, or lost.
    pub fn consume(&mut self, pipe: BorrowedFd<'_>, record: &Record) -> io::Result<()> {
        self.keep(&Record { phase: Phase::Consume, ..*record });
        self.trash.take(pipe, record.taken)?;
        self.keep(&Record::IDLE);
        self.trash.empty()
    }
}
