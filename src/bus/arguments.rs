//! A method's arguments, read.
//! Owns: which texts are selectors, counts, log queries and apps, and the error for each that is not.

use std::collections::BTreeMap;

use zbus::zvariant::OwnedValue;

use super::error::Error;
use super::options::{Options, Reader};
use super::value;
use crate::api::{File, LogQuery, RawApp};
use crate::model::request::ScaleTo;
use crate::model::selector::Selector;
use crate::model::status::{Measure, MetricsFormat};
use crate::model::time::Wall;

/// How many past lines `FollowLogs` gives unless asked for a number: as many as PM2 shows.
const LOG_LINES: u32 = 15;

pub(super) fn parse_selectors(texts: &[String]) -> Result<Vec<Selector>, Error> {
    texts.iter().map(|text| Selector::parse(text).map_err(|e| Error::argument(e.to_string()))).collect()
}

/// For what changes something: nothing named is a mistake, never "all".
pub(super) fn parse_named(texts: &[String]) -> Result<Vec<Selector>, Error> {
    if texts.is_empty() {
        return Err(Error::argument("no selector is given: name an app, or \"all\""));
    }
    parse_selectors(texts)
}

/// `4`, `+1`, `-1`, or nothing for the configured count.
pub(super) fn parse_scale(text: &str) -> Result<ScaleTo, Error> {
    let bad = || Error::argument(format!("bad number of instances \"{text}\": use N, +N or -N"));
    let (sign, digits) = match text.as_bytes() {
        [] => return Ok(ScaleTo::Configured),
        [b'+', ..] => (Some(1), &text[1..]),
        [b'-', ..] => (Some(-1), &text[1..]),
        _ => (None, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    match sign {
        Some(sign) => digits.parse::<i32>().map(|n| ScaleTo::By(sign * n)).map_err(|_| bad()),
        None => digits.parse().map(ScaleTo::Count).map_err(|_| bad()),
    }
}

pub(super) fn read_apps(apps: Vec<BTreeMap<String, OwnedValue>>) -> Result<Vec<RawApp>, Error> {
    if apps.is_empty() {
        return Err(Error::argument("no app is given"));
    }
    apps.iter().map(value::app_from_dict).collect()
}

/// A file's text with its options, and whether to wait for the job.
pub(super) fn read_file(content: String, options: Options) -> Result<(File, bool), Error> {
    let mut options = Reader::new(options);
    let file = File {
        name: options.take("name")?.unwrap_or_else(|| "(sent)".to_owned()),
        content,
        base_dir: options.take("base_dir")?.unwrap_or_else(|| "/".to_owned()),
        profile: options.take("profile")?,
    };
    let wait = options.take("wait")?.unwrap_or(false);
    options.finish()?;
    Ok((file, wait))
}

/// Full unless asked for less.
pub(super) fn read_measure(options: Options) -> Result<Measure, Error> {
    let mut options = Reader::new(options);
    let text: Option<String> = options.take("measure")?;
    options.finish()?;
    let all = [Measure::Nothing, Measure::Brief, Measure::Full];
    match text {
        None => Ok(Measure::Full),
        Some(text) => all.into_iter().find(|measure| measure.as_str() == text).ok_or_else(|| {
            Error::argument(format!("bad option measure = \"{text}\": use \"nothing\", \"brief\" or \"full\""))
        }),
    }
}

/// OpenMetrics unless the other is asked for.
pub(super) fn read_format(options: Options) -> Result<MetricsFormat, Error> {
    let mut options = Reader::new(options);
    let text: Option<String> = options.take("format")?;
    options.finish()?;
    match text {
        None => Ok(MetricsFormat::OpenMetrics),
        Some(text) => MetricsFormat::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| Error::argument(format!("bad option format = \"{text}\": use \"openmetrics\" or \"text\""))),
    }
}

pub(super) fn read_query(selectors: &[String], options: Options) -> Result<LogQuery, Error> {
    let mut options = Reader::new(options);
    let query = LogQuery {
        selectors: parse_selectors(selectors)?,
        lines: options.take("lines")?.unwrap_or(LOG_LINES),
        since: options.take("since")?.map(Wall),
        follow: options.take("follow")?.unwrap_or(false),
        out: options.take("out")?.unwrap_or(true),
        err: options.take("err")?.unwrap_or(true),
        events: options.take("events")?.unwrap_or(true),
    };
    options.finish()?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::error::ErrorKind;

    #[test]
    fn a_count_is_absolute_relative_or_the_configured_one() {
        assert_eq!(parse_scale("4"), Ok(ScaleTo::Count(4)));
        assert_eq!(parse_scale("+2"), Ok(ScaleTo::By(2)));
        assert_eq!(parse_scale("-1"), Ok(ScaleTo::By(-1)));
        assert_eq!(parse_scale(""), Ok(ScaleTo::Configured));
        for text in ["x", "+", "0x4", "4 ", "1.5", "+-1", "99999999999"] {
            assert_eq!(parse_scale(text).unwrap_err().kind, ErrorKind::InvalidArgument, "{text:?} was taken");
        }
    }

    #[test]
    fn nothing_named_never_means_everything() {
        assert_eq!(parse_named(&[]).unwrap_err().kind, ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_log_query_has_pm2s_defaults_and_refuses_what_it_does_not_know() {
        let query = read_query(&["api".into()], Options::new()).unwrap();
        assert_eq!((query.lines, query.follow, query.out, query.err, query.events), (15, false, true, true, true));
        assert!(read_query(&["a b".into()], Options::new()).is_err());
    }
}
