//! What is on the screen, as facts.
//! Owns: which instance is selected, which rows are shown in which order, what is asked of the person, and what came of it.
//! Pure: lists, records and keys go in, wishes come out. Never: draws, waits, or speaks to the daemon.

use super::events::{self, Events};
use super::log::Log;
use crate::bus::proxy::{AppDetail, JobEnd};
use crate::model::logframe::LogRecord;
use crate::model::status::InstanceStatus;

/// By what rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Name,
    Status,
    Cpu,
    Memory,
    Restarts,
    Uptime,
}

impl Sort {
    pub const ALL: [Self; 6] = [Self::Name, Self::Status, Self::Cpu, Self::Memory, Self::Restarts, Self::Uptime];

    pub fn as_str(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Status => "status",
            Sort::Cpu => "cpu",
            Sort::Memory => "memory",
            Sort::Restarts => "restarts",
            Sort::Uptime => "uptime",
        }
    }

    pub(super) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// What stands below the list, where there is room for one thing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Log,
    Details,
    Events,
}

impl Pane {
    pub const ALL: [Self; 3] = [Self::Log, Self::Details, Self::Events];

    pub fn as_str(self) -> &'static str {
        match self {
            Pane::Log => "log",
            Pane::Details => "details",
            Pane::Events => "events",
        }
    }
}

/// Something to be done to an instance or an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Start(String),
    Restart(String),
    Stop(String),
    /// An app, and what it is scaled to: "4", "+1", "-1", or "" for the configured count.
    Scale(String, String),
}

impl Action {
    /// As the question and the report begin: "restart api/2".
    pub fn words(&self) -> String {
        match self {
            Action::Start(what) => format!("start {what}"),
            Action::Restart(what) => format!("restart {what}"),
            Action::Stop(what) => format!("stop {what}"),
            Action::Scale(app, to) if to.is_empty() => format!("scale {app} to the configured count"),
            Action::Scale(app, to) if to.starts_with(['+', '-']) => format!("scale {app} by {to}"),
            Action::Scale(app, to) => format!("scale {app} to {to}"),
        }
    }
}

/// What keys mean right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Browse,
    /// A filter is typed; what it was before.
    Filter {
        before: String,
    },
    Confirm(Action),
    /// A number of instances is typed.
    Scale {
        app: String,
        has: usize,
        text: String,
    },
    Help,
    /// Something failed: the person is to have seen it.
    Trouble {
        title: String,
        text: String,
    },
}

/// Whether the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    Asked,
    Answers,
    Lost { why: String },
}

#[derive(Debug)]
pub struct Model {
    pub host: String,
    pub zone: jiff::tz::TimeZone,
    pub daemon: Daemon,
    pub(super) rows: Vec<InstanceStatus>,
    /// Places in `rows`: those that pass the filter, in order.
    pub(super) shown: Vec<usize>,
    pub(super) selected: Option<String>,
    pub sort: Sort,
    pub reversed: bool,
    pub filter: String,
    pub mode: Mode,
    pub pane: Pane,
    /// How many lines the pane is moved back from its end (of the details: forward from their begin), and how many columns
    /// to the right.
    pub scroll: (usize, usize),
    pub log: Log,
    pub events: Events,
    pub detail: Option<AppDetail>,
    /// Actions under way.
    pub doing: Vec<String>,
    /// What came of the last one.
    pub notice: String,
}

impl Model {
    pub fn new(host: String, zone: jiff::tz::TimeZone) -> Self {
        Self {
            host,
            zone,
            daemon: Daemon::Asked,
            rows: Vec::new(),
            shown: Vec::new(),
            selected: None,
            sort: Sort::Name,
            reversed: false,
            filter: String::new(),
            mode: Mode::Browse,
            pane: Pane::Log,
            scroll: (0, 0),
            log: Log::default(),
            events: Events::default(),
            detail: None,
            doing: Vec::new(),
            notice: String::new(),
        }
    }

    /// What runs now; `now` in milliseconds since 1970.
    pub fn listed(&mut self, rows: Vec<InstanceStatus>, now: u64) {
        match self.daemon {
            Daemon::Asked => self.events.add(events::known(&rows)),
            Daemon::Lost { .. } => self.events.add(vec![events::of_stead("the daemon answers again", now)]),
            Daemon::Answers => {}
        }
        if self.daemon != Daemon::Asked {
            self.events.add(events::between(&self.rows, &rows, now));
        }
        self.daemon = Daemon::Answers;
        let at = self.selected_at();
        self.rows = rows;
        self.arrange_from(at);
    }

    /// The daemon does not answer any more, or not yet again.
    pub fn lost(&mut self, why: String, now: u64) {
        if self.daemon == Daemon::Answers {
            self.events.add(vec![events::of_stead("the daemon does not answer", now)]);
        }
        self.daemon = Daemon::Lost { why };
    }

