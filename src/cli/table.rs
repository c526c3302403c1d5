//! Tables for people.
//! Owns: the columns of `list`, their order, and which go first when the terminal is narrow.
//! Never: asks how wide the terminal is or whether there is one; both come in. Piped output is never cut or wrapped.

use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::human;
use crate::model::quantity::Bytes;
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
    text: fn(&InstanceStatus) -> String,
}

const COLUMNS: [Column; 12] = [
    Column { title: "id", right: true, text: |s| s.id.to_string() },
    Column { title: "instance", right: false, text: |s| s.instance.clone() },
    Column { title: "namespace", right: false, text: |s| s.namespace.clone() },
    Column { title: "status", right: false, text: status },
    Column { title: "pid", right: true, text: |s| or_dash(s.pid) },
    Column { title: "uptime", right: true, text: uptime },
    Column { title: "restarts", right: true, text: |s| s.restarts.to_string() },
    Column { title: "memory", right: true, text: |s| or_dash(s.memory_bytes.map(Bytes)) },
    Column { title: "cpu", right: true, text: |s| or_dash(s.cpu_percent.map(human::percent)) },
    Column { title: "ports", right: false, text: |s| human::ports(&s.ports) },
    Column { title: "user", right: false, text: |s| s.user.clone() },
    Column { title: "last exit", right: false, text: last_exit },
];

/// Which column goes next when there is too little room. What names an instance and says how it is, stays.
const DROP_ORDER: [&str; 10] =
    ["namespace", "last exit", "user", "ports", "pid", "restarts", "id", "cpu", "uptime", "memory"];

/// Between two columns.
const GAP: usize = 2;

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn uptime(s: &InstanceStatus) -> String {
    or_dash(s.uptime_ms.map(|ms| human::span_short(Duration::from_millis(ms))))
}

/// What differs from the ordinary stands beside the status: it explains it.
fn status(s: &InstanceStatus) -> String {
    let outdated = if s.outdated { " (outdated)" } else { "" };
    format!("{}{outdated}", s.status)
}

/// Why it ended last: of interest while it is down, and where stead had to restart it.
fn last_exit(s: &InstanceStatus) -> String {
    let Some(exit) = s.last_exit.as_ref().filter(|_| s.restarts > 0 || s.status != Status::Running) else {
        return String::new();
    };
    match (&exit.signal, exit.code) {
        (Some(signal), _) if exit.reason == "signal" => signal.clone(),
        (None, Some(code)) if exit.reason == "exit" => format!("exit {code}"),
        _ => exit.reason.clone(),
    }
}

fn paint(status: Status) -> Color {
    match status {
        Status::Running => Color::Green,
        Status::Starting | Status::Stopping | Status::Waiting => Color::Yellow,
        Status::Errored => Color::Red,
        Status::Stopped => Color::DarkGrey,
    }
}

/// The table of `list`, one line an instance. Columns that say nothing of any instance are left out.
pub fn instances(list: &[InstanceStatus], style: Style) -> String {
    let texts: Vec<Vec<String>> = COLUMNS.iter().map(|column| list.iter().map(column.text).collect()).collect();
    let says_something = |column: usize| match COLUMNS[column].title {
        "namespace" => list.iter().any(|s| s.namespace != "default"),
        _ => texts[column].iter().any(|text| !text.is_empty()),
    };
    let mut shown: Vec<usize> = (0..COLUMNS.len()).filter(|column| says_something(*column)).collect();
    let width = |column: &usize| {
        texts[*column].iter().map(|text| text.chars().count()).max().unwrap_or(0).max(COLUMNS[*column].title.len())
    };
    let mut dropped = DROP_ORDER.iter();
    while style.width.is_some_and(|limit| shown.iter().map(|c| width(c) + GAP).sum::<usize>() > limit + GAP) {
        let Some(title) = dropped.next() else { break };
        shown.retain(|column| COLUMNS[*column].title != *title);
    }

    let mut table = plain(style.color);
    table.set_header(shown.iter().map(|column| {
        let cell = Cell::new(COLUMNS[*column].title);
        if style.color { cell.add_attribute(Attribute::Bold) } else { cell }
    }));
    for (row, instance) in list.iter().enumerate() {
        table.add_row(shown.iter().map(|column| {
            let cell = Cell::new(&texts[*column][row]);
            if style.color && COLUMNS[*column].title == "status" { cell.fg(paint(instance.status)) } else { cell }
        }));
    }
    for (position, column) in shown.iter().enumerate() {
        align(&mut table, position, COLUMNS[*column].right);
    }
    finish(&table)
}

/// A table of texts without colours; the first row is the header.
pub fn texts(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = plain(false);
    if !header.is_empty() {
        table.set_header(header);
    }
    table.add_rows(rows);
    for position in 0..rows.first().map_or(0, Vec::len) {
        align(&mut table, position, false);
    }
    finish(&table)
}

fn plain(color: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    // Whether there are colours has been decided; the library would ask the terminal again.
    if color {
        table.force_no_tty().enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn align(table: &mut Table, position: usize, right: bool) {
    if let Some(column) = table.column_mut(position) {
        column.set_padding((0, GAP as u16));
        column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
    }
}

/// Without what the padding leaves at the ends of lines.
fn finish(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
