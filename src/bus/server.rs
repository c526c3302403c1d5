//! Where the daemon listens: the private socket, and the system bus when there is one.
//! Owns: who is let in at each door, and the life of a connection.
//! Never: stops serving because one peer misbehaves.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use zbus::Guid;
use zbus::connection::{Builder, Connection};

use super::gate::{Door, Gate};
use super::greeting::Known;
use super::logcontrol::{self, LogControl};
use super::manager::Manager;
use super::objects::{ObjectManager, Objects};
use super::{NAME, PRIVATE, ROOT};
use crate::api::{Caller, Handle};

/// Where a bus itself is reached.
const BUS: &str = "/org/freedesktop/DBus";

/// How long a connection that cannot be accepted, for want of file descriptors say, is left in the queue before the
/// next try: accept(2) would fail again at once, and the daemon would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a peer may take to say who it is. One that never does would cost a task and a descriptor for good.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Makes the private socket, in place of one that a dead daemon left. The runtime directory must exist.
pub fn bind_private(runtime_dir: &Path) -> io::Result<UnixListener> {
    // Bound under another name, so that `private` never stands there with a mode it should not have, and so that the
    // moment it appears is the moment somebody listens: `stead` waits for that.
    let (path, draft) = (runtime_dir.join(PRIVATE), runtime_dir.join(".private.new"));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, &path)?;
    Ok(listener)
}

