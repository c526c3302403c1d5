//! The bytes of a log line: CRI, JSON, raw; writing and reading each.
//! Owns: the line formats and where a batch of bytes is cut into lines.
//! Never: reads a clock or a file. The same bytes, stamp and tail always give the same lines: recovery stands on that.
//!
//! CRI allows `F` and `P` as tags and nothing else (vector and fluent-bit refuse or misread `F:x`), so a line of stead's
//! own cannot be marked there. It is marked where no app can forge it: lines of apps have an even nanosecond, events an
//! odd one. Nobody's clock is exact to a nanosecond, so nothing is lost.

use std::borrow::Cow;

use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::model::logframe::LogStream;
use crate::model::spec::LogFormat;
use crate::model::time::Wall;

/// The longest line kept whole. A longer one is written in pieces of this size, all but the last tagged `P`.
pub const PIECE_MAX: usize = 256 << 10;

/// `2026-11-20T12:47:03.123456789Z`.
pub const STAMP_LEN: usize = 30;

/// What the bytes after a batch's last newline are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// A piece of a line that goes on.
    Open,
    /// The end: nothing can follow, so the line is whole although no newline says so.
    Final,
}

/// How much of the bytes a batch took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub taken: usize,
    pub lines: u64,
    /// The last line taken was tagged as going on.
    pub open: bool,
}

/// One line as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    pub at: Wall,
    pub stream: LogStream,
    pub partial: bool,
    pub event: bool,
    pub text: Cow<'a, [u8]>,
}

/// The stamp of bytes that an app wrote.
pub fn app_stamp(now: Wall) -> Wall {
    Wall(now.0 & !1)
}

/// The stamp of a line that stead says itself.
pub fn is_event_stamp(at: Wall) -> bool {
    at.0 & 1 == 1
}

/// The stamp of an event: odd, as no app line's is.
pub fn event_stamp(now: Wall) -> Wall {
    Wall(now.0 | 1)
}

/// Appends `bytes` to `out` as lines, as many as fit into `room`, but always at least one.
/// `bytes` should end with a newline unless `tail` says what its end is.
pub fn format_batch(
    format: LogFormat,
    stream: LogStream,
    at: Wall,
    bytes: &[u8],
    tail: Tail,
    room: u64,
    out: &mut Vec<u8>,
) -> Batch {
    let begin = out.len();
    let limit = begin.saturating_add(usize::try_from(room).unwrap_or(usize::MAX));
    let mut batch = Batch { taken: 0, lines: 0, open: false };
    let stamp = stamp_text(at);
    let mut head = [b' '; STAMP_LEN + 10];
    head[..STAMP_LEN].copy_from_slice(&stamp);
    head[STAMP_LEN + 1..STAMP_LEN + 7].copy_from_slice(stream.as_str().as_bytes());
    // Lines are about a hundred bytes where speed matters; a wrong guess costs one more allocation.
    out.reserve(bytes.len() + bytes.len() / 2 + 256);
    while batch.taken < bytes.len() {
        let rest = &bytes[batch.taken..];
        let window = &rest[..rest.len().min(PIECE_MAX + 1)];
        let (used, ended) = match memchr(b'\n', window) {
            Some(at) => (at + 1, true),
            None => (rest.len().min(PIECE_MAX), false),
        };
        let open = !ended && (rest.len() > PIECE_MAX || tail == Tail::Open);
        let start = out.len();
        let text = &rest[..used - usize::from(ended)];
        match format {
            LogFormat::Cri => {
                head[STAMP_LEN + 8] = if open { b'P' } else { b'F' };
                out.extend_from_slice(&head);
                out.extend_from_slice(&rest[..used]);
                if !ended {
                    out.push(b'\n');
                }
            }
            LogFormat::Json => push_json(&stamp, stream, open, false, text, out),
            LogFormat::Raw => out.extend_from_slice(&rest[..used]),
            LogFormat::Journal | LogFormat::None => {}
        }
        if out.len() > limit && batch.lines > 0 {
            out.truncate(start);
            break;
        }
        batch.taken += used;
        batch.lines += 1;
        batch.open = open;
    }
    batch
}

/// The end of a line whose pieces were all written as going on: nothing more came.
pub fn format_end(format: LogFormat, stream: LogStream, at: Wall, out: &mut Vec<u8>) {
    match format {
        LogFormat::Cri => push_cri(at, stream, b"", out),
        LogFormat::Json => push_json(&stamp_text(at), stream, false, false, b"", out),
        LogFormat::Raw | LogFormat::Journal | LogFormat::None => {}
    }
}

