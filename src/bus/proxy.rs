//! The client's end of the private socket.
//! Owns: calling the manager's methods, and following a job to its end.
//! Never: starts a daemon, prints, or retries.
//!
//! One message stream is read for replies and signals alike: a job's signals may come before the reply that names the
//! job, and this way none is missed and no task is needed.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use zbus::connection::{Builder, Connection};
use zbus::export::futures_core::Stream;
use zbus::message::{Flags, Type as MessageType};
use zbus::zvariant::{self, DynamicType, OwnedObjectPath, OwnedValue, Type, Value};
use zbus::{Guid, MatchRule, Message, MessageStream, fdo};

use super::error::Error;
pub use super::error::ErrorKind;
use super::greeting::Greeted;
pub use super::wire::to_json;
use super::wire::{self, InstanceRow};
pub use super::wire::{AppDetail, Finding, FindingLevel, PlanLine};
use super::{MANAGER, NAME, PRIVATE, ROOT, job, value};
use crate::api::RawApp;
use crate::model::status::{InstanceStatus, Measure, MetricsFormat};
use crate::model::time::Wall;

/// Why the daemon did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: no daemon runs.
    #[error("no daemon listens on {}: {source}", path.display())]
    Absent { path: PathBuf, source: io::Error },
    #[error("cannot connect to {}: {source}", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("there is no system bus here: {0}")]
    NoBus(String),
    /// Nobody has the name on the bus.
    #[error("stead does not run: nobody answers on the system bus")]
    NoService,
    /// The daemon said no.
    #[error("{}", .0.text)]
    Refused(Error),
    /// The daemon said something this program does not know: an older or newer version.
    #[error("{name}: {text}")]
    Unknown { name: String, text: String },
    /// The daemon went away in the middle.
    #[error("the daemon closed the connection")]
    Closed,
    /// And it had taken the request.
    #[error("the daemon went down in the middle")]
    Cut,
    /// It has the request, and says nothing: it is stopped, or its host is.
    #[error("the daemon has not answered within {0} seconds")]
    Silent(u64),
    #[error("D-Bus: {0}")]
    Protocol(#[from] zbus::Error),
}

impl From<Error> for ClientError {
    fn from(error: Error) -> Self {
        ClientError::Refused(error)
    }
}

/// News of a job that this client started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobNews {
    /// It is taken, and concerns these instances.
    New {
        instances: Vec<String>,
    },
    Progress(InstanceNews),
}

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceNews {
    pub instance: String,
    /// As in `bus::job::words`.
    pub result: String,
    /// Empty unless there is something to say.
    pub why: String,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    pub failed: bool,
    pub instances: Vec<InstanceNews>,
    pub notes: Vec<String>,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    pub lines: u32,
    pub since: Option<Wall>,
    pub follow: bool,
    pub out: bool,
    pub err: bool,
    pub events: bool,
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    messages: MessageStream,
    way: Way,
}

/// Of who calls over the system bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// The bus starts stead if nobody answers.
    pub start: bool,
    /// Somebody sits here whom polkit may ask for a password, and is waited for.
    pub password: bool,
}

/// How the daemon is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Private,
    Bus(Wishes),
}

/// How long a question may take. The slowest is about the figures of a thousand instances.
const REPLY: Duration = Duration::from_secs(10);

/// And a request until it is taken: users and environment files are looked up before, perhaps over a network. What a job
/// takes after that is the job's business.
const ACCEPTANCE: Duration = Duration::from_secs(30);

/// And until somebody has found the password that polkit asks for.
const PASSWORD: Duration = Duration::from_secs(300);

/// The bus's words for a name that nobody has, and for a service that cannot be started.
const NOBODY: [&str; 4] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.systemd1.NoSuchUnit",
    "org.freedesktop.DBus.Error.Spawn.ChildExited",
];

type Dict<'a> = BTreeMap<&'a str, Value<'a>>;

