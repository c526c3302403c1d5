//! Colours, and what stands for them where there are none.
//! Owns: which thing looks how. Without colours the same is said by bold and reverse, which are none.

use ratatui::style::{Color, Modifier, Style};

use super::events::Weight;
use super::log::Kind;
use crate::model::status::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    pub color: bool,
}

impl Theme {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// The first line, and that above each pane.
    pub fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn key(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub fn faint(self) -> Style {
        self.fg(Color::DarkGray)
    }

    pub fn bad(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub fn status(self, status: Status) -> Style {
        match status {
            Status::Running => self.fg(Color::Green),
            Status::Starting | Status::Stopping | Status::Waiting => self.fg(Color::Yellow),
            Status::Errored => self.bad(),
            Status::Stopped => self.faint(),
        }
    }

    /// Of a share of its limit.
    pub fn share(self, share: f64) -> Style {
        match share {
            ..0.7 => self.fg(Color::Green),
            ..0.9 => self.fg(Color::Yellow),
            _ => self.bad(),
        }
    }

    pub fn event(self, weight: Weight) -> Style {
        match weight {
            Weight::Usual => Style::new(),
            Weight::Odd => self.fg(Color::Yellow),
            Weight::Bad => self.bad(),
        }
    }

    pub fn line(self, kind: Kind) -> Style {
        match kind {
            Kind::Out => Style::new(),
            Kind::Err => self.fg(Color::Red),
            Kind::Event => self.faint(),
        }
    }
}
