//! The daemon's beginning: from an inherited socket to a loop that serves.
//! Owns: the order in which the parts come up. Never: serves before everything is there.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{mpsc, watch};
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::adopt::Adoption;
use super::boot;
use super::calendar::Calendar;
use super::driver::{Driver, Keeping};
use super::endpoint::Endpoint;
use super::executor::Executor;
use super::fault::Fault;
use super::left::Left;
use super::link::{Link, LinkError};
use super::mode::Mode;
use super::output::{Output, Places};
use super::passed::Passed;
use super::remember::{Memory, remember};
use super::sharing::Sharing;
use super::store::{Store, StoreError};
use super::told::Told;
use super::tree::Tree;
use super::watched::watched;
use super::{clock, measure, notify, privileges};
use crate::api::{Handle, LogLevel};
use crate::bus::server;
use crate::config::{self, Share, Source, parse_settings};
use crate::holder::protocol;
use crate::logs::archive::HostCap;
use crate::logs::capture::{Capture, Settings, Stream};
use crate::logs::journal;
use crate::logs::record::InFile;
use crate::logs::trash::Trash;
use crate::metrics::sampler::Sampler;
use crate::model::quantity::Bytes;
use crate::model::status::Snapshot;
use crate::sys::{cgroup, memfd, pipe, socket};

/// An append that takes longer than this makes lines be dropped instead of blocking the app.
const LOG_STALL: Duration = Duration::from_secs(1);

/// The last pause before processes that an earlier daemon left are given up: some four seconds in all.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// Set by a holder whose programs were replaced: `systemctl reload`, after which the files of packages are read, too.
const UPGRADED: &str = "STEAD_UPGRADED";

/// Names under which the holder keeps what must outlive us.
const RECORD: &str = "log-record";
const TRASH_READ: &str = "log-trash-read";
const TRASH_WRITE: &str = "log-trash-write";

#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Cgroup(#[from] cgroup::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("the D-Bus socket: {0}")]
    Bus(io::Error),
}

pub(super) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { what: what.into(), source }
}