impl Client {
    /// Connects to the private socket in a runtime directory.
    pub async fn connect(runtime_dir: &Path) -> Result<Self, ClientError> {
        let path = runtime_dir.join(PRIVATE);
        let stream = UnixStream::connect(&path).await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::Absent { path: path.clone(), source }
            }
            // It ended with us in its queue.
            io::ErrorKind::ConnectionReset => ClientError::Closed,
            _ => ClientError::Connect { path: path.clone(), source },
        })?;
        Self::over(stream).await
    }

    /// Speaks over a socket that is connected already.
    pub(super) async fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let uid = nix::unistd::geteuid().as_raw();
        let greeted = Greeted::new(stream, uid).await.map_err(|_| ClientError::Closed)?;
        // Nobody asks for the server's id, so any will do.
        let connection = Builder::authenticated_socket(greeted, Guid::generate())?.p2p().build().await?;
        let messages = MessageStream::from(&connection);
        Ok(Self { connection, messages, way: Way::Private })
    }

    /// Connects to the system bus. `start`: has the bus start stead, if it does not run and is installed.
    pub async fn over_bus(wishes: Wishes) -> Result<Self, ClientError> {
        let connection = Builder::system()?.build().await.map_err(|error| match error {
            zbus::Error::InputOutput(source) => ClientError::NoBus(source.to_string()),
            other => other.into(),
        })?;
        // On a bus nobody else notices when the daemon is gone.
        let rule = MatchRule::builder()
            .msg_type(MessageType::Signal)
            .sender("org.freedesktop.DBus")?
            .member("NameOwnerChanged")?
            .arg(0, NAME)?
            .build();
        fdo::DBusProxy::new(&connection).await?.add_match_rule(rule).await.map_err(zbus::Error::from)?;
        let messages = MessageStream::from(&connection);
        Ok(Self { connection, messages, way: Way::Bus(wishes) })
    }

    /// Deploys apps and waits until that is done.
    pub async fn start_apps(&mut self, apps: &[RawApp], news: &mut dyn FnMut(JobNews)) -> Result<JobEnd, ClientError> {
        self.run("StartApps", &(dicts(apps), Dict::new()), news).await
    }

    /// `Start`, `Stop`, `Restart`, `Kill`, `Delete` or `Reset`, and waits until that is done.
    pub async fn act(
        &mut self,
        method: &str,
        selectors: &[String],
        news: &mut dyn FnMut(JobNews),
    ) -> Result<JobEnd, ClientError> {
        self.run(method, &(selectors, Dict::new()), news).await
    }

    pub async fn signal(
        &mut self,
        selectors: &[String],
        signal: &str,
        news: &mut dyn FnMut(JobNews),
    ) -> Result<JobEnd, ClientError> {
        self.run("Signal", &(selectors, signal, Dict::new()), news).await
    }

    pub async fn scale(&mut self, app: &str, to: &str, news: &mut dyn FnMut(JobNews)) -> Result<JobEnd, ClientError> {
        self.run("Scale", &(app, to, Dict::new()), news).await
    }

    pub async fn shutdown(&mut self, news: &mut dyn FnMut(JobNews)) -> Result<JobEnd, ClientError> {
        self.run("Shutdown", &(Dict::new(),), news).await
    }

    pub async fn plan_apps(&mut self, apps: &[RawApp]) -> Result<Vec<PlanLine>, ClientError> {
        let lines: Vec<_> = self.call("PlanApps", &(dicts(apps), Dict::new())).await?;
        Ok(lines.into_iter().map(wire::plan_from_wire).collect())
    }

    pub async fn list(&mut self, selectors: &[String], measure: Measure) -> Result<Vec<InstanceStatus>, ClientError> {
        let options = Dict::from([("measure", measure.as_str().into())]);
        let rows: Vec<InstanceRow> = self.call("ListInstances", &(selectors, options)).await?;
        Ok(rows.into_iter().map(InstanceStatus::try_from).collect::<Result<_, _>>()?)
    }

    pub async fn metrics(&mut self, format: MetricsFormat) -> Result<String, ClientError> {
        self.call("GetMetrics", &(Dict::from([("format", format.as_str().into())]),)).await
    }

    pub async fn show(&mut self, selectors: &[String]) -> Result<Vec<AppDetail>, ClientError> {
        let apps: Vec<BTreeMap<String, OwnedValue>> = self.call("ShowApps", &(selectors, Dict::new())).await?;
        Ok(apps.iter().map(wire::app_from_dict).collect::<Result<_, _>>()?)
    }

    /// The pipe on which log lines come, in the frames of `model::logframe`.
    pub async fn logs(&mut self, selectors: &[String], options: &LogOptions) -> Result<OwnedFd, ClientError> {
        let mut dict = Dict::from([
            ("lines", options.lines.into()),
            ("follow", options.follow.into()),
            ("out", options.out.into()),
            ("err", options.err.into()),
            ("events", options.events.into()),
        ]);
        if let Some(since) = options.since {
            dict.insert("since", since.0.into());
        }
        let fd: zvariant::OwnedFd = self.call("FollowLogs", &(selectors, dict)).await?;
        Ok(fd.into())
    }

    pub async fn flush(&mut self, selectors: &[String]) -> Result<Vec<String>, ClientError> {
        self.call("FlushLogs", &(selectors, Dict::new())).await
    }

    /// The number of apps that are saved.
    pub async fn save(&mut self, name: &str) -> Result<u32, ClientError> {
        self.call("Save", &(name, Dict::new())).await
    }

    pub async fn resurrect(&mut self, name: &str, news: &mut dyn FnMut(JobNews)) -> Result<JobEnd, ClientError> {
        self.run("Resurrect", &(name, Dict::new()), news).await
    }

    pub async fn upgrade(&mut self) -> Result<(), ClientError> {
        self.call("Upgrade", &(Dict::new(),)).await
    }

    pub async fn doctor(&mut self) -> Result<Vec<Finding>, ClientError> {
        let findings: Vec<_> = self.call("Doctor", &()).await?;
        Ok(findings.into_iter().map(wire::finding_from_wire).collect::<Result<_, _>>()?)
    }

    /// Waits until the daemon has closed the connection: its process is gone, or about to be.
    pub async fn closed(self) {
        self.connection.closed().await;
    }

    async fn next(&mut self) -> Result<Message, ClientError> {
        let messages = &mut self.messages;
        match poll_fn(|context| Pin::new(&mut *messages).poll_next(context)).await {
            Some(Ok(message)) if self.way != Way::Private && says_gone(&message) => Err(ClientError::Closed),
            Some(Ok(message)) => Ok(message),
            // What came is no D-Bus.
            Some(Err(zbus::Error::InputOutput(error))) if error.kind() == io::ErrorKind::InvalidData => {
                Err(zbus::Error::InputOutput(error).into())
            }
            // The library's word for a peer that has left is an I/O error; which one depends on the moment.
            Some(Err(zbus::Error::InputOutput(_))) | None => Err(ClientError::Closed),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// How long an answer may take that needs this long when nobody is asked for a password.
    fn patience(&self, usual: Duration) -> Duration {
        if matches!(self.way, Way::Bus(Wishes { password: true, .. })) { PASSWORD } else { usual }
    }

    async fn send<B>(&self, method: &str, body: &B) -> Result<Message, ClientError>
    where
        B: Serialize + DynamicType,
    {
        let mut call = Message::method_call(ROOT, method)?.interface(MANAGER)?;
        if let Way::Bus(wishes) = self.way {
            call = call.destination(NAME)?;
            if wishes.password {
                call = call.with_flags(Flags::AllowInteractiveAuth)?;
            }
            if !wishes.start {
                call = call.with_flags(Flags::NoAutoStart)?;
            }
        }
        let call = call.build(body)?;
        match self.connection.send(&call).await {
            Ok(()) => Ok(call),
            Err(zbus::Error::InputOutput(_)) => Err(ClientError::Closed),
            Err(error) => Err(error.into()),
        }
    }

    async fn call<B, R>(&mut self, method: &str, body: &B) -> Result<R, ClientError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        within(self.patience(REPLY), async {
            let call = self.send(method, body).await?;
            loop {
                let message = self.next().await?;
                if let Some(reply) = reply_to(&call, &message) {
                    reply?;
                    return Ok(message.body().deserialize()?);
                }
            }
        })
        .await
    }

    /// Calls a method that starts a job, and follows the job.
    async fn run<B>(&mut self, method: &str, body: &B, news: &mut dyn FnMut(JobNews)) -> Result<JobEnd, ClientError>
    where
        B: Serialize + DynamicType,
    {
        // Which job is ours is known with the reply; what came before it waits here.
        let mut early = Vec::new();
        let limit = self.patience(ACCEPTANCE);
        let taken = async {
            let call = self.send(method, body).await?;
            loop {
                let message = self.next().await?;
                let Some(reply) = reply_to(&call, &message) else {
                    early.push(message);
                    continue;
                };
                reply?;
                let path: OwnedObjectPath = message.body().deserialize()?;
                let id = job::id_of(path.as_str()).ok_or_else(|| unknown("a job with no number", path.as_str()))?;
                return Ok(id.0);
            }
        };
        let ours = within(limit, taken).await?;
        let mut early = early.into_iter();
        loop {
            let message = match early.next() {
                Some(message) => message,
                None => match self.next().await {
                    Err(ClientError::Closed) => return Err(ClientError::Cut),
                    other => other?,
                },
            };
            if let Some(end) = read_signal(&message, ours, news)? {
                return Ok(end);
            }
        }
    }
}

