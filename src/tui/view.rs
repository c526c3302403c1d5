//! The screen: a model drawn into a buffer.
//! Owns: what stands where at which size. Pure. Never: changes the model, or asks for the time.

use ratatui::buffer::Buffer;

use super::canvas::{Canvas, from_column};
use super::details;
use super::dialog;
use super::keys::HELP;
use super::model::{Daemon, Mode, Model, Pane};
use super::table;
use super::theme::Theme;
use crate::model::human;
use crate::model::quantity::Bytes;
use crate::model::status::Status;

/// From here on all panes are seen at once.
const WIDE: (usize, usize) = (120, 30);
/// How many lines of those are for events.
const EVENTS: u16 = 8;
/// Less is no screen to work on.
const SMALLEST: (usize, usize) = (40, 10);

/// Draws all of it.
pub fn draw(model: &Model, buffer: &mut Buffer, theme: Theme) {
    let area = buffer.area;
    let mut screen = Canvas { buffer, area };
    let (width, height) = (area.width, area.height);
    if screen.width() < SMALLEST.0 || screen.height() < SMALLEST.1 {
        screen.paragraph(&format!("too small: {} by {} at least; q quits", SMALLEST.0, SMALLEST.1), theme.title());
        return;
    }
    // Between the first line and the last; the list has its half, and one line more if there is one.
    let between = height - 2;
    let list = between.div_ceil(2);
    title(model, list.into(), &mut screen.part(0, 0, width, 1), theme);
    foot(model, &mut screen.part(0, height - 1, width, 1), theme);
    table::draw(model, &mut screen.part(0, 1, width, list), theme);
    let below = between - list;
    let mut below = screen.part(0, 1 + list, width, below);
    if usize::from(width) >= WIDE.0 && usize::from(height) >= WIDE.1 {
        panes(model, &mut below, theme);
    } else {
        pane(model, model.pane, true, &mut below, theme);
    }
    dialog::draw(model, &mut screen, theme);
}

/// The log at the left, the rest below each other at the right.
fn panes(model: &Model, below: &mut Canvas<'_>, theme: Theme) {
    let (width, height) = (below.area.width, below.area.height);
    let left = width * 3 / 5;
    let details = height - EVENTS;
    pane(model, Pane::Log, false, &mut below.part(0, 0, left - 1, height), theme);
    pane(model, Pane::Details, false, &mut below.part(left, 0, width - left, details), theme);
    pane(model, Pane::Events, false, &mut below.part(left, details, width - left, height - details), theme);
}

fn title(model: &Model, list: usize, line: &mut Canvas<'_>, theme: Theme) {
    line.paint(0, theme.bar());
    let mut x = line.put(1, 0, &format!("stead monit  {}", model.host), theme.bar());
    if let Daemon::Lost { .. } = model.daemon {
        line.put(x + 2, 0, "the daemon does not answer: trying again", theme.bar());
        return;
    }
    let rows = model.rows();
    let (first, last) = table::page(model, list);
    let shown = model.shown().len();
    let mut counts = if last - first < shown { format!("{}-{last} of ", first + 1) } else { String::new() };
    if !model.filter.is_empty() {
        counts.push_str(&format!("{shown} with \"{}\" of ", model.filter));
    }
    counts.push_str(&format!("{} {}", rows.len(), if rows.len() == 1 { "instance" } else { "instances" }));
    for (status, word) in [(Status::Running, "running"), (Status::Errored, "errored")] {
        let count = rows.iter().filter(|row| row.status == status).count();
        if count > 0 {
            counts.push_str(&format!(", {count} {word}"));
        }
    }
    x = line.put(x + 2, 0, &counts, theme.bar());
    // Zero of none: the sum of no numbers is -0.
    let cpu = rows.iter().filter_map(|row| row.cpu_percent).fold(0.0, |sum, share| sum + share);
    let memory: u64 = rows.iter().filter_map(|row| row.memory_bytes).sum();
    let used = format!("cpu {}  memory {}", human::percent(cpu), Bytes(memory));
    let end = line.width().saturating_sub(1);
    if x + 1 + used.len() <= end {
        line.put_right(end, 0, &used, theme.bar());
    }
}

