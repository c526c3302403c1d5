//! What each key does.
//! Owns: the keys, and their help, so that none is without it. Pure: a key in, a wish out, or none.
//! Never: has something done without a question that names it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Action, Mode, Model, Pane};

/// What the person wants of the world outside the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Quit,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L: all of the screen anew.
    Redraw,
    Do(Action),
}

/// Key, what it does, and, in a word, what the last line says of it. Empty: it does not stand there.
pub const HELP: [(&str, &str, &str); 16] = [
    ("up down, k j", "select another instance", ""),
    ("PgUp PgDn, Home End, g G", "the same, further", ""),
    ("r", "restart the instance", "restart"),
    ("l", "reload its app: all instances, a few at a time", "reload app"),
    ("s", "stop the instance", "stop"),
    ("S", "stop its app", ""),
    ("u", "start the instance, if it is down", "start"),
    ("c", "change how many instances its app has", "scale"),
    ("/", "show only rows with a text in name, status, user", "filter"),
    ("o", "order by status, cpu, memory, restarts, uptime", "order"),
    ("O", "the other way round", ""),
    ("Tab", "what stands below: log, details, events", "pane"),
    ("K J", "scroll it up and down; left and right, too", ""),
    ("Esc", "leave a question, a filter, a place in the log", ""),
    ("Ctrl-L, Ctrl-Z", "draw anew; suspend", ""),
    ("q, Ctrl-C", "quit; everything runs on", ""),
];

/// As many rows as Page Down goes down, and half as many lines as J scrolls.
const PAGE: usize = 10;

impl Model {
    pub fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Wish::Quit),
                KeyCode::Char('z') => Some(Wish::Suspend),
                KeyCode::Char('l') => Some(Wish::Redraw),
                _ => None,
            };
        }
        self.notice.clear();
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse => self.browse(key.code),
            Mode::Filter { before } => self.type_filter(before, key.code),
            Mode::Confirm(action) => self.confirm(action, key.code),
            Mode::Scale { app, has, text } => self.type_count(app, has, text, key.code),
            // Any key closes these.
            Mode::Help | Mode::Trouble { .. } => None,
        }
    }

    fn browse(&mut self, key: KeyCode) -> Option<Wish> {
        let at = self.selected_at().unwrap_or(0);
        match key {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Up | KeyCode::Char('k') => self.select(at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(at + 1),
            KeyCode::PageUp => self.select(at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.select(at + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            KeyCode::Char('r') => self.ask(|instance, _| Action::Restart(instance)),
            KeyCode::Char('l') => self.ask(|_, app| Action::Restart(app)),
            KeyCode::Char('s') => self.ask(|instance, _| Action::Stop(instance)),
            KeyCode::Char('S') => self.ask(|_, app| Action::Stop(app)),
            KeyCode::Char('u') => self.ask(|instance, _| Action::Start(instance)),
            KeyCode::Char('c') => self.ask_for_count(),
            KeyCode::Char('/') => self.mode = Mode::Filter { before: self.filter.clone() },
            KeyCode::Char('o') => {
                self.sort = self.sort.next();
                self.arrange();
            }
            KeyCode::Char('O') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(Pane::ALL.len() - 1),
            KeyCode::Char('K') => self.scroll_by(PAGE / 2, self.pane != Pane::Details),
            KeyCode::Char('J') => self.scroll_by(PAGE / 2, self.pane == Pane::Details),
            KeyCode::Left => self.scroll.1 = self.scroll.1.saturating_sub(2 * PAGE),
            KeyCode::Right => self.scroll.1 = (self.scroll.1 + 2 * PAGE).min(2000),
            KeyCode::Esc => {
                self.scroll = (0, 0);
                if !self.filter.is_empty() {
                    self.filter.clear();
                    self.arrange();
                }
            }
            _ => {}
        }
        None
    }

    fn ask(&mut self, action: impl FnOnce(String, String) -> Action) {
        if let Some(row) = self.selected() {
            self.mode = Mode::Confirm(action(row.instance.clone(), row.app.clone()));
        }
    }

    fn ask_for_count(&mut self) {
        if let Some(row) = self.selected() {
            let has = self.rows().iter().filter(|other| other.app == row.app).count();
            self.mode = Mode::Scale { app: row.app.clone(), has, text: String::new() };
        }
    }

    fn turn(&mut self, by: usize) {
        let at = Pane::ALL.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = Pane::ALL[(at + by) % Pane::ALL.len()];
        self.scroll = (0, 0);
    }

    /// Not beyond what there is.
    fn scroll_by(&mut self, lines: usize, away: bool) {
        let most = match self.pane {
            Pane::Log => self.log.lines.len(),
            Pane::Events => self.events.list.len(),
            Pane::Details => super::details::lines(self).len(),
        };
        self.scroll.0 = if away {
            (self.scroll.0 + lines).min(most.saturating_sub(1))
        } else {
            self.scroll.0.saturating_sub(lines)
        };
    }

    fn type_filter(&mut self, before: String, key: KeyCode) -> Option<Wish> {
        match key {
            KeyCode::Enter => return None,
            KeyCode::Esc => self.filter = before,
            KeyCode::Backspace => {
                self.filter.pop();
                self.mode = Mode::Filter { before };
            }
            KeyCode::Char(c) if !c.is_control() && self.filter.len() < 64 => {
                self.filter.push(c);
                self.mode = Mode::Filter { before };
            }
            _ => self.mode = Mode::Filter { before },
        }
        self.arrange();
        None
    }

    fn confirm(&mut self, action: Action, key: KeyCode) -> Option<Wish> {
        match key {
            KeyCode::Char('y' | 'Y') | KeyCode::Enter => Some(self.begin(action)),
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => None,
            // A slip of the finger is no answer.
            _ => {
                self.mode = Mode::Confirm(action);
                None
            }
        }
    }

    fn type_count(&mut self, app: String, has: usize, mut text: String, key: KeyCode) -> Option<Wish> {
        match key {
            KeyCode::Enter if text != "+" && text != "-" => return Some(self.begin(Action::Scale(app, text))),
            KeyCode::Esc => return None,
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c @ ('+' | '-')) if text.is_empty() => text.push(c),
            KeyCode::Char(c) if c.is_ascii_digit() && text.len() < 5 => text.push(c),
            _ => {}
        }
        self.mode = Mode::Scale { app, has, text };
        None
    }

    fn begin(&mut self, action: Action) -> Wish {
        self.doing.push(action.words());
        Wish::Do(action)
    }
}
