//! Times by the calendar: patterns as cron(8) has them, and when one of them comes next.
//! Owns: the grammar, and what a change between winter and summer time does to it.
//! Never: reads a clock or looks a zone up; both come in.

use std::fmt;

use croner::{Cron, errors::CronError, parser::CronParser};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::time::Wall;

/// When something is done to an app by the calendar. At most one of the two lists has anything in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// It is restarted then.
    pub cron_restart: Vec<Pattern>,
    /// It is a job, and runs then.
    pub schedule: Vec<Pattern>,
    /// A name of the tz database; None: the host's.
    pub time_zone: Option<String>,
}

impl Times {
    pub fn patterns(&self) -> &[Pattern] {
        if self.schedule.is_empty() { &self.cron_restart } else { &self.schedule }
    }

    /// The first moment after `after` that any of the patterns means. A time of day that does not exist on the day the
    /// clocks go forward comes right after the gap if it is the only one of its pattern on a day, else not at all; one
    /// that exists twice when they go back comes the first time only, or both times, by the same distinction. It is
    /// Vixie cron's.
    pub fn next(&self, zone: &TimeZone, after: Wall) -> Option<Wall> {
        let after = Timestamp::from_nanosecond(after.0.into()).ok()?.to_zoned(zone.clone());
        let next = |pattern: &Pattern| parse(&pattern.0).ok()?.find_next_occurrence(&after, false).ok();
        let next = self.patterns().iter().filter_map(next).map(|at| at.timestamp().as_second()).min()?;
        Some(Wall(u64::try_from(next).ok()?.saturating_mul(1_000_000_000)))
    }
}

/// `*/5 9-17 * * mon-fri`, or with a sixth field for seconds before the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

/// Why a text is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadPattern {
    Empty,
    /// `@reboot` and whatever else begins like a nickname.
    Nickname(String),
    /// So many fields.
    Fields(usize),
    /// This field, as it was written, and what it can hold.
    Field {
        name: &'static str,
        text: String,
        holds: &'static str,
    },
    /// There is no such day.
    Never,
}

/// What stands where, with seconds; and what it can hold.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, or L for the last"),
    ("month", "1 to 12, or jan to dec"),
    ("day of the week", "0 to 7, or sun to sat, and #2 after it for the second one of a month"),
];

const NICKNAMES: [&str; 6] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"];

