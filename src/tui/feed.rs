//! News from the daemon: once a second what is listed, and what the log of the selected instance has.
//! Owns: the rhythm, the connection, and its return after the daemon's death.
//! Never: falls behind a log: what is more than a person can read is passed over.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::Connect;
use super::log::LINES;
use crate::bus::proxy::{AppDetail, Client, ClientError, ErrorKind, LogOptions};
use crate::model::logframe::{FrameReader, LogRecord};
use crate::model::status::{InstanceStatus, Measure};

/// What the screen is told.
#[derive(Debug)]
pub enum News {
    Listed {
        rows: Vec<InstanceStatus>,
        /// All about the selected instance's app; None: nothing is selected, or it is gone.
        detail: Option<Box<AppDetail>>,
        /// What its log has had since.
        records: Vec<LogRecord>,
    },
    /// A log begins, of this instance, with its latest lines.
    Log {
        instance: String,
        records: Vec<LogRecord>,
        remark: String,
    },
    Lost {
        why: String,
    },
}

/// Data comes once a second.
const BEAT: Duration = Duration::from_secs(1);

/// Who moves through the list wants the log of where they stop.
const SETTLED: Duration = Duration::from_millis(100);

/// The latest lines are there within this time, or there are none; and between two pieces of them no more passes than
/// this.
const FIRST_LINES: Duration = Duration::from_millis(200);
const NEXT_LINES: Duration = Duration::from_millis(20);

/// Of a log as much is read in a beat: some two thousand lines, and no person reads more.
const READ_MAX: usize = 256 << 10;

/// Serves the screen for good. `selected`: which instance the person looks at; `hurry`: something was done, and is to be
/// seen at once.
pub async fn serve(
    connect: &impl Connect,
    mut selected: watch::Receiver<Option<String>>,
    hurry: &Notify,
    news: mpsc::Sender<News>,
) {
    loop {
        let why = match connect.connect().await {
            Ok(client) => {
                let mut feed = Feed { client, log: None, news: &news };
                // With another daemon the log begins anew.
                if selected.borrow().is_some() {
                    selected.mark_changed();
                }
                match feed.run(&mut selected, hurry).await {
                    Ok(()) => return,
                    Err(error) => connect.words(error),
                }
            }
            Err(why) => why,
        };
        if news.send(News::Lost { why }).await.is_err() {
            return;
        }
        sleep(BEAT).await;
    }
}

struct Feed<'a> {
    client: Client,
    log: Option<Following>,
    news: &'a mpsc::Sender<News>,
}

impl Feed<'_> {
    /// Until nobody looks any more, or the daemon does not answer.
    async fn run(&mut self, selected: &mut watch::Receiver<Option<String>>, hurry: &Notify) -> Result<(), ClientError> {
        let mut beat = beats();
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => {}
                () = hurry.notified() => beat.reset(),
                changed = selected.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    while let Ok(Ok(())) = timeout(SETTLED, selected.changed()).await {}
                    let instance = selected.borrow_and_update().clone();
                    self.follow(instance).await?;
                }
            }
            let instance = selected.borrow().clone();
            if !self.look(instance).await? {
                return Ok(());
            }
        }
    }

    /// False: nobody listens any more.
    async fn look(&mut self, instance: Option<String>) -> Result<bool, ClientError> {
        let rows = self.client.list(&[], Measure::Brief).await?;
        let detail = match instance {
            Some(instance) => {
                unless_gone(self.client.show(&[instance]).await)?.and_then(|apps| apps.into_iter().next())
            }
            None => None,
        };
        let (mut records, mut behind) = (Vec::new(), None);
        if let Some(log) = &mut self.log {
            match log.read(&mut records) {
                State::Dry => {}
                State::Behind => behind = Some(log.instance.clone()),
                State::Ended => self.log = None,
            }
        }
        let told = self.news.send(News::Listed { rows, detail: detail.map(Box::new), records }).await.is_ok();
        if behind.is_some() {
            // Its end is where it is read on.
            self.follow(behind).await?;
        }
        Ok(told)
    }

    /// Has another log followed, from its latest lines on.
    async fn follow(&mut self, instance: Option<String>) -> Result<(), ClientError> {
        self.log = None;
        let Some(instance) = instance else { return Ok(()) };
        let options = LogOptions { lines: LINES as u32, since: None, follow: true, out: true, err: true, events: true };
        let (mut records, mut remark) = (Vec::new(), "it has not written anything".to_owned());
        match self.client.logs(std::slice::from_ref(&instance), &options).await {
            Ok(fd) => match Following::new(instance.clone(), fd) {
                Ok(mut log) => {
                    records = log.begin().await;
                    self.log = Some(log);
                }
                Err(error) => remark = format!("its log cannot be read: {error}"),
            },
            // Where its lines go instead, for one.
            Err(ClientError::Refused(refused)) => remark = refused.text,
            Err(error) => return Err(error),
        }
        let _ = self.news.send(News::Log { instance, records, remark }).await;
        Ok(())
    }
}

fn beats() -> Interval {
    let mut beats = interval(BEAT);
    // On a machine that is too busy for it, it comes less often, and never twice in a row.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// It may be deleted between two questions.
fn unless_gone<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Refused(refused))
            if matches!(refused.kind, ErrorKind::NoMatch | ErrorKind::NoSuchApp | ErrorKind::AccessDenied) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A log that is read as it grows.
struct Following {
    instance: String,
    pipe: pipe::Receiver,
    frames: FrameReader,
    buffer: Vec<u8>,
}

/// How far a log has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no more for now.
    Dry,
    /// There is more than anybody reads.
    Behind,
    Ended,
}

impl Following {
    fn new(instance: String, fd: OwnedFd) -> std::io::Result<Self> {
        let pipe = pipe::Receiver::from_owned_fd(fd)?;
        Ok(Self { instance, pipe, frames: FrameReader::default(), buffer: vec![0; 32 << 10] })
    }

    /// The lines that are there already.
    async fn begin(&mut self) -> Vec<LogRecord> {
        let (mut records, mut wait) = (Vec::new(), FIRST_LINES);
        while timeout(wait, self.pipe.readable()).await.is_ok() && self.read(&mut records) == State::Dry {
            wait = NEXT_LINES;
            if records.len() >= LINES {
                break;
            }
        }
        records
    }

    /// Without waiting.
    fn read(&mut self, records: &mut Vec<LogRecord>) -> State {
        let mut total = 0;
        while total < READ_MAX {
            match self.pipe.try_read(&mut self.buffer) {
                Ok(0) => return State::Ended,
                Ok(read) => {
                    total += read;
                    self.frames.push(&self.buffer[..read]);
                    while let Some(record) = match self.frames.next_record() {
                        Ok(record) => record,
                        Err(_) => return State::Ended,
                    } {
                        records.push(record);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return State::Dry,
                Err(_) => return State::Ended,
            }
        }
        State::Behind
    }
}
