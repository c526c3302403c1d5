//! Where lines go: each target's file, and what is lost while it takes none.
//! Owns: open files, what hangs, and the count of lost lines until the log tells of them.
//! Never: reads a pipe.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr_iter;

use crate::model::ids::AppName;
use crate::model::spec::LogFormat;

use super::appender::{Appender, Done, Job, Shared};
use super::capture::{Clock, Report, Reporter};
use super::file::{AppendError, LogFile, Target, flush_app};
use super::format::{event_stamp, format_event};
use super::record::Record;

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
    /// The target of the append that was begun.
    under_way: Option<String>,
    /// Kept for the next batches, so that a busy stream allocates nothing. Two: one is written, one filled.
    buffers: Vec<Vec<u8>>,
}

const HANGS: &str = "the write hangs";

/// Lines, at least one: what is lost is never nothing.
pub(super) fn count_lines(lines: &[u8]) -> u64 {
    memchr_iter(b'\n', lines).count().max(1) as u64
}

impl Sinks {
    pub fn start(shared: Arc<Shared>, log_stall: Duration, clock: Clock, report: Reporter) -> io::Result<Self> {
        let appender = Appender::start(Arc::clone(&shared), log_stall)?;
        Ok(Self { sinks: HashMap::new(), appender, shared, clock, report, under_way: None, buffers: Vec::new() })
    }

    /// The format of a target, and how much of it a batch may fill. What does not fit beside what is there goes to a
    /// fresh file, so it may fill that one.
    pub fn plan(&self, name: &str) -> Option<(LogFormat, u64)> {
        let Sink { target, len, .. } = self.sinks.get(name)?;
        let room = match target.max_size {
            0 => u64::MAX,
            limit => limit.checked_sub(*len).filter(|room| *room > 0).unwrap_or(limit),
        };
        Some((target.format, room))
    }

    /// The file of a target, unless a write to it hangs.
    pub fn file(&mut self, name: &str) -> Option<&mut LogFile> {
        self.sinks.get_mut(name)?.file.as_mut()
    }

    /// An empty buffer for lines, to be given to `append`.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < 2 {
            buffer.clear();
            self.buffers.push(buffer);
        }
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

    /// Appends, and waits. False: these lines are lost, and counted.
    pub fn append(&mut self, name: &str, lines: Vec<u8>, record: Option<Record>, label: &str) -> bool {
        self.begin(name, lines, record, label);
        self.finish()
    }

    /// Begins to append, saying first what was lost before. `finish` must follow before anything else is begun.
    pub fn begin(&mut self, name: &str, lines: Vec<u8>, record: Option<Record>, label: &str) {
        self.tell_gap(name, label);
        let Some(sink) = self.sinks.get_mut(name) else { return };
        let refused = match &mut sink.file {
            None => HANGS.to_owned(),
            Some(_) if sink.gap.lines > 0 => sink.gap.why.clone(),
            Some(_) => return self.submit(name, lines, record),
        };
        self.lose(name, count_lines(&lines), lines.len() as u64, refused);
        self.give_buffer(lines);
    }

    /// Waits for what was begun. False: these lines are lost, and counted, or it hangs.
    pub fn finish(&mut self) -> bool {
        let Some(name) = self.under_way.take() else { return false };
        match self.wait(&name) {
            Some(Ok(())) => return true,
            Some(Err((error, lines))) => {
                self.lose_rest(&name, &error, &lines);
                self.give_buffer(lines);
            }
            // What became of the lines is known when it does not hang any more.
            None => self.lose(&name, 0, 0, HANGS.to_owned()),
        }
        false
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
        self.submit(name, line, None);
        self.under_way = None;
        if let Some(Ok(())) = self.wait(name)
            && let Some(sink) = self.sinks.get_mut(name)
        {
            let Gap { lines, bytes, .. } = std::mem::take(&mut sink.gap);
            (self.report)(Report::Kept { place: name.to_owned(), lines, bytes });
        }
    }

    fn submit(&mut self, name: &str, lines: Vec<u8>, record: Option<Record>) {
        let Some(sink) = self.sinks.get_mut(name) else { return };
        let Some(file) = sink.file.take() else { return };
        self.under_way = Some(name.to_owned());
        if let Err(job) = self.appender.submit(Job { file, lines, record }) {
            // No thread can be started; `wait` finds that out and tells.
            sink.file = Some(job.file);
        }
    }

    /// None: it hangs.
    fn wait(&mut self, name: &str) -> Option<Appended> {
        match self.appender.wait() {
            Ok(Some(done)) => Some(self.settle(name, done)),
            Ok(None) => None,
            // The file may have gone with the job. A fresh one is tried at the next line.
            Err(why) => {
                let sink = self.sinks.get_mut(name)?;
                sink.file.get_or_insert_with(|| LogFile::new(Arc::clone(&sink.target)));
                Some(Err((AppendError { place: name.to_owned(), written: 0, why }, Vec::new())))
            }
        }
    }

    /// Puts the file of a finished append back.
    fn settle(&mut self, name: &str, done: Done) -> Appended {
        let Done { job: Job { mut file, lines, .. }, result } = done;
        if let Some(sink) = self.sinks.get_mut(name) {
            file.set_target(Arc::clone(&sink.target));
            sink.len = result.as_ref().copied().unwrap_or(sink.len);
            sink.file = Some(file);
        }
        match result {
            Ok(_) => {
                self.give_buffer(lines);
                Ok(())
            }
            Err(error) => Err((error, lines)),
        }
    }

    /// Appends that hung and came back: their lines are in the file, or are counted now.
    pub fn settle_late(&mut self) {
        for done in self.appender.late() {
            let name = done.job.file.target().place.to_string();
            if let Err((error, lines)) = self.settle(&name, done) {
                self.lose_rest(&name, &error, &lines);
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

    fn lose_rest(&mut self, name: &str, error: &AppendError, lines: &[u8]) {
        let rest = &lines[error.written.min(lines.len())..];
        self.lose(name, count_lines(rest), rest.len() as u64, error.why.to_string());
    }

    /// Counts lines that no file has.
    pub fn lose(&mut self, name: &str, lines: u64, bytes: u64, why: String) {
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

/// How an append ended; a failed one gives its lines back.
type Appended = Result<(), (AppendError, Vec<u8>)>;