/// Serves the private socket for as long as the future is polled. Root and the daemon's own user are let in.
pub async fn serve_private(listener: UnixListener, handle: Handle) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let guid = Guid::generate();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (guid, handle) = (guid.clone().to_owned(), handle.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve_peer(stream, guid, handle).await {
                        tracing::debug!(%error, "private connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the private socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The object of a bus, where there is none: `busctl --address` and gdbus greet one whatever they connect to.
struct Greeting;

#[zbus::interface(name = "org.freedesktop.DBus")]
impl Greeting {
    /// The name of the caller, who is alone here.
    fn hello(&self) -> &str {
        ":1.0"
    }
}

async fn serve_peer(stream: UnixStream, guid: Guid<'static>, handle: Handle) -> zbus::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
        tracing::warn!(uid, "refused a connection on the private socket");
        return Ok(());
    }
    let builder = Builder::socket(Known { stream, uid }).server(guid)?.p2p();
    let builder = serve(builder.serve_at(BUS, Greeting)?, handle, Door::Private(Caller { uid }))?.0;
    let Ok(connection) = tokio::time::timeout(HANDSHAKE, builder.build()).await else {
        tracing::debug!("dropped a peer on the private socket that did not say who it is");
        return Ok(());
    };
    let connection = connection?;
    connection.closed().await;
    Ok(())
}

/// Everything that is served, whichever way a peer comes in.
fn serve(builder: Builder<'_>, handle: Handle, door: Door) -> zbus::Result<(Builder<'_>, Arc<Objects>)> {
    let gate = Arc::new(Gate::new(handle, door));
    let objects = Arc::new(Objects::new(Arc::clone(&gate)));
    let builder = builder
        .serve_at(ROOT, Manager::new(Arc::clone(&gate), Arc::clone(&objects)))?
        .serve_at(ROOT, ObjectManager { gate: Arc::clone(&gate), objects: Arc::clone(&objects) })?
        .serve_at(logcontrol::PATH, LogControl { gate })?;
    Ok((builder, objects))
}

/// Serves the system bus, if there is one, on a thread of its own: what others send there, however much it is and however
/// long it takes to read, keeps nobody from his work who looks after the apps.
pub fn on_a_thread_of_its_own(handle: Handle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = async move {
        match serve_system(handle).await {
            // The name is ours as long as the connection lives.
            Ok(Some(connection)) => connection.closed().await,
            Ok(None) => tracing::info!("there is no system bus; only the private socket is served"),
            Err(error) => tracing::warn!("the system bus is not served: {error}"),
        }
    };
    let thread = std::thread::Builder::new().name("system-bus".to_owned()).stack_size(512 << 10);
    thread.spawn(move || runtime.block_on(serve)).map(drop)
}

/// Takes the name on the system bus and serves there. None if this host has no system bus. The name is held until the
/// connection is dropped; `closed()` tells when the bus has gone away.
async fn serve_system(handle: Handle) -> zbus::Result<Option<Connection>> {
    let (builder, objects) = serve(Builder::system()?, handle, Door::System)?;
    // Served before the name is asked for, or a call that activates the service would find nothing.
    let connection = match builder.name(NAME)?.build().await {
        Ok(connection) => connection,
        Err(zbus::Error::InputOutput(error)) if absent(error.kind()) => return Ok(None),
        Err(error) => return Err(error),
    };
    objects.serve(&connection).await;
    Ok(Some(connection))
}

fn absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::api::{Ask, Finding, FindingLevel, Job, JobUpdate, LogLevel, RawApp, Refusal};
    use crate::bus::error::ErrorKind;
    use crate::bus::proxy::{Client, ClientError, JobNews};
    use crate::model::ids::{AppName, InstanceId, JobId, Slot};
    use crate::model::request::{Denied, InstanceOutcome, InstanceResult, Outcome, Request};
    use crate::model::status::{Measure, Snapshot};

    /// A client, and the daemon's mailbox behind the server it talks to.
    async fn pair() -> (Client, mpsc::Receiver<Ask>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (asks, mailbox) = mpsc::channel(8);
        let snapshots = watch::channel(Arc::new(Snapshot::default())).1;
        let handle = Handle::new(asks, snapshots, watch::channel(LogLevel::Info).0);
        tokio::spawn(serve_peer(theirs, Guid::generate(), handle));
        (Client::over(ours).await.unwrap(), mailbox)
    }

    fn outcome(app: &str, result: InstanceResult) -> InstanceOutcome {
        InstanceOutcome { instance: InstanceId { app: AppName::parse(app).unwrap(), slot: Slot(0) }, result }
    }

    fn kind(error: ClientError) -> ErrorKind {
        match error {
            ClientError::Refused(error) => error.kind,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_job_that_was_done_before_anybody_listened_is_told_whole() {
        let (mut client, mut mailbox) = pair().await;
        tokio::spawn(async move {
            let Some(Ask::Submit { request: Request::Stop { selectors }, answer, .. }) = mailbox.recv().await else {
                panic!("not a stop");
            };
            assert_eq!(selectors.len(), 1);
            let (updates, receiver) = mpsc::unbounded_channel();
            let failed = outcome("api", InstanceResult::Failed { why: "it would not".into() });
            updates.send(JobUpdate::Progress(failed.clone())).unwrap();
            let done = Outcome { instances: vec![failed.clone()], notes: vec!["a note".into()] };
            updates.send(JobUpdate::Done(done)).unwrap();
            answer.send(Ok(Job { id: JobId(9), instances: vec![failed.instance], updates: receiver })).unwrap();
        });
        let mut news = Vec::new();
        let end = client.act("Stop", &["api".into()], &mut |n| news.push(n)).await.unwrap();
        assert!(end.failed);
        assert_eq!(end.instances[0].why, "it would not");
        assert_eq!(end.notes, ["a note"]);
        assert_eq!(news[0], JobNews::New { instances: vec!["api/0".into()] });
        assert_eq!(news[1], JobNews::Progress(end.instances[0].clone()));
    }

    #[tokio::test]
    async fn a_job_whose_daemon_goes_down_ends_as_failed() {
        let (mut client, mut mailbox) = pair().await;
        tokio::spawn(async move {
            let Some(Ask::Deploy { apps, answer, .. }) = mailbox.recv().await else { panic!("not a deploy") };
            assert_eq!(apps[0].given_name(), Some("api"));
            let (_, updates) = mpsc::unbounded_channel();
            answer.send(Ok(Job { id: JobId(1), instances: Vec::new(), updates })).unwrap();
        });
        let apps = [RawApp::new([("name".to_owned(), "api".into())])];
        assert!(client.start_apps(&apps, &mut |_| {}).await.unwrap().failed);
    }

    #[tokio::test]
    async fn a_refusal_reaches_the_client_with_its_name_and_words() {
        let (mut client, mut mailbox) = pair().await;
        tokio::spawn(async move {
            let Some(Ask::List { answer, .. }) = mailbox.recv().await else { panic!("not a list") };
            answer.send(Err(Refusal::Denied(Denied::NoMatch("api".into())))).unwrap();
        });
        let error = client.list(&["api".into()], Measure::Full).await.unwrap_err();
        assert_eq!(error.to_string(), "nothing matches \"api\"");
        assert_eq!(kind(error), ErrorKind::NoMatch);
        // These never reach the daemon's task.
        assert_eq!(
            kind(client.act("Stop", &["a b".into()], &mut |_| {}).await.unwrap_err()),
            ErrorKind::InvalidArgument
        );
        assert_eq!(kind(client.act("Stop", &[], &mut |_| {}).await.unwrap_err()), ErrorKind::InvalidArgument);
        assert_eq!(kind(client.scale("api", "0x", &mut |_| {}).await.unwrap_err()), ErrorKind::InvalidArgument);
    }

    #[tokio::test]
    async fn logs_come_over_a_descriptor_of_their_own() {
        let (mut client, mut mailbox) = pair().await;
        tokio::spawn(async move {
            let Some(Ask::Logs { query, answer, .. }) = mailbox.recv().await else { panic!("not logs") };
            assert_eq!((query.lines, query.follow, query.events), (3, true, false));
            let (reader, mut writer) = std::io::pipe().unwrap();
            std::io::Write::write_all(&mut writer, b"line").unwrap();
            answer.send(Ok(reader.into())).unwrap();
        });
        let options =
            crate::bus::proxy::LogOptions { lines: 3, since: None, follow: true, out: true, err: true, events: false };
        let mut text = String::new();
        let fd = client.logs(&[], &options).await.unwrap();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "line");
    }

    #[tokio::test]
    async fn a_daemon_that_is_gone_is_an_error_and_no_hang() {
        let (mut client, mailbox) = pair().await;
        drop(mailbox);
        assert_eq!(kind(client.doctor().await.unwrap_err()), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn findings_cross_the_bus() {
        let (mut client, mut mailbox) = pair().await;
        let finding =
            Finding { level: FindingLevel::Bad, subject: "cgroups".into(), text: "x".into(), mend: String::new() };
        let sent = finding.clone();
        tokio::spawn(async move {
            let Some(Ask::Doctor { answer }) = mailbox.recv().await else { panic!("not a doctor") };
            answer.send(vec![sent]).unwrap();
        });
        assert_eq!(client.doctor().await.unwrap(), [finding]);
    }
}
