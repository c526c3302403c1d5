//! `logs`: what apps write.

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::super::args::Logs;
use super::super::clock;
use super::super::exit::{Failure, Result};
use super::super::logview::{View, Writer};
use super::super::session::Session;
use super::super::talk;
use super::act;
use crate::bus::proxy::{Client, LogOptions};
use crate::config::raw::Value;
use crate::model::logframe::FrameReader;
use crate::model::quantity::parse_span;
use crate::model::status::Measure;
use crate::model::time::Wall;

pub(super) async fn run(session: &Session, args: &Logs) -> Result {
    act::check(&args.selectors)?;
    let options = options(args, session.talk.terminal_out)?;
    let mut client = session.connect().await?;
    say_kept_none(session, &mut client, &args.selectors).await?;
    let fd = client.logs(&args.selectors, &options).await?;
    let damaged = |error: std::io::Error| Failure::failed(format!("cannot read the log: {error}"));
    let mut pipe = pipe::Receiver::from_owned_fd(fd).map_err(damaged)?;
    let mut writer = Writer::new(view(args, session.talk.color_out));
    let mut frames = FrameReader::default();
    let mut buffer = vec![0; 64 << 10];
    let mut out = Vec::new();
    loop {
        let read = tokio::select! {
            read = pipe.read(&mut buffer) => Some(read.map_err(damaged)?),
            // Whoever follows a log ends it like this; it is no failure.
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(read) = read.filter(|read| *read > 0) else {
            writer.end(&mut out);
            talk::write_all(&out)?;
            if options.follow && read.is_some() {
                // It should have gone on. If the daemon is gone, that is an error; if the app is, that is its end.
                client.list(&[], Measure::Nothing).await?;
            }
            return Ok(());
        };
        frames.push(&buffer[..read]);
        while let Some(record) = frames.next_record().map_err(|error| Failure::failed(error.to_string()))? {
            writer.write(&record, &mut out);
        }
        talk::write_all(&out)?;
        out.clear();
    }
}

/// An app that keeps no log would look like one that says nothing. Only of what was named: who asks for every log does
/// not wait for one.
pub(super) async fn say_kept_none(session: &Session, client: &mut Client, selectors: &[String]) -> Result {
    if selectors.is_empty() {
        return Ok(());
    }
    for app in client.show(selectors).await? {
        if app.spec.iter().any(|(key, value)| key == "log_format" && *value == Value::from("none")) {
            session.talk.note(&format!("{} keeps no log (log_format = \"none\")", app.name));
        }
    }
    Ok(())
}

fn view(args: &Logs, color: bool) -> View {
    match (args.json, args.raw) {
        (true, _) => View::Json,
        (false, true) => View::Raw,
        (false, false) => View::Prefixed { color },
    }
}

fn options(args: &Logs, terminal: bool) -> Result<LogOptions> {
    let since = args.since.as_deref().map(|text| since(text, clock::now())).transpose()?;
    Ok(LogOptions {
        // Since a time, all of it: the number is for those who do not say from where.
        lines: if since.is_some() && args.lines == DEFAULT_LINES { u32::MAX } else { args.lines },
        since,
        follow: args.follow || (terminal && !args.no_follow),
        out: !args.err,
        err: !args.out,
        events: !args.raw && !args.err && !args.out,
    })
}

/// The default of `--lines`.
const DEFAULT_LINES: u32 = 15;

/// `10m` is ten minutes before now; else a time, in the zone of this host if it names none.
fn since(text: &str, now: jiff::Timestamp) -> Result<Wall> {
    let wrong =
        || Failure::usage(format!("--since \"{text}\": use a span such as 10m, or a time such as 2026-11-20T12:00"));
    let at = match parse_span(text) {
        Ok(span) => now.checked_sub(span).map_err(|_| wrong())?,
        Err(_) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => time,
            Err(_) => {
                let time: jiff::civil::DateTime = text.parse().map_err(|_| wrong())?;
                time.to_zoned(jiff::tz::TimeZone::system()).map_err(|_| wrong())?.timestamp()
            }
        },
    };
    Ok(Wall(u64::try_from(at.as_nanosecond()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_time() {
        let now: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let wall = |text: &str| since(text, now).map(|wall| wall.0 / 1_000_000_000);
        let noon = now.as_second().cast_unsigned();
        assert_eq!(wall("10m"), Ok(noon - 600));
        assert_eq!(wall("2026-11-20T11:00:00Z"), Ok(noon - 3600));
        assert_eq!(wall("36000d"), Ok(0), "before there was a clock");
        assert!(wall("yesterday").is_err());
    }
}
