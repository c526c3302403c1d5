//! Life-cycle events on their way into the logs.
//! Owns: their sentences, and that each is written once: it is kept before anything is done about what it tells, and
//! until the thread that writes has had it.
//! Never: decides what is worth telling; the core does.

use std::collections::VecDeque;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::driver::Driver;
use super::executor::Executor;
use super::journal;
use super::output::Said;
use super::runtime::Key;
use crate::core::effect::{Effect, News};
use crate::logs::capture::Event;
use crate::model::ids::{InstanceId, ProcId};
use crate::model::time::{Now, Wall};

/// One event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// 0: not kept, and lost with the daemon.
    number: u64,
    at: Wall,
    instance: InstanceId,
    proc: Option<ProcId>,
    text: String,
    /// Its place in `journal::KINDS`.
    #[serde(default)]
    kind: Option<usize>,
}

impl Line {
    pub fn new(number: u64, at: Wall, instance: InstanceId, proc: Option<ProcId>, news: &News) -> Self {
        let text = format!("{}: {news}", subject(&instance, proc.as_ref()));
        Self { number, at, instance, proc, text, kind: journal::kind(news) }
    }
}

fn subject<'a>(instance: &'a InstanceId, proc: Option<&'a ProcId>) -> &'a dyn Display {
    proc.map_or(instance, |proc| proc)
}

/// Events that are kept, by number, oldest first.
#[derive(Debug)]
pub struct Unwritten {
    next: u64,
    kept: VecDeque<u64>,
}

impl Unwritten {
    /// Those that an earlier daemon kept are in `lines`.
    pub fn new(lines: &[Line]) -> Self {
        let kept: VecDeque<u64> = lines.iter().map(|line| line.number).collect();
        Self { next: kept.back().map_or(1, |last| last + 1), kept }
    }
}

impl Driver {
    /// Keeps what is to be said of these effects, and has it said at the end of the loop's turn.
    pub(super) fn keep_news(&mut self, now: Now, effects: &[Effect]) {
        for effect in effects {
            let (instance, proc, news) = match effect {
                Effect::Log { proc, news } => (&proc.instance, Some(proc), news),
                Effect::LogInstance { instance, news } => (instance, None, news),
                _ => continue,
            };
            // Told by what else is told, and twice as many lines.
            if matches!(news, News::Moved { .. }) {
                tracing::debug!("{}: {news}", subject(instance, proc));
                continue;
            }
            self.exposed.count(news);
            let number = self.unwritten.next;
            let line = Line::new(number, now.wall, instance.clone(), proc.cloned(), news);
            tracing::debug!("{}", line.text);
            self.unwritten.next += 1;
            self.unwritten.kept.push_back(number);
            self.runtime.put(&Key::News(number), &line);
            self.executor.news.push(line);
        }
    }

    /// Events up to this number are in their logs, or lost with a reason given.
    pub(super) fn wrote(&mut self, number: u64) {
        while let Some(oldest) = self.unwritten.kept.front().copied().filter(|oldest| *oldest <= number) {
            self.unwritten.kept.pop_front();
            self.runtime.remove(&Key::News(oldest));
        }
    }

    /// Has what an earlier daemon kept written, unless it is.
    pub(super) fn write_unwritten(&mut self, lines: Vec<Line>) {
        let mut events = Vec::new();
        for line in lines {
            let app = &line.instance.app;
            // Of an app that is forgotten there is no log to write to.
            let Some(spec) = self.world.app(app).map(|view| view.spec.clone()) else { continue };
            let account = self.executor.accounts.get(app).map(|(_, account)| account.clone());
            let live = Some((&spec, account.as_ref()));
            let said = Said { number: line.number, at: line.at, text: line.text, kind: line.kind };
            events.extend(self.executor.output.event(&line.instance, live, said));
        }
        self.executor.output.write_missing(events);
    }
}

impl Executor {
    pub(super) fn write_news(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let mut events: Vec<Event> = Vec::with_capacity(self.news.len());
        for Line { number, at, instance, proc, text, kind } in std::mem::take(&mut self.news) {
            let live = proc.as_ref().and_then(|proc| self.runs.get(&proc.run));
            let live = live.map(|live| (&live.spec, live.account.as_ref()));
            events.extend(self.output.event(&instance, live, Said { number, at, text, kind }));
        }
        self.output.write(events);
    }
}
