//! Where lines go: each target's file, and what is lost while it takes none.
//! Owns: open files, what hangs, and the count of lost lines until the log tells of them.
//! Never: reads a pipe.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crate::model::ids::AppName;
use crate::model::spec::LogFormat;

use super::appender::{Appender, Done, Job, Waited, Work};
use super::capture::{Clock, Report, Reporter};
use super::desk::{Leave, Shared};
use super::file::{LogFile, Target, flush_app};
use super::format::{event_stamp, format_event};
use super::pump::{Loss, Mover, Order, Outcome, Stop};

/// A log file and what happened to lines that it did not take.
struct Sink {
    /// None while a write hangs.
    file: Option<LogFile>,
    target: Arc<Target>,
    /// As of the last append; what fits is planned by it, and checked by the append itself.
    len: u64,
    streams: usize,
    gap: Gap,
}

#[derive(Default)]
struct Gap {
    lines: u64,
    bytes: u64,
    why: String,
    told: bool,
}

pub(super) struct Sinks {
    sinks: HashMap<String, Sink>,
    appender: Appender,
    shared: Arc<Shared>,
    clock: Clock,
    report: Reporter,
}

const HANGS: &str = "the write hangs";

impl Sinks {
    pub fn start(shared: Arc<Shared>, log_stall: Duration, clock: Clock, report: Reporter) -> io::Result<Self> {
        let appender = Appender::start(Arc::clone(&shared), log_stall, Arc::clone(&clock))?;
        Ok(Self { sinks: HashMap::new(), appender, shared, clock, report })
    }

    pub fn format(&self, name: &str) -> Option<LogFormat> {
        self.sinks.get(name).map(|sink| sink.target.format)
    }

    /// The file of a target, unless a write to it hangs.
    pub fn file(&mut self, name: &str) -> Option<&mut LogFile> {
        self.sinks.get_mut(name)?.file.as_mut()
    }

    /// Whether a file has these bytes near its end.
    pub fn holds(&mut self, name: &str, lines: &[u8]) -> io::Result<bool> {
        let root = &self.shared.root;
        self.sinks.get_mut(name).and_then(|sink| sink.file.as_mut()).map_or(Ok(false), |file| file.holds(root, lines))
    }

    pub fn reopen(&mut self) {
        self.sinks.values_mut().filter_map(|s| s.file.as_mut()).for_each(LogFile::reopen);
    }

    pub fn open(&mut self, target: &Arc<Target>, users: usize) {
        let sink = self.sinks.entry(target.place.to_string()).or_insert_with(|| Sink {
            file: Some(LogFile::new(Arc::clone(target))),
            target: Arc::clone(target),
            len: 0,
            streams: 0,
            gap: Gap::default(),
        });
        sink.streams += users;
        // A newer revision of the app may rotate otherwise.
        sink.target = Arc::clone(target);
        if let Some(file) = &mut sink.file {
            file.set_target(Arc::clone(target));
        }
    }

    pub fn close_if_unused(&mut self, name: &str) {
        // While a write hangs, or lines were lost that the log does not tell of yet, the file is kept in mind.
        if self.sinks.get(name).is_some_and(|s| s.streams == 0 && s.file.is_some() && s.gap.lines == 0) {
            self.sinks.remove(name);
        }
    }

    /// One stream of the target is over.
    pub fn leave(&mut self, name: &str) {
        if let Some(sink) = self.sinks.get_mut(name) {
            sink.streams -= 1;
        }
        self.close_if_unused(name);
    }

    /// Appends lines of stead's own.
    pub fn append(&mut self, name: &str, lines: Vec<u8>, label: &str) {
        match self.refuses(name, label) {
            Some(why) => self.lose(name, Loss::of(&lines, why)),
            None => drop(self.run(name, Work::Lines(lines))),
        }
    }

    /// Moves what stands in a pipe into a file. What the file does not take is lost, and counted.
    pub fn pump(&mut self, name: &str, order: Order, label: &str) -> Outcome {
        let Some(why) = self.refuses(name, label) else { return self.run(name, Work::Pump(order)) };
        let mut mover = Mover::new(Arc::clone(&self.shared), Arc::new(Leave::default()), Arc::clone(&self.clock));
        let mut outcome = mover.pump(&order, None, 0);
        if let Some(lost) = outcome.lost.take() {
            self.lose(name, Loss { why, ..lost });
        }
        outcome
    }

    /// Why a file takes no lines now, after the log was told what it lost before. None: it does.
    fn refuses(&mut self, name: &str, label: &str) -> Option<String> {
        self.tell_gap(name, label);
        let sink = self.sinks.get(name)?;
        match sink.file {
            None => Some(HANGS.to_owned()),
            Some(_) => (sink.gap.lines > 0).then(|| sink.gap.why.clone()),
        }
    }

