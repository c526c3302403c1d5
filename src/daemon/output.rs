//! What apps print, and what is said about them: which file each instance's lines go to.
//! Owns: the capture thread's handle, and the log targets of every instance.
//! Never: reads or writes a line itself.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::journal::KINDS;
use crate::logs::capture::{Capture, Event, Stream, StreamKey};
use crate::logs::file::{Place, Target, file_name};
use crate::logs::follow::{Query, Selection, send_logs};
use crate::logs::journal::Entry;
use crate::logs::source::Log;
use crate::model::ids::{AppName, InstanceId};
use crate::model::logframe::LogStream;
use crate::model::spec::{AppSpec, LogFormat};
use crate::model::time::Wall;
use crate::sys::identity;

const STREAMS: [LogStream; 2] = [LogStream::Out, LogStream::Err];

/// Where the lines of one instance go, by stream; the same place twice unless the format keeps them apart.
#[derive(Debug)]
struct Targets {
    spec: Arc<AppSpec>,
    /// None while its user was not looked up yet: then its directory has no group, and files elsewhere cannot be opened.
    account: Option<Account>,
    by_stream: [Arc<Target>; 2],
}

/// Where each instance's lines go.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<InstanceId, Targets>);

impl Places {
    /// One stream of a run, to be captured.
    pub fn stream(
        &mut self,
        key: StreamKey,
        pipe: OwnedFd,
        index: usize,
        instance: &InstanceId,
        spec: &Arc<AppSpec>,
        account: Option<&Account>,
    ) -> Stream {
        let target = Arc::clone(&self.of(instance, spec, account)[index]);
        Stream { key, pipe, spilled: None, stream: STREAMS[index], label: instance.to_string(), target }
    }

    fn of(&mut self, instance: &InstanceId, spec: &Arc<AppSpec>, account: Option<&Account>) -> &[Arc<Target>; 2] {
        let fresh = self.0.get(instance).is_some_and(|known| {
            Arc::ptr_eq(&known.spec, spec) && (account.is_none() || known.account.as_ref() == account)
        });
        if !fresh {
            let of = |stream| Arc::new(target(instance, spec, account, stream));
            let out = of(LogStream::Out);
            let err = of(LogStream::Err);
            let err = if out.place.to_string() == err.place.to_string() { Arc::clone(&out) } else { err };
            let targets = Targets { spec: Arc::clone(spec), account: account.cloned(), by_stream: [out, err] };
            self.0.insert(instance.clone(), targets);
        }
        &self.0[instance].by_stream
    }
}

/// Something to be said of an instance.
pub struct Said {
    /// Grows from one to the next. 0: it is not kept.
    pub number: u64,
    pub at: Wall,
    pub text: String,
    /// Its place in `journal::KINDS`.
    pub kind: Option<usize>,
}

pub struct Output {
    capture: Capture,
    dir: PathBuf,
    places: Places,
    /// The host's journal is told of what happens to apps, whatever keeps their lines.
    tell_journal: bool,
}

impl Output {
    pub fn new(capture: Capture, dir: PathBuf, places: Places, tell_journal: bool) -> Self {
        Self { capture, dir, places, tell_journal }
    }

    /// Begins to capture one stream of a run.
    pub fn capture(
        &mut self,
        key: StreamKey,
        pipe: OwnedFd,
        index: usize,
        instance: &InstanceId,
        spec: &Arc<AppSpec>,
        account: Option<&Account>,
    ) {
        self.capture.add(self.places.stream(key, pipe, index, instance, spec, account));
    }

    /// What stands in the stream's pipe now is all there will be.
    pub fn finish(&self, key: StreamKey) {
        self.capture.finish(key);
    }

    /// A life-cycle event of an instance, for `write`. `live` says how it runs now; without it the event goes where the
    /// last ones went, or nowhere if the instance never ran.
    pub fn event(
        &mut self,
        instance: &InstanceId,
        live: Option<(&Arc<AppSpec>, Option<&Account>)>,
        Said { number, at, text, kind }: Said,
    ) -> Option<Event> {
        let target = match live {
            Some((spec, account)) => Arc::clone(&self.places.of(instance, spec, account)[1]),
            None => Arc::clone(&self.places.0.get(instance)?.by_stream[1]),
        };
        let told = self.tell_journal || matches!(target.place, Place::Journal(_));
        let kind = kind.filter(|_| told).and_then(|kind| KINDS.get(kind));
        let entry = kind.map(|kind| Entry { kind, instance: instance.clone() });
        Some(Event { target, number, at, text, entry })
    }

    /// Writes events, each after everything its instance had printed before.
    pub fn write(&self, events: Vec<Event>) {
        if !events.is_empty() {
            self.capture.write(events);
        }
    }

    /// Writes those of the events that are not in their logs.
    pub fn write_missing(&self, events: Vec<Event>) {
        if !events.is_empty() {
            self.capture.write_missing(events);
        }
    }

