//! Tables for people.
//! Owns: the columns of `list`, their order, which go first when the terminal is narrow, and how a table is drawn.
//! Never: asks how wide the terminal is or whether there is one; both come in. Piped output is never cut or wrapped.

use std::borrow::Cow;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::human;
use crate::model::quantity::{Bytes, rough_span};
use crate::model::status::{InstanceStatus, Status};

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// The terminal's width; None: as wide as it gets.
    pub width: Option<usize>,
}

struct Column {
    title: &'static str,
    right: bool,
    text: fn(&InstanceStatus) -> Cow<'_, str>,
}

const COLUMNS: [Column; 13] = [
    Column { title: "id", right: true, text: |s| s.id.to_string().into() },
    Column { title: "instance", right: false, text: |s| s.instance.as_str().into() },
    Column { title: "namespace", right: false, text: |s| s.namespace.as_str().into() },
    Column { title: "status", right: false, text: status },
    Column { title: "pid", right: true, text: |s| or_dash(s.pid) },
    Column { title: "uptime", right: true, text: uptime },
    Column { title: "restarts", right: true, text: |s| s.restarts.to_string().into() },
    Column { title: "memory", right: true, text: |s| or_dash(s.memory_bytes.map(Bytes)) },
    Column { title: "cpu", right: true, text: |s| or_dash(s.cpu_percent.map(human::percent)) },
    Column { title: "ports", right: false, text: |s| human::ports(&s.ports).into() },
    Column { title: "user", right: false, text: |s| s.user.as_str().into() },
    Column { title: "last exit", right: false, text: last_exit },
    Column { title: "waits for", right: false, text: |s| s.waits_for.as_deref().unwrap_or_default().into() },
];

/// Which column goes next when there is too little room. What names an instance and says how it is, stays.
const DROP_ORDER: [&str; 11] =
    ["namespace", "last exit", "user", "ports", "pid", "restarts", "id", "cpu", "uptime", "memory", "waits for"];

/// Between two columns.
const GAP: usize = 2;

fn or_dash<'a, T: ToString>(value: Option<T>) -> Cow<'a, str> {
    value.map_or("-".into(), |value| value.to_string().into())
}

fn uptime(s: &InstanceStatus) -> Cow<'_, str> {
    or_dash(s.uptime_ms.map(|ms| rough_span(Duration::from_millis(ms))))
}

/// What differs from the ordinary stands beside the status: it explains it.
fn status(s: &InstanceStatus) -> Cow<'_, str> {
    if s.outdated { format!("{} (outdated)", s.status).into() } else { s.status.as_str().into() }
}

/// Why it ended last: of interest while it is down, and where stead had to restart it.
fn last_exit(s: &InstanceStatus) -> Cow<'_, str> {
    let Some(exit) = s.last_exit.as_ref().filter(|_| s.restarts > 0 || s.status != Status::Running) else {
        return "".into();
    };
    match (&exit.signal, exit.code) {
        (Some(signal), _) if exit.reason == "signal" => signal.into(),
        (None, Some(code)) if exit.reason == "exit" => format!("exit {code}").into(),
        _ => exit.reason.as_str().into(),
    }
}

/// What a terminal is told before and after a text.
type Paint = (&'static str, &'static str);

const BOLD: Paint = ("\x1b[1m", "\x1b[0m");

fn paint(status: Status) -> Paint {
    let begin = match status {
        Status::Running => "\x1b[38;5;10m",
        Status::Starting | Status::Stopping | Status::Waiting => "\x1b[38;5;11m",
        Status::Errored => "\x1b[38;5;9m",
        Status::Stopped => "\x1b[38;5;8m",
    };
    (begin, "\x1b[39m")
}

/// The table of `list`, one line an instance. Columns that say nothing of any instance are left out.
pub fn instances(list: &[InstanceStatus], style: Style) -> String {
    let says_something = |drawn: &Drawn| match drawn.title {
        "namespace" => list.iter().any(|s| s.namespace != "default"),
        _ => drawn.texts.iter().any(|text| !text.is_empty()),
    };
    let filled = COLUMNS.iter().map(|column| {
        let texts = list.iter().map(column.text).collect();
        Drawn { right: column.right, ..Drawn::new(column.title, texts) }
    });
    let mut shown: Vec<Drawn> = filled.filter(says_something).collect();
    let mut dropped = DROP_ORDER.iter();
    while style.width.is_some_and(|limit| shown.iter().map(|drawn| drawn.width + GAP).sum::<usize>() > limit + GAP) {
        let Some(title) = dropped.next() else { break };
        shown.retain(|drawn| drawn.title != *title);
    }
    let painted = |title: &str, row: Option<usize>| match (title, row) {
        _ if !style.color => None,
        (_, None) => Some(BOLD),
        ("status", Some(row)) => Some(paint(list[row].status)),
        (_, Some(_)) => None,
    };
    draw(&shown, list.len(), painted)
}

/// A table of texts without colours; the first row is the header.
pub fn texts(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns: Vec<Drawn> = header
        .iter()
        .enumerate()
        .map(|(column, title)| Drawn::new(title, rows.iter().map(|row| row[column].as_str().into()).collect()))
        .collect();
    draw(&columns, rows.len(), |_, _| None)
}

/// A column with all its texts.
struct Drawn<'a> {
    title: &'a str,
    right: bool,
    texts: Vec<Cow<'a, str>>,
    width: usize,
}

impl<'a> Drawn<'a> {
    fn new(title: &'a str, texts: Vec<Cow<'a, str>>) -> Self {
        let width = texts.iter().map(|text| text.width()).max().unwrap_or(0).max(title.width());
        Self { title, right: false, texts, width }
    }
}

/// One line for the titles and one for each row, without spaces at their ends. Drawn here and not by a library: this is
/// most of what a cold `list` of hundreds does by itself.
fn draw(columns: &[Drawn], rows: usize, painted: impl Fn(&str, Option<usize>) -> Option<Paint>) -> String {
    let line_width = columns.iter().map(|column| column.width + GAP).sum::<usize>() + 1;
    let mut text = String::with_capacity((rows + 1) * line_width);
    for row in std::iter::once(None).chain((0..rows).map(Some)) {
        let start = text.len();
        for column in columns {
            let cell = row.map_or(column.title, |row| &column.texts[row]);
            let room = column.width - cell.width();
            let (before, after) = if column.right { (room, GAP) } else { (0, room + GAP) };
            let (begin, end) = painted(column.title, row).unwrap_or_default();
            text.push_str(begin);
            text.extend(std::iter::repeat_n(' ', before));
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', after));
            text.push_str(end);
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}