/// NameOwnerChanged: name, old owner, new owner; nobody in particular is an empty text.
fn says_gone(message: &Message) -> bool {
    let header = message.header();
    let is_news = header.member().is_some_and(|member| member == "NameOwnerChanged")
        && header.sender().is_some_and(|sender| sender.as_str() == "org.freedesktop.DBus");
    is_news
        && message
            .body()
            .deserialize::<(String, String, String)>()
            .is_ok_and(|(name, old, new)| name == NAME && !old.is_empty() && new.is_empty())
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(ClientError::Silent(limit.as_secs())))
}

fn dicts(apps: &[RawApp]) -> Vec<BTreeMap<String, OwnedValue>> {
    apps.iter().map(value::app_to_dict).collect()
}

fn unknown(name: &str, text: &str) -> ClientError {
    ClientError::Unknown { name: name.to_owned(), text: text.to_owned() }
}

/// None if the message is something else.
fn reply_to(call: &Message, message: &Message) -> Option<Result<(), ClientError>> {
    let header = message.header();
    if header.reply_serial() != Some(call.primary_header().serial_num()) {
        return None;
    }
    match message.message_type() {
        MessageType::MethodReturn => Some(Ok(())),
        MessageType::Error => {
            let name = header.error_name().map(|name| name.as_str()).unwrap_or_default();
            let text: String = message.body().deserialize().unwrap_or_default();
            Some(Err(match ErrorKind::from_name(name) {
                Some(kind) => ClientError::Refused(Error { kind, text }),
                None if NOBODY.contains(&name) => ClientError::NoService,
                None => unknown(name, &text),
            }))
        }
        MessageType::MethodCall | MessageType::Signal => None,
    }
}

