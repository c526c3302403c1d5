//! The log of one instance, as a pane shows it.
//! Owns: lines put together from their pieces, and made fit for a screen. Pure.
//! Never: passes on what an app wrote as it is: escape sequences would paint over everything else.

use std::collections::VecDeque;

use crate::model::logframe::{LogRecord, LogStream};

/// So many lines are held, each of so many characters at most.
pub const LINES: usize = 1000;
const LINE_MAX: usize = 4096;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since 1970; 0: the file does not say.
    pub at: u64,
    pub kind: Kind,
    pub text: String,
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Out,
    Err,
    Event,
}

#[derive(Debug, Default)]
pub struct Log {
    /// Oldest first.
    pub lines: VecDeque<Line>,
    /// The last line goes on in the next record of its kind.
    open: bool,
    /// What there is to say where there are no lines.
    pub remark: String,
}

impl Log {
    /// An empty one, and what is said of it until there are lines.
    pub fn begin(remark: String) -> Self {
        Self { remark, ..Self::default() }
    }

    pub fn add(&mut self, record: &LogRecord) {
        let kind = match (record.event, record.stream) {
            (true, _) => Kind::Event,
            (false, LogStream::Out) => Kind::Out,
            (false, LogStream::Err) => Kind::Err,
        };
        let bytes = record.bytes.strip_prefix(b"[stead] ").filter(|_| record.event).unwrap_or(&record.bytes);
        match self.lines.back_mut().filter(|last| self.open && last.kind == kind) {
            Some(last) => {
                if last.text.len() < LINE_MAX {
                    last.text.push_str(&plain(bytes));
                }
            }
            None => self.lines.push_back(Line { at: record.at.0 / 1_000_000, kind, text: plain(bytes) }),
        }
        self.open = record.partial;
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }
}

/// Text without control characters and escape sequences, tabs as spaces.
pub fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len().min(LINE_MAX));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if out.len() >= LINE_MAX {
            break;
        }
        match c {
            '\x1b' => skip_sequence(&mut chars),
            '\t' => {
                out.push(' ');
                while !out.len().is_multiple_of(4) {
                    out.push(' ');
                }
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// ECMA-48: after ESC, `[` begins a sequence that a byte from @ to ~ ends, `]` and `P`, `X`, `^`, `_` one that BEL or ESC \
/// ends; one from space to / goes on up to another; any other is one character.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            let _ = chars.find(|c| ('@'..='~').contains(c));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut last = ' ';
            let _ = chars.find(|c| *c == '\x07' || (std::mem::replace(&mut last, *c) == '\x1b' && *c == '\\'));
        }
        Some(' '..='/') => {
            let _ = chars.find(|c| !(' '..='/').contains(c));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::time::Wall;

    fn record(bytes: &[u8], stream: LogStream, partial: bool, event: bool) -> LogRecord {
        let at = Wall(1_700_000_000_123_456_789);
        LogRecord { at, label: "api/0".into(), stream, partial, event, bytes: bytes.to_vec() }
    }

    #[test]
    fn what_an_app_says_to_the_terminal_stays_with_the_app() {
        assert_eq!(plain(b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07and\x1b]2;t\x1b\\more\x1b(B\r\x08"), "red andmore");
        assert_eq!(plain(b"a\tb\xffc"), "a   b\u{fffd}c");
        assert_eq!(plain(b"\x1b["), "");
    }

    #[test]
    fn pieces_of_a_line_are_put_together_and_old_lines_go() {
        let mut log = Log::default();
        log.add(&record(b"one ", LogStream::Out, true, false));
        log.add(&record(b"line", LogStream::Out, false, false));
        log.add(&record(b"oh", LogStream::Err, false, false));
        log.add(&record(b"[stead] api/0@1: ready", LogStream::Out, false, true));
        let said: Vec<_> = log.lines.iter().map(|line| (line.kind, line.text.as_str())).collect();
        assert_eq!(said, [(Kind::Out, "one line"), (Kind::Err, "oh"), (Kind::Event, "api/0@1: ready")]);
        for _ in 0..2 * LINES {
            log.add(&record(b"x", LogStream::Out, false, false));
        }
        assert_eq!(log.lines.len(), LINES);
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_for_ever() {
        let mut log = Log::default();
        for _ in 0..10 {
            log.add(&record(&[b'x'; 3000], LogStream::Out, true, false));
        }
        assert!(log.lines[0].text.len() < 2 * LINE_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_a_control_character(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!plain(&bytes).contains(char::is_control));
        }
    }
}