/// A line of stead's own: `[stead] api/0: exited (oom, SIGKILL)`. Raw files hold the bytes of the app and nothing else,
/// except where lines were lost; `force` is for those.
pub fn format_event(format: LogFormat, at: Wall, text: &str, force: bool, out: &mut Vec<u8>) {
    // One event is one line, whatever an error message has in it.
    let text = format!("[stead] {}", text.replace(['\n', '\r'], " "));
    let at = event_stamp(at);
    match format {
        LogFormat::Cri => push_cri(at, LogStream::Err, text.as_bytes(), out),
        LogFormat::Json => push_json(&stamp_text(at), LogStream::Err, false, true, text.as_bytes(), out),
        LogFormat::Raw if force => {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
        LogFormat::Raw | LogFormat::Journal | LogFormat::None => {}
    }
}

fn push_cri(at: Wall, stream: LogStream, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&stamp_text(at));
    out.push(b' ');
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(b" F ");
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Reads a line that `format_batch` or `format_event` wrote, without its newline. None: it is something else.
pub fn parse_line(format: LogFormat, line: &[u8]) -> Option<Line<'_>> {
    match format {
        LogFormat::Cri => parse_cri(line),
        LogFormat::Json => parse_json(line),
        LogFormat::Raw | LogFormat::Journal | LogFormat::None => None,
    }
}

/// `2026-11-20T12:47:03.123456789Z stdout F text`.
pub fn parse_cri(line: &[u8]) -> Option<Line<'_>> {
    let (stamp, rest) = line.split_at_checked(STAMP_LEN)?;
    let at = parse_stamp(stamp)?;
    let (name, rest) = rest.split_at_checked(8)?;
    let stream = match name {
        b" stdout " => LogStream::Out,
        b" stderr " => LogStream::Err,
        _ => return None,
    };
    let (partial, text) = match rest {
        [b'F', b' ', text @ ..] => (false, text),
        [b'P', b' ', text @ ..] => (true, text),
        _ => return None,
    };
    Some(Line { at, stream, partial, event: is_event_stamp(at), text: Cow::Borrowed(text) })
}

#[derive(Serialize, Deserialize)]
struct JsonLine<'a> {
    time: Cow<'a, str>,
    stream: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    event: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    /// Bytes that are not UTF-8, which JSON cannot hold, two digits each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<Cow<'a, str>>,
}

fn push_json(stamp: &[u8; STAMP_LEN], stream: LogStream, partial: bool, event: bool, text: &[u8], out: &mut Vec<u8>) {
    let (text, hex) = match std::str::from_utf8(text) {
        Ok(text) => (Some(Cow::Borrowed(text)), None),
        Err(_) => (None, Some(Cow::Owned(to_hex(text)))),
    };
    let time = String::from_utf8_lossy(stamp);
    let line = JsonLine { time, stream: Cow::Borrowed(stream.as_str()), partial, event, text, hex };
    serde_json::to_writer(&mut *out, &line).expect("strings and booleans always fit into JSON, and a Vec takes all");
    out.push(b'\n');
}

fn parse_json(line: &[u8]) -> Option<Line<'_>> {
    let line: JsonLine = serde_json::from_slice(line).ok()?;
    let stream = match &*line.stream {
        "stdout" => LogStream::Out,
        "stderr" => LogStream::Err,
        _ => return None,
    };
    let text = match (line.text, line.hex) {
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(hex)) => from_hex(hex.as_bytes())?,
        _ => return None,
    };
    let at = parse_stamp(line.time.as_bytes())?;
    Some(Line { at, stream, partial: line.partial, event: line.event, text: Cow::Owned(text) })
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |d: u8| char::from(d).to_digit(16);
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()).collect()
}

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// RFC 3339 in UTC with nine digits. Wall ends in 2554, so the year has four.
pub fn stamp_text(at: Wall) -> [u8; STAMP_LEN] {
    let (seconds, nanos) = (at.0 / NANOS, at.0 % NANOS);
    let (year, month, day) = civil(seconds / DAY);
    let of_day = seconds % DAY;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], of_day / 3600);
    digits(&mut text[14..16], of_day / 60 % 60);
    digits(&mut text[17..19], of_day % 60);
    digits(&mut text[20..29], nanos);
    text
}

fn digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The inverse of `stamp_text`; None for anything that it never wrote.
pub fn parse_stamp(text: &[u8]) -> Option<Wall> {
    let text: &[u8; STAMP_LEN] = text.try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0u64, |sum, d| d.is_ascii_digit().then(|| sum * 10 + u64::from(d - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(Wall(seconds.checked_mul(NANOS)?.checked_add(number(20..29)?)?))
}

/// Days since 1970-01-01 to a date, by the rule of H. Hinnant's `chrono`-compatible algorithms: years begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