    /// Says in the log how much of it is missing, as soon as it takes a line.
    fn tell_gap(&mut self, name: &str, label: &str) {
        let Some(Sink { gap, target, file: Some(_), .. }) = self.sinks.get(name) else { return };
        if gap.lines == 0 {
            return;
        }
        let Gap { lines: lost, bytes, why, .. } = gap;
        let text = format!("{label}: {lost} lines ({bytes} bytes) were lost here: {why}");
        let mut line = Vec::new();
        format_event(target.format, event_stamp((self.clock)().wall), &text, true, &mut line);
        if self.try_run(name, Work::Lines(line)).is_some_and(|outcome| outcome.lost.is_none())
            && let Some(sink) = self.sinks.get_mut(name)
        {
            let Gap { lines, bytes, .. } = std::mem::take(&mut sink.gap);
            (self.report)(Report::Kept { place: name.to_owned(), lines, bytes });
        }
    }

    /// Does a job, and counts what is lost of it.
    fn run(&mut self, name: &str, work: Work) -> Outcome {
        // What became of the lines of a job that hangs is known when it does not hang any more.
        let hangs = Outcome { lost: Some(Loss { lines: 0, bytes: 0, why: HANGS.to_owned() }), ..Outcome::default() };
        let mut outcome = self.try_run(name, work).unwrap_or(hangs);
        if let Some(lost) = outcome.lost.take() {
            self.lose(name, lost);
        }
        outcome
    }

    /// None: it hangs.
    fn try_run(&mut self, name: &str, work: Work) -> Option<Outcome> {
        let sink = self.sinks.get_mut(name)?;
        let (file, len) = (sink.file.take()?, sink.len);
        let pipe = match &work {
            Work::Pump(order) => Some(Arc::clone(&order.pipe)),
            Work::Lines(_) => None,
        };
        if let Err(job) = self.appender.submit(Job { file, len, work }) {
            // No thread can be started; `wait` finds that out and tells.
            sink.file = Some(job.file);
        }
        match self.appender.wait() {
            Ok(Waited { done, left }) => {
                let broken = match (left, pipe) {
                    (Some(record), Some(pipe)) => self.shared.desk().consume(pipe.as_fd(), &record).err(),
                    _ => None,
                };
                let outcome = done.map(|done| self.settle(name, done));
                match broken {
                    Some(why) => Some(Outcome { stop: Stop::Broken(why), ..outcome.unwrap_or_default() }),
                    None => outcome,
                }
            }
            // The file may have gone with the job. A fresh one is tried at the next line.
            Err(why) => {
                let sink = self.sinks.get_mut(name)?;
                sink.file.get_or_insert_with(|| LogFile::new(Arc::clone(&sink.target)));
                Some(Outcome { lost: Some(Loss::of(b"", why.to_string())), len, ..Outcome::default() })
            }
        }
    }

    /// Puts the file of a finished job back.
    fn settle(&mut self, name: &str, done: Done) -> Outcome {
        let Done { mut file, outcome } = done;
        if let Some(sink) = self.sinks.get_mut(name) {
            file.set_target(Arc::clone(&sink.target));
            sink.len = outcome.len;
            sink.file = Some(file);
        }
        outcome
    }

    /// Appends that hung and came back: their lines are in the file, or are counted now.
    pub fn settle_late(&mut self) {
        for done in self.appender.late() {
            let name = done.file.target().place.to_string();
            if let Some(lost) = self.settle(&name, done).lost {
                self.lose(&name, lost);
            }
            self.tell_gap(&name, "stead");
            if let Some(sink) = self.sinks.get_mut(&name)
                && sink.gap.lines == 0
                && std::mem::take(&mut sink.gap.told)
            {
                (self.report)(Report::Kept { place: name.clone(), lines: 0, bytes: 0 });
            }
            self.close_if_unused(&name);
        }
    }

    /// Counts lines that no file has.
    pub fn lose(&mut self, name: &str, Loss { lines, bytes, why }: Loss) {
        let Some(sink) = self.sinks.get_mut(name) else { return };
        sink.gap.lines += lines;
        sink.gap.bytes += bytes;
        if !sink.gap.told {
            sink.gap.told = true;
            (self.report)(Report::Losing { place: name.to_owned(), why: why.clone() });
        }
        sink.gap.why = why;
    }

    /// Empties an app's logs and its files elsewhere.
    pub fn flush(&mut self, app: &AppName, outside: &[Arc<Target>]) -> io::Result<()> {
        flush_app(&self.shared.root, app)?;
        for target in outside {
            let name = target.place.to_string();
            self.open(target, 0);
            if let Some(file) = self.sinks.get_mut(&name).and_then(|s| s.file.as_mut()) {
                file.flush(&self.shared.root)?;
            }
            self.close_if_unused(&name);
        }
        // A fresh file has all its room again; the next append sees its true length.
        self.sinks.values_mut().for_each(|sink| sink.len = 0);
        Ok(())
    }
}
