//! The list of instances.
//! Owns: its columns, which of them go first where there is too little room, and the bar of memory against its limit.

use std::time::Duration;

use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::model::{Daemon, Model, Sort};
use super::theme::Theme;
use crate::model::human;
use crate::model::quantity::Bytes;
use crate::model::status::{InstanceStatus, Status};

/// In the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Instance,
    Status,
    Pid,
    Uptime,
    Restarts,
    Cpu,
    Memory,
    Limit,
    Ports,
    User,
    Namespace,
    LastExit,
}

use Column::{Cpu, Id, Instance, LastExit, Limit, Memory, Namespace, Pid, Ports, Restarts, Uptime, User};

const ALL: [Column; 13] =
    [Id, Instance, Column::Status, Pid, Uptime, Restarts, Cpu, Memory, Limit, Ports, User, Namespace, LastExit];

/// What matters most comes first: the rest is left out when there is no room.
const WANTED: [Column; 13] =
    [Instance, Column::Status, Cpu, Memory, Limit, Restarts, Uptime, LastExit, Pid, Ports, User, Id, Namespace];

const GAP: usize = 2;
/// A limit's figure, and its bar.
const FIGURE: usize = 6;
const BAR: usize = 10;
const BAR_MAX: usize = 28;

impl Column {
    fn title(self) -> &'static str {
        match self {
            Id => "id",
            Instance => "instance",
            Column::Status => "status",
            Pid => "pid",
            Uptime => "uptime",
            Restarts => "restarts",
            Cpu => "cpu",
            Memory => "memory",
            Limit => "of limit",
            Ports => "ports",
            User => "user",
            Namespace => "namespace",
            LastExit => "last exit",
        }
    }

    fn width(self, model: &Model) -> usize {
        match self {
            Id => 4,
            Instance => model.shown().map(|row| row.instance.width()).max().unwrap_or(0).clamp(8, 32),
            Column::Status => 10,
            Pid => 7,
            Uptime => 6,
            Restarts => 8,
            Cpu => 6,
            Memory => 6,
            Limit => FIGURE + 1 + BAR,
            Ports => 11,
            User | Namespace => 10,
            LastExit => 13,
        }
    }

    /// Whether it would say anything at all.
    fn speaks(self, model: &Model) -> bool {
        let mut rows = model.rows().iter();
        match self {
            Limit => rows.any(|row| row.memory_limit_bytes.is_some()),
            Ports => rows.any(|row| !row.ports.is_empty()),
            Namespace => rows.any(|row| row.namespace != "default"),
            LastExit => rows.any(|row| !last_exit(row).is_empty()),
            Id | Instance | Column::Status | Pid | Uptime | Restarts | Cpu | Memory | User => true,
        }
    }

    fn is_right(self) -> bool {
        matches!(self, Id | Pid | Uptime | Restarts | Cpu | Memory)
    }

    fn sorts(self, by: Sort) -> bool {
        matches!(
            (self, by),
            (Instance, Sort::Name)
                | (Column::Status, Sort::Status)
                | (Cpu, Sort::Cpu)
                | (Memory, Sort::Memory)
                | (Restarts, Sort::Restarts)
                | (Uptime, Sort::Uptime)
        )
    }

    fn text(self, row: &InstanceStatus) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        match self {
            Id => row.id.to_string(),
            Instance => row.instance.clone(),
            Column::Status if row.outdated => format!("{}*", row.status),
            Column::Status => row.status.to_string(),
            Pid => or_dash(row.pid.map(|pid| pid.to_string())),
            Uptime => or_dash(row.uptime_ms.map(|ms| human::span_short(Duration::from_millis(ms)))),
            Restarts => row.restarts.to_string(),
            Cpu => or_dash(row.cpu_percent.map(human::percent)),
            Memory => or_dash(row.memory_bytes.map(|bytes| Bytes(bytes).to_string())),
            Limit => row.memory_limit_bytes.map(|bytes| Bytes(bytes).to_string()).unwrap_or_default(),
            Ports => human::ports(&row.ports),
            User => row.user.clone(),
            Namespace => row.namespace.clone(),
            LastExit => last_exit(row),
        }
    }
}

/// Why it ended last: of interest while it is down, and where stead had to restart it.
fn last_exit(row: &InstanceStatus) -> String {
    let Some(exit) = row.last_exit.as_ref().filter(|_| row.restarts > 0 || row.status != Status::Running) else {
        return String::new();
    };
    match (&exit.signal, exit.code) {
        (Some(signal), _) if exit.reason == "signal" => signal.clone(),
        (None, Some(code)) if exit.reason == "exit" => format!("exit {code}"),
        _ => exit.reason.clone(),
    }
}