    /// All about an instance's app.
    pub fn detailed(&mut self, detail: Option<AppDetail>) {
        self.detail = detail;
    }

    /// The log of the selected instance begins here.
    pub fn log_begins(&mut self, remark: String) {
        self.log = Log::begin(remark);
    }

    pub fn logged(&mut self, records: &[LogRecord]) {
        let before = self.log.lines.len();
        records.iter().for_each(|record| self.log.add(record));
        if self.pane == Pane::Log && self.scroll.0 > 0 {
            // Who reads further up goes on reading the same lines.
            self.scroll.0 += self.log.lines.len().saturating_sub(before);
        }
    }

    /// An action is over: how, or why it could not be done.
    pub fn done(&mut self, action: &Action, result: Result<JobEnd, String>) {
        let words = action.words();
        self.doing.retain(|doing| *doing != words);
        let failed = match result {
            Ok(end) if end.failed => {
                let why = end.instances.iter().filter(|news| news.result == "failed");
                let lines: Vec<String> = why.map(|news| format!("{}: {}", news.instance, news.why)).collect();
                if lines.is_empty() { "the daemon does not say why".to_owned() } else { lines.join("\n") }
            }
            Ok(end) => {
                self.notice = report(&words, &end);
                return;
            }
            Err(why) => why,
        };
        self.notice = format!("{words}: failed");
        self.mode = Mode::Trouble { title: format!("{words}: failed"), text: failed };
    }

    pub fn rows(&self) -> &[InstanceStatus] {
        &self.rows
    }

    /// What is shown of them, in order.
    pub fn shown(&self) -> impl ExactSizeIterator<Item = &InstanceStatus> {
        self.shown.iter().map(|at| &self.rows[*at])
    }

    /// The place of the selected one among those that are shown.
    pub fn selected_at(&self) -> Option<usize> {
        let selected = self.selected.as_deref()?;
        self.shown.iter().position(|at| self.rows[*at].instance == selected)
    }

    pub fn selected(&self) -> Option<&InstanceStatus> {
        self.selected_at().map(|at| &self.rows[self.shown[at]])
    }

    pub(super) fn select(&mut self, at: usize) {
        let at = at.min(self.shown.len().saturating_sub(1));
        let name = self.shown.get(at).map(|at| self.rows[*at].instance.clone());
        if name != self.selected {
            self.selected = name;
            self.scroll = (0, 0);
            self.log = Log::default();
            self.detail = None;
        }
    }

    /// Filters and sorts. What was selected stays so if it is still there; else its neighbour is.
    pub(super) fn arrange(&mut self) {
        self.arrange_from(self.selected_at());
    }

    /// `at`: where the selected one stood before.
    fn arrange_from(&mut self, at: Option<usize>) {
        let wanted = self.filter.to_lowercase();
        let passes = |row: &InstanceStatus| {
            let words = [&row.instance, row.status.as_str(), &row.namespace, &row.user];
            words.iter().any(|word| word.to_lowercase().contains(&wanted))
        };
        let rows = &self.rows;
        self.shown = (0..rows.len()).filter(|at| passes(&rows[*at])).collect();
        // The daemon's order is by name; a stable sort keeps it among equals.
        match self.sort {
            Sort::Name => {}
            Sort::Status => self.shown.sort_by_key(|at| rows[*at].status.as_str()),
            Sort::Cpu => {
                let cpu = |at: usize| rows[at].cpu_percent.unwrap_or(-1.0);
                self.shown.sort_by(|a, b| cpu(*b).total_cmp(&cpu(*a)));
            }
            Sort::Memory => self.shown.sort_by_key(|at| std::cmp::Reverse(rows[*at].memory_bytes)),
            Sort::Restarts => self.shown.sort_by_key(|at| std::cmp::Reverse(rows[*at].restarts)),
            Sort::Uptime => self.shown.sort_by_key(|at| std::cmp::Reverse(rows[*at].uptime_ms)),
        }
        if self.reversed {
            self.shown.reverse();
        }
        if self.selected_at().is_none() {
            self.select(at.unwrap_or(0));
        }
    }
}

/// What an action has done, in a line: "api/0 replaced, api/1 replaced".
fn report(words: &str, end: &JobEnd) -> String {
    let changed: Vec<String> = end
        .instances
        .iter()
        .filter(|news| news.result != "unchanged")
        .map(|news| format!("{} {}", news.instance, news.result))
        .collect();
    let mut text = match changed.as_slice() {
        [] => format!("{words}: nothing to do"),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    };
    for note in &end.notes {
        text.push_str("; ");
        text.push_str(note);
    }
    text
}