impl Pattern {
    /// The door for config files, flags and D-Bus. One space between two fields, whatever was written.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let first = match fields.as_slice() {
            [] => return Err(BadPattern::Empty),
            [name] if name.starts_with('@') => {
                let known = NICKNAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
                let known = known.ok_or_else(|| BadPattern::Nickname((*name).to_owned()))?;
                return Ok(Self((*known).to_owned()));
            }
            fields if fields.len() == 5 => 1,
            fields if fields.len() == 6 => 0,
            fields => return Err(BadPattern::Fields(fields.len())),
        };
        // Each by itself, so that the one that is wrong can be named.
        for (at, field) in fields.iter().enumerate() {
            let (name, holds) = FIELDS[first + at];
            let mut alone = ["*"; 6];
            alone[first + at] = field;
            // The parser passes over what is empty between two commas.
            let hole = field.split(',').any(str::is_empty);
            if hole || !field.is_ascii() || parse(&alone.join(" ")).is_err() {
                return Err(BadPattern::Field { name, text: (*field).to_owned(), holds });
            }
        }
        let pattern = Self(fields.join(" "));
        // From any day on: what does not come within the forty years that a 29th of February on a Monday may take,
        // never does.
        let from = Timestamp::from_second(1_600_000_000).map_err(|_| BadPattern::Never)?.to_zoned(TimeZone::UTC);
        let comes = parse(&pattern.0).and_then(|cron| cron.find_next_occurrence(&from, false));
        if comes.is_ok() { Ok(pattern) } else { Err(BadPattern::Never) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Result<Cron, CronError> {
    CronParser::new().parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(patterns: &[&str]) -> Times {
        let schedule = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Times { schedule, ..Times::default() }
    }

    /// The moments that follow, as clocks in Berlin show them.
    fn in_berlin(patterns: &[&str], from: &str, count: usize) -> Vec<String> {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut at = Wall(from.parse::<Timestamp>().unwrap().as_nanosecond().try_into().unwrap());
        let mut shown = Vec::new();
        for _ in 0..count {
            at = times(patterns).next(&zone, at).unwrap();
            let local = Timestamp::from_nanosecond(at.0.into()).unwrap().to_zoned(zone.clone());
            shown.push(local.strftime("%m-%d %H:%M:%S %Z").to_string());
        }
        shown
    }

    #[test]
    fn five_fields_or_six_with_seconds_first_or_a_nickname() {
        let at = "2026-01-01T00:00:00Z";
        assert_eq!(in_berlin(&["*/20 9 * * mon"], at, 2), ["01-05 09:00:00 CET", "01-05 09:20:00 CET"]);
        assert_eq!(in_berlin(&["30 0 9 * * *"], at, 1), ["01-01 09:00:30 CET"]);
        assert_eq!(in_berlin(&["@daily"], at, 1), ["01-02 00:00:00 CET"]);
        assert_eq!(in_berlin(&["0 0 L * *"], at, 1), ["01-31 00:00:00 CET"]);
    }

    #[test]
    fn of_several_patterns_the_first_to_come_counts() {
        let patterns = ["0 9 * * *", "30 8 * * *"];
        assert_eq!(in_berlin(&patterns, "2026-01-01T00:00:00Z", 2), ["01-01 08:30:00 CET", "01-01 09:00:00 CET"]);
    }

    #[test]
    fn a_moment_is_never_its_own_successor_and_a_fraction_of_a_second_does_not_lose_one() {
        let at = "2026-01-01T08:00:00.4Z";
        assert_eq!(in_berlin(&["0 9 * * *"], at, 1), ["01-02 09:00:00 CET"]);
        assert_eq!(in_berlin(&["0 9 * * *"], "2026-01-01T07:59:59.999Z", 1), ["01-01 09:00:00 CET"]);
    }

    #[test]
    fn one_time_a_day_survives_the_day_on_which_it_does_not_exist() {
        let night = "2026-03-28T23:00:00Z";
        assert_eq!(in_berlin(&["30 2 * * *"], night, 2), ["03-29 03:00:00 CEST", "03-30 02:30:00 CEST"]);
        assert_eq!(in_berlin(&["*/30 2 * * *"], night, 1), ["03-30 02:00:00 CEST"]);
    }

    #[test]
    fn one_time_a_day_comes_once_on_the_day_on_which_it_exists_twice() {
        let night = "2026-10-24T23:00:00Z";
        assert_eq!(in_berlin(&["30 2 * * *"], night, 2), ["10-25 02:30:00 CEST", "10-26 02:30:00 CET"]);
        let hours = ["10-25 02:00:00 CEST", "10-25 02:00:00 CET", "10-25 03:00:00 CET"];
        assert_eq!(in_berlin(&["0 * * * *"], "2026-10-24T23:30:00Z", 3), hours);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let field = |text: &str| match Pattern::parse(text) {
            Err(BadPattern::Field { name, text, .. }) => format!("{name}: {text}"),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(field("60 * * * *"), "minute: 60");
        assert_eq!(field("0 24 * * *"), "hour: 24");
        assert_eq!(field("0 0 0 * *"), "day of the month: 0");
        assert_eq!(field("0 0 * monday *"), "month: monday");
        assert_eq!(field("0 0 * * 8"), "day of the week: 8");
        assert_eq!(field("61 0 0 * * *"), "second: 61");
        assert_eq!(field("1,,2 * * * *"), "minute: 1,,2");
        assert_eq!(field("5-1 * * * *"), "minute: 5-1");
        assert_eq!(field("*/0 * * * *"), "minute: */0");
        assert_eq!(field("é * * * *"), "minute: é");
        assert_eq!(Pattern::parse(" "), Err(BadPattern::Empty));
        assert_eq!(Pattern::parse("* * * *"), Err(BadPattern::Fields(4)));
        assert_eq!(Pattern::parse("0 0 1 1 * 2026 1"), Err(BadPattern::Fields(7)));
        assert_eq!(Pattern::parse("@reboot"), Err(BadPattern::Nickname("@reboot".to_owned())));
        assert_eq!(Pattern::parse("0 0 31 2 *"), Err(BadPattern::Never));
    }
}