fn foot(model: &Model, line: &mut Canvas<'_>, theme: Theme) {
    match &model.mode {
        Mode::Filter { .. } => {
            let x = line.put(0, 0, "filter: ", theme.key());
            let x = line.put(x, 0, &format!("{}_", model.filter), theme.title());
            line.put(x + 3, 0, "Enter keeps it, Esc leaves it", theme.faint());
            return;
        }
        Mode::Browse | Mode::Confirm(_) | Mode::Scale { .. } | Mode::Help | Mode::Trouble { .. } => {}
    }
    if let Daemon::Lost { why } = &model.daemon {
        line.put(0, 0, why.lines().next().unwrap_or_default(), theme.bad());
        return;
    }
    if !model.doing.is_empty() {
        line.put(0, 0, &format!("{} ...", model.doing.join(", ")), theme.title());
        return;
    }
    if !model.notice.is_empty() {
        line.put(0, 0, &model.notice, theme.title());
        return;
    }
    let mut x = 0;
    let hints = HELP.iter().filter(|(_, _, hint)| !hint.is_empty()).map(|(key, _, hint)| (*key, *hint));
    for (key, hint) in [("?", "help"), ("q", "quit")].into_iter().chain(hints) {
        let key = key.split(',').next().unwrap_or(key);
        if x + key.len() + 1 + hint.len() > line.width() {
            break;
        }
        x = line.put(x, 0, key, theme.key());
        x = line.put(x + 1, 0, hint, theme.faint()) + 2;
    }
}

/// One of the panes, below its title. `alone`: the others are reached by a key, and named beside it.
fn pane(model: &Model, which: Pane, alone: bool, canvas: &mut Canvas<'_>, theme: Theme) {
    canvas.paint(0, theme.bar());
    let mut x = 1;
    for tab in Pane::ALL.into_iter().filter(|tab| alone || *tab == which) {
        let text = if tab == model.pane { format!("[{}]", tab.as_str()) } else { format!(" {} ", tab.as_str()) };
        x = canvas.put(x, 0, &text, theme.bar());
    }
    if let Some(row) = model.selected().filter(|_| which != Pane::Events) {
        canvas.put(x + 1, 0, &row.instance, theme.bar());
    }
    let (scroll, column) = if which == model.pane { model.scroll } else { (0, 0) };
    if scroll > 0 {
        let end = canvas.width().saturating_sub(1);
        canvas.put_right(end, 0, "scrolled: Esc goes back", theme.bar());
    }
    let (width, height) = (canvas.area.width, canvas.area.height.saturating_sub(1));
    let mut inside = canvas.part(0, 1, width, height);
    match which {
        Pane::Log => log(model, (scroll, column), &mut inside, theme),
        Pane::Details => detail_lines(model, scroll, &mut inside, theme),
        Pane::Events => event_lines(model, (scroll, column), &mut inside, theme),
    }
}

/// Where the time of day stands, too.
const TIMED: usize = 60;

fn log(model: &Model, (scroll, column): (usize, usize), canvas: &mut Canvas<'_>, theme: Theme) {
    let lines = &model.log.lines;
    if lines.is_empty() {
        canvas.put(1, 0, &model.log.remark, theme.faint());
    }
    let (first, last) = window(lines.len(), canvas.height(), scroll);
    for (y, line) in lines.range(first..last).enumerate() {
        let style = theme.line(line.kind);
        let mut x = 0;
        if canvas.width() >= TIMED && line.at > 0 {
            x = canvas.put(x, y, &human::time_of_day(line.at, &model.zone), theme.faint()) + 1;
        }
        let mark = match line.kind {
            super::log::Kind::Out => "|",
            super::log::Kind::Err => "!",
            super::log::Kind::Event => "*",
        };
        x = canvas.put(x, y, mark, style) + 1;
        canvas.put(x, y, from_column(&line.text, column), style);
    }
}

fn event_lines(model: &Model, (scroll, column): (usize, usize), canvas: &mut Canvas<'_>, theme: Theme) {
    let events = &model.events.list;
    let (first, last) = window(events.len(), canvas.height(), scroll);
    for (y, event) in events.range(first..last).enumerate() {
        let x = canvas.put(0, y, &human::time_of_day(event.at, &model.zone), theme.faint());
        let x = canvas.put(x + 1, y, &event.instance, theme.title());
        canvas.put(x + 1, y, from_column(&event.text, column), theme.event(event.weight));
    }
}

fn detail_lines(model: &Model, scroll: usize, canvas: &mut Canvas<'_>, theme: Theme) {
    let lines = details::lines(model);
    let names = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(24);
    for (y, (name, value)) in lines.iter().skip(scroll).take(canvas.height()).enumerate() {
        canvas.put(0, y, name, if value.is_empty() { theme.title() } else { theme.faint() });
        canvas.put(names + 2, y, value, ratatui::style::Style::new());
    }
}

/// Which of so many lines are seen when the window is moved back from the end.
fn window(lines: usize, height: usize, back: usize) -> (usize, usize) {
    let last = lines.saturating_sub(back).max(height.min(lines));
    (last.saturating_sub(height), last)
}
