//! Log records as people, programs and pipes want them.
//! Owns: the prefix and its colours, the JSON objects, raw bytes. Pure: records in, bytes out.
//!
//! JSON, one object a line: `{"at","instance","stream","event","partial","lossy","text"}`; `at` is RFC 3339 with
//! nanoseconds or null where the file does not say; `lossy` is there, and true, where the text was not UTF-8 and has
//! U+FFFD in place of what was not. Whoever needs such bytes as they were takes `--raw`.

use std::collections::BTreeSet;

use super::talk::{Color, painted};
use crate::model::logframe::{LogRecord, LogStream};

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// With a prefix; coloured or not.
    Prefixed {
        color: bool,
    },
    Json,
    /// What the apps wrote, and nothing of stead's own.
    Raw,
}

const COLORS: [Color; 5] = [Color::Cyan, Color::Green, Color::Magenta, Color::Yellow, Color::Blue];

/// Writes records one after another; knows which lines are unfinished.
#[derive(Debug)]
pub struct Writer {
    view: View,
    /// The label and stream whose line the output ends within; nobody else's text may follow on that line.
    open: Option<(String, LogStream)>,
    /// Label and stream of every line that is unfinished, on screen or not.
    unfinished: BTreeSet<(String, LogStream)>,
    /// The widest label so far: the bars stand below each other.
    width: usize,
}

impl Writer {
    pub fn new(view: View) -> Self {
        Self { view, open: None, unfinished: BTreeSet::new(), width: 0 }
    }

    /// Appends one record.
    pub fn write(&mut self, record: &LogRecord, out: &mut Vec<u8>) {
        match self.view {
            View::Json => json(record, out),
            View::Raw if record.event => {}
            View::Raw => {
                out.extend_from_slice(&record.bytes);
                if !record.partial {
                    out.push(b'\n');
                }
            }
            View::Prefixed { color } => self.prefixed(record, color, out),
        }
    }

    /// Ends a line that is still open: at the end of the stream, before anything else is printed.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.push(b'\n');
        }
    }

    fn prefixed(&mut self, record: &LogRecord, color: bool, out: &mut Vec<u8>) {
        let key = (record.label.clone(), record.stream);
        let goes_on = self.unfinished.remove(&key);
        if self.open.as_ref() != Some(&key) || !goes_on {
            self.end(out);
            self.prefix(record, goes_on, color, out);
        }
        let said_by_stead = record.event && color;
        if said_by_stead {
            out.extend_from_slice(b"\x1b[90m");
        }
        out.extend_from_slice(text_of(record));
        if said_by_stead {
            out.extend_from_slice(b"\x1b[0m");
        }
        if record.partial {
            self.unfinished.insert(key.clone());
            self.open = Some(key);
        } else {
            self.open = None;
            out.push(b'\n');
        }
    }

    /// `api/0 | `, `api/0 ! ` for standard error, `api/0 * ` for what stead says, `api/0 + ` where a long line goes on
    /// after another's line came between.
    fn prefix(&mut self, record: &LogRecord, goes_on: bool, color: bool, out: &mut Vec<u8>) {
        self.width = self.width.max(record.label.len()).min(40);
        let label = format!("{:width$}", record.label, width = self.width);
        let hash = record.label.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        out.extend_from_slice(painted(&label, COLORS[hash % COLORS.len()], color).as_bytes());
        let mark = match record {
            LogRecord { event: true, .. } => painted("*", Color::Grey, color),
            _ if goes_on => "+".to_owned(),
            LogRecord { stream: LogStream::Err, .. } => painted("!", Color::Red, color),
            LogRecord { stream: LogStream::Out, .. } => "|".to_owned(),
        };
        out.extend_from_slice(format!(" {mark} ").as_bytes());
    }
}

/// In files an event begins with a mark that tells it from an app's line; here it is marked already.
fn text_of(record: &LogRecord) -> &[u8] {
    match record.bytes.strip_prefix(b"[stead] ") {
        Some(text) if record.event => text,
        _ => &record.bytes,
    }
}

fn json(record: &LogRecord, out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text_of(record));
    let at = (record.at.0 != 0).then(|| jiff::Timestamp::from_nanosecond(record.at.0.into()).ok()).flatten();
    let mut object = serde_json::json!({
        "at": at.map(|at| format!("{at:.9}")),
        "instance": record.label,
        "stream": record.stream.as_str(),
        "event": record.event,
        "partial": record.partial,
        "text": text,
    });
    // Borrowed means that nothing had to be replaced.
    if matches!(text, std::borrow::Cow::Owned(_)) {
        object["lossy"] = true.into();
    }
    out.extend_from_slice(object.to_string().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Wall;

    fn record(label: &str, text: &[u8]) -> LogRecord {
        LogRecord {
            at: Wall(1_700_000_000_123_456_789),
            label: label.to_owned(),
            stream: LogStream::Out,
            partial: false,
            event: false,
            bytes: text.to_vec(),
        }
    }

    fn written(view: View, records: &[LogRecord]) -> String {
        let mut writer = Writer::new(view);
        let mut out = Vec::new();
        records.iter().for_each(|record| writer.write(record, &mut out));
        writer.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_says_whose_it_is_and_where_it_was_written() {
        let records = [
            record("api/0", b"hello"),
            LogRecord { stream: LogStream::Err, ..record("worker/10", b"oh") },
            LogRecord { event: true, ..record("api/0", b"[stead] api/0@3: started") },
            record("api/0", b"[stead] said the app"),
            record("api/0", b""),
        ];
        insta::assert_snapshot!(written(View::Prefixed { color: false }, &records), @r"
        api/0 | hello
        worker/10 ! oh
        api/0     * api/0@3: started
        api/0     | [stead] said the app
        api/0     |
        ");
    }

    #[test]
    fn pieces_of_a_line_are_joined_unless_another_line_came_between() {
        let piece = |label: &str, text: &[u8]| LogRecord { partial: true, ..record(label, text) };
        let records = [
            piece("a/0", b"one-"),
            piece("a/0", b"two"),
            record("b/0", b"between"),
            record("a/0", b"three"),
            piece("a/0", b"cut"),
        ];
        insta::assert_snapshot!(written(View::Prefixed { color: false }, &records), @r"
        a/0 | one-two
        b/0 | between
        a/0 + three
        a/0 | cut
        ");
    }

    #[test]
    fn raw_is_what_the_apps_wrote_byte_for_byte() {
        let mut writer = Writer::new(View::Raw);
        let mut out = Vec::new();
        writer.write(&LogRecord { partial: true, ..record("a/0", b"\0\xff") }, &mut out);
        writer.write(&LogRecord { event: true, ..record("a/0", b"started") }, &mut out);
        writer.write(&record("a/0", b"\r"), &mut out);
        assert_eq!(out, b"\0\xff\r\n");
    }

    #[test]
    fn json_is_one_object_a_line_and_says_when_it_had_to_replace_bytes() {
        let records = [record("api/0", b"a\n\"b"), LogRecord { at: Wall(0), ..record("api", b"\xff") }];
        insta::assert_snapshot!(written(View::Json, &records), @r#"
        {"at":"2023-11-14T22:13:20.123456789Z","event":false,"instance":"api/0","partial":false,"stream":"stdout","text":"a\n\"b"}
        {"at":null,"event":false,"instance":"api","lossy":true,"partial":false,"stream":"stdout","text":"�"}
        "#);
    }
}
