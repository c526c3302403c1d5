//! Questions, help and bad news, in the middle of the screen.
//! Owns: their words. Pure.

use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::canvas::{Canvas, wrapped};
use super::keys::HELP;
use super::model::{Action, Mode, Model};
use super::theme::Theme;

pub fn draw(model: &Model, screen: &mut Canvas<'_>, theme: Theme) {
    match &model.mode {
        Mode::Browse | Mode::Filter { .. } => {}
        Mode::Confirm(action) => {
            let text = format!("{}\n\ny  yes      n  no", question(model, action));
            show("sure?", &text, screen, theme);
        }
        Mode::Scale { app, has, text } => {
            let text = format!(
                "{app} has {has} {}. How many is it to have?\n\n> {text}_\n\nA number, or +N, -N; nothing: as configured.\n\
                 Enter does it, Esc leaves it.",
                if *has == 1 { "instance" } else { "instances" }
            );
            show("scale", &text, screen, theme);
        }
        Mode::Help => {
            let keys = HELP.iter().map(|(key, _, _)| key.len()).max().unwrap_or(0);
            let lines: Vec<String> = HELP.iter().map(|(key, what, _)| format!("{key:keys$}  {what}")).collect();
            show("keys", &lines.join("\n"), screen, theme);
        }
        Mode::Trouble { title, text } => {
            show(title, &format!("{text}\n\nAny key closes this."), screen, theme);
        }
    }
}

/// What is about to happen, by name and extent.
fn question(model: &Model, action: &Action) -> String {
    let among = |name: &str| {
        let count = model.rows().iter().filter(|row| row.app == name).count();
        match count {
            0 => String::new(),
            1 => " (its only instance)".to_owned(),
            count => format!(" (all {count} instances)"),
        }
    };
    match action {
        Action::Start(what) => format!("Start {what}?"),
        Action::Restart(what) => format!("Restart {what}{}?", among(what)),
        Action::Stop(what) => format!("Stop {what}{}?", among(what)),
        Action::Scale(..) => format!("{}?", action.words()),
    }
}

/// A box that is as large as its text, or as the screen.
fn show(title: &str, text: &str, screen: &mut Canvas<'_>, theme: Theme) {
    let most = screen.width().saturating_sub(6).min(76);
    let lines = wrapped(text, most);
    let width = lines.iter().map(|line| line.width()).max().unwrap_or(0).max(title.width() + 2) + 4;
    let height = (lines.len() + 2).min(screen.height());
    let (x, y) = ((screen.width().saturating_sub(width)) / 2, (screen.height().saturating_sub(height)) / 2);
    let side = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
    let mut canvas = screen.part(side(x), side(y), side(width), side(height));
    canvas.clear();
    let edge = format!("+{}+", "-".repeat(width.saturating_sub(2)));
    for y in [0, height - 1] {
        canvas.put(0, y, &edge, theme.title());
    }
    canvas.put(2, 0, &format!(" {title} "), theme.title());
    for (y, line) in (1..height - 1).zip(&lines) {
        canvas.put(0, y, "|", theme.title());
        canvas.put(2, y, line, Style::new());
        canvas.put(width - 1, y, "|", theme.title());
    }
}
