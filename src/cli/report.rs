//! How a job ended, said to the person who asked for it.
//! Owns: what is printed after an action: notes, the table of what it concerned, failures with the app's last lines.

use std::collections::BTreeSet;
use std::io::Read;

use super::exit::{Code, Failure, Result};
use super::logview::{View, Writer};
use super::progress::Progress;
use super::session::Session;
use super::table::{self, Style};
use super::talk;
use crate::bus::proxy::{Client, ClientError, InstanceNews, JobEnd, JobNews, LogOptions};
use crate::model::logframe::{FrameReader, LogRecord};
use crate::model::request::{ENDED_EARLY, NOT_READY};
use crate::model::status::Measure;

/// How many failures are told in full. An app of 100 instances that cannot start fails 100 times for one reason.
const FAILURES_MAX: usize = 10;
/// And how many different last lines.
const TAILS_MAX: usize = 3;
/// As many lines as usually hold an error and where it came from.
const TAIL_LINES: u32 = 20;

/// Runs an action with its progress shown; the bar is gone when this returns.
pub async fn followed(
    session: &Session,
    verb: &'static str,
    action: impl AsyncFnOnce(&mut dyn FnMut(JobNews)) -> std::result::Result<JobEnd, ClientError>,
) -> Result<JobEnd> {
    let progress = Progress::new(verb, session.talk.terminal_err);
    let mut show = |news| progress.news(&news);
    tokio::select! {
        end = action(&mut show) => Ok(end?),
        // The daemon does what it was asked whether or not anybody watches.
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(Failure::new(Code::Interrupted, format!("{verb} is still going on: see \"stead list\"")))
        }
    }
}

/// Notes, the table, then failures: what matters most stands last.
pub async fn outcome(session: &Session, client: &mut Client, end: &JobEnd, with_table: bool) -> Result {
    for note in &end.notes {
        session.talk.note(note);
    }
    if with_table {
        concerned(session, client, end).await?;
    }
    if !end.failed {
        // Only of what is shown: an app that is deleted while it is down had nothing to do, and is deleted.
        // An action that concerns no instance at all, as `scale app +0` does, did nothing either.
        if with_table && end.instances.iter().all(|news| news.result == "unchanged") {
            session.talk.note("nothing to do");
        }
        return Ok(());
    }
    failures(session, client, &end.instances).await;
    Err(Failure::new(Code::Failed, ""))
}

/// The rows of `list` that the action was about. An instance that is gone by now has none.
async fn concerned(session: &Session, client: &mut Client, end: &JobEnd) -> Result {
    let names: BTreeSet<&str> = end.instances.iter().map(|news| news.instance.as_str()).collect();
    let mut list = client.list(&[], Measure::Brief).await?;
    list.retain(|row| names.contains(row.instance.as_str()));
    if list.is_empty() {
        return Ok(());
    }
    // A pipe that nobody reads does not make a failed start a good one: the exit code is decided elsewhere.
    let _ = talk::try_write(table::instances(&list, style(session)).as_bytes());
    Ok(())
}

/// As wide as the terminal on stdout, if there is one.
pub fn style(session: &Session) -> Style {
    let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    Style { color: session.talk.color_out, width }
}

async fn failures(session: &Session, client: &mut Client, instances: &[InstanceNews]) {
    let failed: Vec<_> =
        instances.iter().filter(|news| matches!(news.result.as_str(), "failed" | "superseded")).collect();
    let mut tails: Vec<Tail> = Vec::new();
    for news in failed.iter().take(FAILURES_MAX) {
        session.talk.note(&format!("{}: {}", news.instance, news.why));
        if !ran(news) {
            continue;
        }
        // The reason has been given; that there is no log to show is not worth a second error.
        let Ok(records) = last_records(client, &news.instance).await else { continue };
        match tails.iter().position(|tail| tail.says(&records)) {
            Some(known) => tails[known].instances.push(news.instance.clone()),
            None if records.is_empty() || tails.len() == TAILS_MAX => {}
            None => tails.push(Tail { instances: vec![news.instance.clone()], records }),
        }
    }
    for tail in &tails {
        session.talk.say(&tail.shown(session.talk.color_err));
    }
    if failed.len() > FAILURES_MAX {
        session.talk.note(&format!("and {} more: see \"stead list\"", failed.len() - FAILURES_MAX));
    }
}

/// Whether a run of it ended in this job: only then are the last lines about it.
fn ran(news: &InstanceNews) -> bool {
    news.result == "failed" && [ENDED_EARLY, NOT_READY].iter().any(|begin| news.why.starts_with(begin))
}

/// What one instance said last, and others in the same words.
struct Tail {
    instances: Vec<String>,
    records: Vec<LogRecord>,
}

impl Tail {
    fn says(&self, records: &[LogRecord]) -> bool {
        let words = |record: &LogRecord| (record.stream, record.bytes.clone());
        self.records.iter().map(words).eq(records.iter().map(words))
    }

    fn shown(&self, color: bool) -> String {
        let (first, others) = self.instances.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let (mut writer, mut out) = (Writer::new(View::Prefixed { color }), Vec::new());
        self.records.iter().for_each(|record| writer.write(record, &mut out));
        writer.end(&mut out);
        let lines = String::from_utf8_lossy(&out);
        let same = match others {
            [] => String::new(),
            others => format!("\nthe same for {}", others.join(", ")),
        };
        format!("the last lines of {first}:\n{}{same}", lines.trim_end())
    }
}

async fn last_records(client: &mut Client, instance: &str) -> Result<Vec<LogRecord>> {
    let options = LogOptions { lines: TAIL_LINES, since: None, follow: false, out: true, err: true, events: false };
    let pipe = client.logs(&[instance.to_owned()], &options).await?;
    let mut bytes = Vec::new();
    std::fs::File::from(pipe)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("cannot read the log: {error}")))?;
    let (mut reader, mut records) = (FrameReader::default(), Vec::new());
    reader.push(&bytes);
    while let Ok(Some(record)) = reader.next_record() {
        // How its runs ended has been told already.
        if !record.event {
            records.push(record);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::logframe::LogStream;
    use crate::model::time::Wall;

    fn news(result: &str, why: &str) -> InstanceNews {
        InstanceNews { instance: "api/0".into(), result: result.into(), why: why.into() }
    }

    fn record(instance: &str, text: &str) -> LogRecord {
        LogRecord {
            label: instance.into(),
            stream: LogStream::Err,
            event: false,
            partial: false,
            at: Wall(1),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_a_run_that_ended_has_last_lines() {
        assert!(ran(&news("failed", "ended before it was ready (exit 1)")));
        assert!(ran(&news("failed", "not ready within 30s (start_timeout)")));
        let others = ["it is not running", "not replaced, because api/1 failed: ended before it was ready (exit 1)"];
        assert!(others.iter().all(|why| !ran(&news("failed", why))));
        assert!(!ran(&news("superseded", "a later command asked something else of it")));
    }

    #[test]
    fn the_same_lines_are_told_once() {
        let tail = Tail {
            instances: vec!["api/0".into(), "api/1".into(), "api/2".into()],
            records: vec![record("api/0", "boom")],
        };
        assert!(tail.says(&[record("api/1", "boom")]));
        assert!(!tail.says(&[record("api/1", "bang")]));
        let shown = tail.shown(false);
        assert!(shown.starts_with("the last lines of api/0:\n"), "{shown}");
        assert!(shown.ends_with("boom\nthe same for api/1, api/2"), "{shown}");
    }
}