/// steadd's `main`.
pub fn main() -> ExitCode {
    let (log_level, follow_log_level) = log_to_stderr();
    if let Err(error) = privileges::give_up_the_rest() {
        tracing::warn!("the daemon keeps capabilities that it does not need: {error}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(256 << 10)
        // A thread that waits for more work for ten seconds, as is usual, is a wake-up that no event caused.
        .thread_keep_alive(Duration::from_millis(20))
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot begin: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.spawn(follow_log_level);
    match runtime.block_on(serve(log_level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What is said, to whom the unit or whoever started the daemon gives it. `STEAD_LOG` says how much:
/// `debug`, or `info,stead::daemon=debug`.
///
/// Gives where a wish for another level goes, and the task that sees to it.
fn log_to_stderr() -> (watch::Sender<LogLevel>, impl Future<Output = ()> + Send + 'static) {
    // zbus would make a span of each call, which takes longer than many calls do.
    let of = |level| Targets::new().with_default(level).with_target("zbus", Level::WARN);
    let usual = of(Level::INFO);
    let asked = std::env::var("STEAD_LOG").ok();
    let (filter, wrong) = match asked.as_deref().map(str::parse) {
        None => (usual, None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (usual, Some(error)),
    };
    // A line that cannot be written is lost: to complain about it, the layer would print to where it cannot, and panic.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    let (filter, reload) = reload::Layer::new(filter);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    if let Some(error) = wrong {
        tracing::warn!("STEAD_LOG={}: {error}; what is usual is logged", asked.unwrap_or_default());
    }
    let (wish, mut wished) = watch::channel(LogLevel::Info);
    let follow = async move {
        while wished.changed().await.is_ok() {
            let level = match *wished.borrow_and_update() {
                LogLevel::Error => Level::ERROR,
                LogLevel::Warn => Level::WARN,
                LogLevel::Info => Level::INFO,
                LogLevel::Debug => Level::DEBUG,
            };
            // It fails only without a subscriber, and ours is there for good.
            let _ = reload.reload(of(level));
        }
    };
    (wish, follow)
}

async fn serve(log_level: watch::Sender<LogLevel>) -> Result<(), StartError> {
    let mode = Mode::from_env(|name| std::env::var_os(name));
    let mut link = Link::inherit()?;
    make_dir(&mode.logs, 0o755)?;
    let kept = Kept::fetch(&mut link).await?;
    let tree = Tree::plant(&mode)?;
    let (rows, stored) = link.inventory().await?;
    let store = Store::open(&mode.state)?;
    let Memory { world, ports, runtime, next_job, endings, anew, stale, news } = remember(&store, &mut link).await?;
    if anew {
        clear_leftovers(&tree).await;
    }
    let mut places = Places::default();
    let mut adoption = Adoption::prepare(&world, &endings, rows, &mut places, &mut link).await?;
    let left = Left::fetch(&stored, &mut link).await?;
    let (tell, told) = mpsc::unbounded_channel();
    let streams = std::mem::take(&mut adoption.streams);
    let settings = settings(&mode);
    let capture = capture(&mode, &settings, kept.record, kept.trash, streams, tell.clone())?;
    let tell_journal = !mode.private && Path::new(journal::SOCKET).exists();
    let output = Output::new(capture, mode.logs.clone(), places, tell_journal);
    listen_to_notifications(kept.notify, tell.clone())?;
    let notify_path = mode.runtime.join("notify").to_string_lossy().into_owned();
    let sharing = Sharing::begin(&tree, left, tell.clone());
    if let Err(why) = &sharing {
        tracing::warn!("instances cannot share ports: {why}");
    }
    let executor =
        Executor::new(tree, output, Passed::found(&stored), (ports, ephemeral_ports()), notify_path, sharing, tell);

    let (asks, mailbox) = mpsc::channel(64);
    let (publish, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let handle = Handle::new(asks, snapshots, log_level);
    let socket = server::bind_private(&mode.runtime).map_err(StartError::Bus)?;
    tokio::spawn(serve_private(socket, handle.clone()));
    let endpoint = Endpoint::open(&settings, &handle).map_err(io_error("start a thread for metrics"))?;
    if !mode.private {
        server::on_a_thread_of_its_own(handle).map_err(io_error("start a thread for the system bus"))?;
    }
    link.serving();
    tracing::info!(
        "serving, apps in {}",
        executor.tree.base_dir().unwrap_or_else(|| PathBuf::from("no cgroup")).display()
    );
    let calendar = Calendar::new().map_err(io_error("make a timer"))?;
    let sampler = Sampler::new(measure::keep_below());
    let mut driver = Driver::new(
        world,
        Keeping { store, runtime, next_job, fault: Fault::from_env(&mode.runtime), mode: mode.clone(), calendar },
        executor,
        link,
        publish,
        sampler,
    );
    driver.adopt(adoption, news, stale);
    if anew || std::env::var_os(UPGRADED).is_some() {
        driver.deploy_files(boot::read_apps(&mode));
    }
    driver.run(mailbox, told).await?;
    endpoint.close();
    let _ = fs::remove_file(mode.runtime.join("private"));
    Ok(())
}

async fn serve_private(socket: std::os::unix::net::UnixListener, handle: Handle) {
    if let Err(error) = server::serve_private(socket, handle).await {
        tracing::error!("the private socket is not served any more: {error}");
    }
}

/// What the holder keeps for the daemon.
struct Kept {
    notify: OwnedFd,
    record: OwnedFd,
    trash: (OwnedFd, OwnedFd),
}

impl Kept {
    /// Fetches what a daemon before us stored, or makes and stores it.
    async fn fetch(link: &mut Link) -> Result<Self, StartError> {
        let notify = link.fetch(protocol::NOTIFY).await?;
        let notify = notify.ok_or_else(|| io_error("get the notify socket")(io::ErrorKind::NotFound.into()))?;
        let record = match link.fetch(RECORD).await? {
            Some(record) => record,
            None => {
                let record = memfd::create("stead-log-record", 4096).map_err(io_error("make a memfd"))?;
                link.store(RECORD, &record)?;
                record
            }
        };
        let trash = match (link.fetch(TRASH_READ).await?, link.fetch(TRASH_WRITE).await?) {
            (Some(read), Some(write)) => (read, write),
            _ => {
                let made = pipe::Pipe::nonblocking(crate::logs::trash::PIPE_SIZE);
                let made = made.map_err(io_error("make a pipe"))?;
                link.store(TRASH_READ, &made.read)?;
                link.store(TRASH_WRITE, &made.write)?;
                (made.read, made.write)
            }
        };
        Ok(Self { notify, record, trash })
    }
}

/// Ends what is in cgroups of ours that no memory tells of: whoever starts the same apps now would have them twice.
async fn clear_leftovers(tree: &Tree) {
    let mut left = tree.leftovers();
    if left.is_empty() {
        return;
    }
    tracing::warn!(
        "{} runs are left of which nothing is known, as after the holder was killed: they are ended",
        left.len()
    );
    let mut pause = Duration::from_millis(1);
    while pause < LEFTOVERS {
        for (name, cgroup) in &left {
            if let Err(error) = cgroup.kill() {
                tracing::error!("{name}: {error}");
            }
        }
        tokio::time::sleep(pause).await;
        left.retain(|(_, cgroup)| cgroup.populated().unwrap_or(true) || cgroup.remove().is_err());
        if left.is_empty() {
            return;
        }
        pause *= 2;
    }
    // Processes in uninterruptible sleep. Their run numbers are never used again, so they are in nobody's way.
    tracing::error!("{} of them cannot be emptied; going on without them", left.len());
}

fn capture(
    mode: &Mode,
    settings: &config::Settings,
    record: OwnedFd,
    trash: (OwnedFd, OwnedFd),
    streams: Vec<Stream>,
    tell: mpsc::UnboundedSender<Told>,
) -> Result<Capture, StartError> {
    let host_cap = match settings.log_max_total {
        Share::Bytes(Bytes(0)) => HostCap::None,
        Share::Bytes(Bytes(bytes)) => HostCap::Bytes(bytes),
        Share::Percent(percent) => HostCap::Percent(percent),
    };
    let settings = Settings {
        store: Box::new(InFile::new(File::from(record), 0)),
        trash: Trash::new(trash.0, trash.1).map_err(io_error("use the trash pipe"))?,
        clock: Arc::new(clock::now),
        report: Arc::new(move |report| drop(tell.send(Told::Log(report)))),
        log_stall: LOG_STALL,
        host_cap,
    };
    Capture::start(&mode.logs, settings, streams)
        .map_err(io_error(format!("capture logs into {}", mode.logs.display())))
}

/// What stead.toml says, and what is usual for all that it does not say, or says wrongly.
fn settings(mode: &Mode) -> config::Settings {
    let path = mode.config.join("stead.toml");
    let source = match fs::read(&path) {
        Ok(bytes) => Source::from_bytes(path.to_string_lossy(), bytes).map_err(|errors| errors.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return config::Settings::default(),
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    let (settings, wrong) = match source {
        Ok(source) => {
            let (settings, errors) = parse_settings(&source);
            (settings, errors.map(|errors| errors.to_string()))
        }
        Err(wrong) => (config::Settings::default(), Some(wrong)),
    };
    if let Some(wrong) = wrong {
        tracing::error!("what is wrong in it does not count:\n{wrong}");
    }
    settings
}

/// Passes on who said READY=1.
fn listen_to_notifications(socket: OwnedFd, tell: mpsc::UnboundedSender<Told>) -> Result<(), StartError> {
    let socket = watched(socket, Interest::READABLE).map_err(io_error("wait for notifications"))?;
    tokio::spawn(async move {
        let mut buffer = vec![0; notify::DATAGRAM_MAX];
        while let Ok(mut guard) = socket.readable().await {
            match socket::receive(std::os::fd::AsFd::as_fd(socket.get_ref()), &mut buffer) {
                Ok(received) => {
                    let sender = received.sender.map(|sender| sender.pid);
                    if let Some(pid) = sender.filter(|_| notify::says_ready(&buffer[..received.len])) {
                        // Before anything else is read: a sender that waits for our answer to a BARRIER=1, as
                        // systemd-notify(1) does, is still there, and its cgroup can be told.
                        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
                        let _ = tell.send(Told::Notified { pid, cgroup });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => {
                    guard.clear_ready();
                    tracing::warn!("a notification could not be read: {error}");
                }
            }
        }
    });
    Ok(())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), StartError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(io_error(format!("make {}", path.display())))
}

/// The ports that the kernel gives to who asks for none (ip(7), ip_local_port_range).
fn ephemeral_ports() -> std::ops::RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = text.split_ascii_whitespace().map(|word| word.parse::<u16>());
    match (bounds.next(), bounds.next()) {
        (Some(Ok(low)), Some(Ok(high))) => low..=high,
        _ => 32768..=60999,
    }
}