    /// The files an instance's lines go to, for people.
    pub fn files(&self, instance: &InstanceId, spec: &AppSpec) -> Vec<String> {
        let mut files: Vec<String> = STREAMS
            .iter()
            .filter(|_| spec.log.format != LogFormat::None)
            .map(|stream| match place(instance, spec, None, *stream) {
                Place::Kept { app, file, .. } => self.dir.join(app.as_str()).join(file).display().to_string(),
                Place::Outside { path, .. } => path,
                Place::Journal(instance) => format!("journalctl STEAD_INSTANCE={instance}"),
            })
            .collect();
        files.dedup();
        files
    }

    /// Sends the lines of these logs to `out`, on a thread of its own that ends with the last line or the last reader.
    pub fn send(
        &self,
        selection: impl FnOnce() -> Selection + Send + 'static,
        query: Query,
        out: OwnedFd,
    ) -> io::Result<()> {
        let dir = self.dir.clone();
        let written = self.capture.sync();
        std::thread::Builder::new().name("log-follow".to_owned()).stack_size(256 << 10).spawn(move || {
            // What was printed before the question belongs to the answer: somebody may have been told of an exit, and ask
            // for the last words. A disk that holds the capture thread up holds no reader up for longer than this.
            let _ = written.recv_timeout(Duration::from_secs(1));
            if let Err(error) = send_logs(&dir, selection(), query, out) {
                tracing::warn!("logs could not be read: {error}");
            }
        })?;
        Ok(())
    }

    /// Empties every file of an app. The answer comes from the capture thread.
    pub fn flush(&self, app: &AppName) -> std::sync::mpsc::Receiver<io::Result<()>> {
        let mut outside: Vec<Arc<Target>> = Vec::new();
        for (_, targets) in self.places.0.iter().filter(|(instance, _)| instance.app == *app) {
            let kept = targets.by_stream.iter().filter(|target| matches!(target.place, Place::Outside { .. }));
            outside.extend(kept.cloned());
        }
        self.capture.flush(app.clone(), outside)
    }

    pub fn forget(&mut self, app: &AppName) {
        self.places.0.retain(|instance, _| instance.app != *app);
    }

    /// Waits until all that was written is in its files.
    pub fn sync(&self) {
        let _ = self.capture.sync().recv();
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The log of one instance, as `logs::follow` reads it: all of its streams' files.
pub fn logs_of(instance: &InstanceId, spec: &AppSpec, account: Option<&Account>) -> Vec<Log> {
    let mut logs: Vec<Log> = Vec::new();
    if spec.log.format == LogFormat::Journal {
        return logs;
    }
    for stream in STREAMS {
        let place = place(instance, spec, account, stream);
        if logs.iter().all(|known| known.place.to_string() != place.to_string()) {
            logs.push(Log { place, format: spec.log.format, label: instance.to_string(), raw_stream: stream });
        }
    }
    logs
}

fn target(instance: &InstanceId, spec: &AppSpec, account: Option<&Account>, stream: LogStream) -> Target {
    Target {
        place: place(instance, spec, account, stream),
        // What is sent is made of these lines.
        format: if spec.log.format == LogFormat::Journal { LogFormat::Cri } else { spec.log.format },
        max_size: spec.log.max_size.0,
        max_files: spec.log.max_files,
        compress: spec.log.compress,
        max_total: spec.log.max_total.0,
    }
}

fn place(instance: &InstanceId, spec: &AppSpec, account: Option<&Account>, stream: LogStream) -> Place {
    if spec.log.format == LogFormat::Journal {
        return Place::Journal(instance.clone());
    }
    let outside = match stream {
        LogStream::Out => &spec.log.out_file,
        LogStream::Err => &spec.log.error_file,
    };
    match outside {
        Some(path) => Place::Outside { path: path.clone(), open: opener(path.clone(), account.cloned()) },
        None => Place::Kept {
            app: spec.name.clone(),
            file: file_name(spec.log.format, &spec.name, instance.slot, spec.instances > 1, stream),
            gid: account.map(|account| account.gid),
        },
    }
}

/// A file outside our directory is opened with the rights of the app's user: a spec must not make root write anywhere.
fn opener(path: String, account: Option<Account>) -> crate::logs::file::Opener {
    Arc::new(move || {
        use std::os::unix::fs::OpenOptionsExt;
        let open = || {
            let mut options = std::fs::OpenOptions::new();
            // A FIFO without a reader must not hold the log thread up (open(2), O_NONBLOCK).
            options.append(true).create(true).read(true).mode(0o640).custom_flags(nix::libc::O_NONBLOCK).open(&path)
        };
        match &account {
            Some(account) => {
                identity::as_user(account.uid, account.gid, &account.groups, open).and_then(|opened| opened)
            }
            None => Err(io::Error::other("its user is not known")),
        }
    })
}