/// Those there is room for, each with its width.
fn columns(model: &Model, width: usize) -> Vec<(Column, usize)> {
    let mut left = width + GAP;
    let mut taken: Vec<(Column, usize)> = Vec::new();
    for column in WANTED.into_iter().filter(|column| column.speaks(model)) {
        let needs = column.width(model);
        if needs + GAP <= left {
            left -= needs + GAP;
            taken.push((column, needs));
        }
    }
    // What is left goes to the bar.
    if let Some((_, bar)) = taken.iter_mut().find(|(column, _)| *column == Limit) {
        *bar += left.min(BAR_MAX - BAR);
    }
    taken.sort_by_key(|(column, _)| ALL.iter().position(|other| other == column));
    taken
}

/// Which of the rows that are shown are seen, in so many lines with the titles: a page at a time, so that to move by one
/// draws two lines and not all of them.
pub fn page(model: &Model, lines: usize) -> (usize, usize) {
    let height = lines.saturating_sub(1).max(1);
    let first = model.selected_at().unwrap_or(0) / height * height;
    (first, model.shown().len().min(first + height))
}

pub fn draw(model: &Model, canvas: &mut Canvas<'_>, theme: Theme) {
    let columns = columns(model, canvas.width());
    let shown: Vec<&InstanceStatus> = model.shown().collect();
    let selected = model.selected_at();
    let (first, last) = page(model, canvas.height());
    head(model, &columns, canvas, theme);
    for (y, (at, row)) in (first..last).zip(&shown[first..last]).enumerate() {
        line(row, &columns, y + 1, canvas, theme);
        if selected == Some(at) {
            canvas.paint(y + 1, theme.selected());
        }
    }
    if shown.is_empty() {
        let why = match &model.daemon {
            Daemon::Asked => "",
            Daemon::Answers if model.rows().is_empty() => "no app yet: \"stead start app.js\" starts one",
            Daemon::Answers | Daemon::Lost { .. } if !model.filter.is_empty() => {
                "nothing passes the filter: Esc shows all"
            }
            Daemon::Answers | Daemon::Lost { .. } => "",
        };
        canvas.put(1, 1, why, theme.faint());
    }
}

fn head(model: &Model, columns: &[(Column, usize)], canvas: &mut Canvas<'_>, theme: Theme) {
    let mut x = 0;
    for (column, width) in columns {
        // The usual order needs no word.
        let mark = match (column.sorts(model.sort), model.reversed) {
            (true, true) => "^",
            (true, false) if model.sort != Sort::Name => "v",
            _ => "",
        };
        let title = format!("{}{mark}", column.title());
        if column.is_right() {
            canvas.put_right(x + width, 0, &title, theme.title());
        } else {
            canvas.put(x, 0, &title, theme.title());
        }
        x += width + GAP;
    }
}

fn line(row: &InstanceStatus, columns: &[(Column, usize)], y: usize, canvas: &mut Canvas<'_>, theme: Theme) {
    let mut x = 0;
    for (column, width) in columns {
        let text = column.text(row);
        let style = if *column == Column::Status { theme.status(row.status) } else { Style::new() };
        if column.is_right() {
            canvas.put_right(x + width, y, &text, style);
        } else {
            let (x, y, width) = (to_u16(x), to_u16(y), to_u16(*width));
            canvas.part(x, y, width, 1).put(0, 0, &text, style);
        }
        if *column == Limit {
            bar(row, x + FIGURE + 1, width - FIGURE - 1, y, canvas, theme);
        }
        x += width + GAP;
    }
}

/// `[||||    ]`: also without colours, and in any locale.
fn bar(row: &InstanceStatus, x: usize, width: usize, y: usize, canvas: &mut Canvas<'_>, theme: Theme) {
    let (Some(used), Some(limit)) = (row.memory_bytes, row.memory_limit_bytes.filter(|limit| *limit > 0)) else {
        return;
    };
    let share = used as f64 / limit as f64;
    let room = width.saturating_sub(2);
    let full = ((share * room as f64).round() as usize).min(room);
    let x = canvas.put(x, y, "[", theme.faint());
    let end = canvas.put(x, y, &"|".repeat(full), theme.share(share));
    canvas.put(end.max(x) + room - full, y, "]", theme.faint());
}

fn to_u16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