/// Reads a signal about our job; Some if it was the last. Other signals, and other people's jobs, are passed over.
fn read_signal(message: &Message, ours: u64, news: &mut dyn FnMut(JobNews)) -> Result<Option<JobEnd>, ClientError> {
    let header = message.header();
    if message.message_type() != MessageType::Signal || header.interface().is_none_or(|i| i.as_str() != MANAGER) {
        return Ok(None);
    }
    let body = message.body();
    match header.member().map(|member| member.as_str()) {
        Some("JobNew") => {
            let (id, _, instances): (u64, OwnedObjectPath, Vec<String>) = body.deserialize()?;
            if id == ours {
                news(JobNews::New { instances });
            }
            Ok(None)
        }
        Some("JobProgress") => {
            let (id, instance, result, why): (u64, String, String, String) = body.deserialize()?;
            if id == ours {
                news(JobNews::Progress(InstanceNews { instance, result, why }));
            }
            Ok(None)
        }
        Some("JobRemoved") => {
            type Removed = (u64, OwnedObjectPath, String, Vec<(String, String, String)>, Vec<String>);
            let (id, _, result, outcomes, notes): Removed = body.deserialize()?;
            if id != ours {
                return Ok(None);
            }
            let instances = outcomes.into_iter().map(|(instance, result, why)| InstanceNews { instance, result, why });
            Ok(Some(JobEnd { failed: result != "done", instances: instances.collect(), notes }))
        }
        _ => Ok(None),
    }
}
