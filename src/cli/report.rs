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
use crate::model::logframe::FrameReader;

/// How many failures are told in full. An app of 100 instances that cannot start fails 100 times for one reason.
const FAILURES_MAX: usize = 10;
/// And with the last lines of how many of them.
const TAILS_MAX: usize = 3;
/// As many lines as usually hold an error and where it came from.
const TAIL_LINES: u32 = 10;

/// Runs an action with its progress shown; the bar is gone when this returns.
pub async fn followed(
    session: &Session,
    verb: &'static str,
    action: impl AsyncFnOnce(&mut dyn FnMut(JobNews)) -> std::result::Result<JobEnd, ClientError>,
) -> Result<JobEnd> {
    let progress = Progress::new(verb, session.talk.terminal_err);
    Ok(action(&mut |news| progress.news(&news)).await?)
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
        if with_table && !end.instances.is_empty() && end.instances.iter().all(|news| news.result == "unchanged") {
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
    let mut list = client.list(&[]).await?;
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
    // comfy-table asks the terminal; None where stdout is none.
    let width = comfy_table::Table::new().width().map(usize::from);
    Style { color: session.talk.color_out, width }
}

async fn failures(session: &Session, client: &mut Client, instances: &[InstanceNews]) {
    let failed: Vec<_> =
        instances.iter().filter(|news| matches!(news.result.as_str(), "failed" | "superseded")).collect();
    for (position, news) in failed.iter().take(FAILURES_MAX).enumerate() {
        session.talk.note(&format!("{}: {}", news.instance, news.why));
        if position < TAILS_MAX && news.result == "failed" {
            // The reason has been given; that there is no log to show is not worth a second error.
            if let Ok(lines) = tail(client, &news.instance, session.talk.color_err).await
                && !lines.is_empty()
            {
                session.talk.say(&format!("its last lines:\n{}", lines.trim_end()));
            }
        }
    }
    if failed.len() > FAILURES_MAX {
        session.talk.note(&format!("and {} more: see \"stead list\"", failed.len() - FAILURES_MAX));
    }
}

/// What an app said last.
async fn tail(client: &mut Client, instance: &str, color: bool) -> Result<String> {
    let options = LogOptions { lines: TAIL_LINES, since: None, follow: false, out: true, err: true, events: false };
    let pipe = client.logs(&[instance.to_owned()], &options).await?;
    let mut bytes = Vec::new();
    std::fs::File::from(pipe)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("cannot read the log: {error}")))?;
    let (mut reader, mut writer, mut out) = (FrameReader::default(), Writer::new(View::Prefixed { color }), Vec::new());
    reader.push(&bytes);
    while let Ok(Some(record)) = reader.next_record() {
        // How its runs ended has been told already.
        if !record.event {
            writer.write(&record, &mut out);
        }
    }
    writer.end(&mut out);
    Ok(String::from_utf8_lossy(&out).into_owned())
}
