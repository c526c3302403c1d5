//! Amounts with units: bytes, durations, CPU shares, counts out of a whole.
//! Owns: the grammar of each, the same in files, flags and D-Bus.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An amount of memory or disk, in bytes. Units are powers of 1024, as in systemd and PM2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Why a quantity was refused. `part` is what is wrong within the text, for a caret to point at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {mend}")]
pub struct BadQuantity {
    pub problem: String,
    pub mend: &'static str,
}

const BYTES_MEND: &str = "use B, K, M, G or T, as in \"64M\"";
const SPAN_MEND: &str = "use ms, s, m, h or d, as in \"10s\" or \"500ms\"";

fn bad(problem: String, mend: &'static str) -> BadQuantity {
    BadQuantity { problem, mend }
}

/// Splits "1.5G" into its number and its unit.
fn split(s: &str) -> (&str, &str) {
    let end = s.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(s.len());
    (&s[..end], s[end..].trim())
}

/// Reads a decimal with at most one dot; refuses what `f64` would also take, such as "1e9" or "inf".
fn number(text: &str, whole: &str, mend: &'static str) -> Result<f64, BadQuantity> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => Ok(n),
        _ => Err(bad(format!("\"{whole}\" does not begin with a number"), mend)),
    }
}

impl Bytes {
    /// `64M`, `1.5G`, `512K`, `4096B`; a bare number is refused except 0, because people mean different units by it.
    pub fn parse(s: &str) -> Result<Self, BadQuantity> {
        let trimmed = s.trim();
        let (digits, unit) = split(trimmed);
        let value = number(digits, s, BYTES_MEND)?;
        let scale: u64 = match unit.to_ascii_uppercase().as_str() {
            "" if value == 0.0 => 1,
            "" => return Err(bad(format!("\"{s}\" has no unit"), BYTES_MEND)),
            "B" => 1,
            "K" | "KB" | "KIB" => 1 << 10,
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            "T" | "TB" | "TIB" => 1 << 40,
            _ => return Err(bad(format!("unknown unit \"{unit}\" in \"{s}\""), BYTES_MEND)),
        };
        let bytes = value * scale as f64;
        // 2^60 bytes: far beyond any machine, and exact in i64 and f64 arithmetic.
        if bytes > (1u64 << 60) as f64 {
            return Err(bad(format!("\"{s}\" is more than a machine can have"), "give at most 1048576T"));
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    /// Four significant characters at most, for tables: `812K`, `64.0M`, `1.5G`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "K", "M", "G", "T", "P"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1023.95 && unit < units.len() - 1 {
            value /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 || value >= 99.95 {
            format!("{value:.0}{}", units[unit])
        } else {
            format!("{value:.1}{}", units[unit])
        };
        f.pad(&text)
    }
}

/// `10s`, `500ms`, `1m`, `1.5h`, `2d`, `0`. Any other bare number is refused: PM2 means milliseconds, systemd seconds.
pub fn parse_span(s: &str) -> Result<Duration, BadQuantity> {
    let trimmed = s.trim();
    let (digits, unit) = split(trimmed);
    let value = number(digits, s, SPAN_MEND)?;
    let millis = match unit {
        "" if value == 0.0 => 0.0,
        "" => return Err(bad(format!("\"{s}\" has no unit"), SPAN_MEND)),
        "ms" => value,
        "s" | "sec" => value * 1e3,
        "m" | "min" => value * 6e4,
        "h" => value * 3.6e6,
        "d" => value * 8.64e7,
        _ => return Err(bad(format!("unknown unit \"{unit}\" in \"{s}\""), SPAN_MEND)),
    };
    // A hundred years: beyond that a typing error is likelier than a wish, and Mono stays far from its end.
    if millis > 3.2e12 {
        return Err(bad(format!("\"{s}\" is more than a hundred years"), "give a shorter time"));
    }
    Ok(Duration::from_nanos((millis * 1e6) as u64))
}

/// The shortest text `parse_span` reads back as the same span, down to milliseconds.
pub fn format_span(span: Duration) -> String {
    let ms = span.as_millis();
    match ms {
        0 => "0".to_owned(),
        _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// One unit, for a glance: `3d`, `12m`, `4s`.
pub fn rough_span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..172_800 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// CPU time per wall time, in percent of one core: `50%` is half a core, `200%` two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuPercent(pub u32);

impl CpuPercent {
    /// `"50%"`; a bare number is refused, since it could mean cores.
    pub fn parse(s: &str) -> Result<Self, BadQuantity> {
        const MEND: &str = "use percent of one core, from 1% to 100000%, as in \"150%\"";
        let digits = s.trim().strip_suffix('%').ok_or_else(|| bad(format!("\"{s}\" has no \"%\""), MEND))?;
        match digits.trim().parse::<u32>() {
            Ok(percent @ 1..=100_000) => Ok(Self(percent)),
            _ => Err(bad(format!("\"{s}\" is not a share of CPU"), MEND)),
        }
    }
}

impl fmt::Display for CpuPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// How many instances more than configured may be alive during a roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surge {
    Count(u32),
    Percent(u32),
}

impl Surge {
    /// `"25%"` or `"2"`.
    pub fn parse(s: &str) -> Result<Self, BadQuantity> {
        const MEND: &str = "use a count from 1, or a share from 1% to 100%, as in \"25%\"";
        let wrong = || bad(format!("\"{s}\" is not a number of extra instances"), MEND);
        let trimmed = s.trim();
        match trimmed.strip_suffix('%') {
            Some(digits) => match digits.parse::<u32>() {
                Ok(percent @ 1..=100) => Ok(Surge::Percent(percent)),
                _ => Err(wrong()),
            },
            None => match trimmed.parse::<u32>() {
                Ok(count @ 1..=65_536) => Ok(Surge::Count(count)),
                _ => Err(wrong()),
            },
        }
    }

    /// The count for an app of `instances`: a share is rounded down, but is never less than one.
    pub fn of(self, instances: u32) -> u32 {
        match self {
            Surge::Count(count) => count,
            Surge::Percent(percent) => ((u64::from(instances) * u64::from(percent) / 100) as u32).max(1),
        }
    }
}

impl fmt::Display for Surge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Surge::Count(count) => write!(f, "{count}"),
            Surge::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_need_a_unit_and_know_only_these() {
        assert_eq!(Bytes::parse("64M"), Ok(Bytes(64 << 20)));
        assert_eq!(Bytes::parse("1.5g"), Ok(Bytes(3 << 29)));
        assert_eq!(Bytes::parse("0"), Ok(Bytes(0)));
        for text in ["", "64", "64Q", "M", "-1M", "1e3M", "1..5M", "9999999T", "infM", "nan"] {
            assert!(Bytes::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn bytes_read_well_in_a_table() {
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.0K"), (64 << 20, "64.0M"), (200 << 20, "200M"), (3 << 29, "1.5G")]
        {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn spans_come_back_as_they_were_written() {
        for text in ["0", "1ms", "1500ms", "2s", "3m", "4h", "5d"] {
            assert_eq!(format_span(parse_span(text).unwrap()), text);
        }
        for text in ["", "10", "10x", "s", "-1s", "99999999d"] {
            assert!(parse_span(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_surge_is_never_less_than_one() {
        assert_eq!(Surge::Percent(25).of(1), 1);
        assert_eq!(Surge::Percent(25).of(8), 2);
        assert_eq!(Surge::Count(3).of(1), 3);
    }
}
