//! Durations, times and shares as people read them.
//! Never: reads a clock or the time zone; both come in.

use std::time::Duration;

/// At most two units: `3d 4h`, `12m 5s`, `4.2s`, `350ms`.
pub fn span(span: Duration) -> String {
    let (ms, s) = (span.as_millis(), span.as_secs());
    let two = |big: u64, b: &str, small: u64, c: &str| {
        if small == 0 { format!("{big}{b}") } else { format!("{big}{b} {small}{c}") }
    };
    match s {
        0 => format!("{ms}ms"),
        1..10 => format!("{}.{}s", s, ms % 1000 / 100),
        10..60 => format!("{s}s"),
        60..3600 => two(s / 60, "m", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s % 3600 / 60, "m"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// One unit, for a column: `3d`, `12m`, `4s`.
pub fn span_short(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..172_800 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// `0.0%`, `12.5%`, `230%`.
pub fn percent(percent: f64) -> String {
    if percent < 99.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// Ports in order, with runs drawn together: `80,8080-8083`.
pub fn ports(ports: &[u16]) -> String {
    let mut text = String::new();
    let mut i = 0;
    while i < ports.len() {
        let mut j = i;
        while j + 1 < ports.len() && u32::from(ports[j + 1]) == u32::from(ports[j]) + 1 {
            j += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&ports[i].to_string());
        if j > i {
            text.push(if j == i + 1 { ',' } else { '-' });
            text.push_str(&ports[j].to_string());
        }
        i = j + 1;
    }
    text
}

/// A moment given in milliseconds since 1970, in the zone that is given: `2026-11-20 12:47:03`.
pub fn moment(ms: u64, zone: &jiff::tz::TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// The time of day of a moment given in milliseconds since 1970: `12:47:03`.
pub fn time_of_day(ms: u64, zone: &jiff::tz::TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        let texts = [
            (0, "0ms"),
            (350, "350ms"),
            (4_250, "4.2s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (725_000, "12m 5s"),
            (3_600_000, "1h"),
            (273_600_000, "3d 4h"),
        ];
        for (ms, text) in texts {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn neighbouring_ports_are_drawn_together() {
        assert_eq!(ports(&[]), "");
        assert_eq!(ports(&[80]), "80");
        assert_eq!(ports(&[80, 81, 443, 8080, 8081, 8082, 65535]), "80,81,443,8080-8082,65535");
    }

    #[test]
    fn a_moment_is_written_in_the_zone_given() {
        assert_eq!(moment(1_700_000_000_000, &jiff::tz::TimeZone::UTC), "2023-11-14 22:13:20");
        assert_eq!(time_of_day(1_700_000_000_000, &jiff::tz::TimeZone::UTC), "22:13:20");
    }
}
