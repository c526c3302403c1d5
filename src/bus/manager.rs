//! `org.stead.Stead1.Manager`, the whole of the control interface.
//! Owns: the methods' signatures and how their arguments are read. A method that starts a job answers with the job's
//! path at once; signals tell the rest.
//! Never: knows what a request does; it hands it to `api::Handle`.

use std::collections::BTreeMap;

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, OwnedValue};
use zbus::{Connection, fdo, interface};

use super::arguments::{parse_named, parse_scale, parse_selectors, read_apps, read_measure, read_query};
use super::error::{Error, ErrorKind};
use super::job;
use super::options::{Options, refuse_all};
use super::wire::{self, InstanceRow};
use crate::api::{Caller, Handle, Job};
use crate::model::ids::AppName;
use crate::model::request::Request;
use crate::model::signal::Signal;

/// Which way a peer came in, and so how much is known of it.
#[derive(Debug, Clone, Copy)]
pub enum Door {
    /// The socket told who it is when it connected.
    Private(Caller),
    /// Many senders share the connection; each message is looked up.
    System,
}

/// The object at `/org/stead/Stead1`.
#[derive(Debug)]
pub struct Manager {
    handle: Handle,
    door: Door,
}

impl Manager {
    pub fn new(handle: Handle, door: Door) -> Self {
        Self { handle, door }
    }

    async fn admit(&self, connection: &Connection, header: &Header<'_>) -> Result<Caller, Error> {
        match self.door {
            Door::Private(caller) => Ok(caller),
            Door::System => match sender_uid(connection, header).await {
                Some(0) => Ok(Caller { uid: 0 }),
                _ => Err(Error {
                    kind: ErrorKind::AccessDenied,
                    text: "stead serves root only: run it with sudo".to_owned(),
                }),
            },
        }
    }

    async fn submit(&self, from: From<'_>, request: Request) -> Result<OwnedObjectPath, Error> {
        self.admit(from.connection, &from.header).await?;
        from.follow(self.handle.submit(request).await?)
    }
}

/// None if the bus does not know, as when the sender has left meanwhile.
async fn sender_uid(connection: &Connection, header: &Header<'_>) -> Option<u32> {
    let sender = header.sender()?.to_owned();
    let bus = fdo::DBusProxy::new(connection).await.ok()?;
    bus.get_connection_unix_user(sender.into()).await.ok()
}

/// Whence a call came, and so where its job's signals go.
struct From<'a> {
    connection: &'a Connection,
    header: Header<'a>,
}

impl From<'_> {
    fn follow(&self, job: Job) -> Result<OwnedObjectPath, Error> {
        let unavailable = |error: zbus::Error| Error { kind: ErrorKind::Unavailable, text: error.to_string() };
        let mut emitter = SignalEmitter::new(self.connection, super::ROOT).map_err(unavailable)?;
        // On the system bus the asker alone is told: what an app is called is not everyone's business.
        if let Some(sender) = self.header.sender() {
            emitter = emitter.set_destination(sender.to_owned().into());
        }
        let path = job::path(job.id);
        tokio::spawn(job::announce(job, emitter.into_owned()));
        Ok(path)
    }
}

#[interface(name = "org.stead.Stead1.Manager")]
impl Manager {
    /// Deploys apps, all or none: a new one starts, a changed one is rolled, an equal one gets what is down started.
    /// Each app is a dictionary of config keys.
    async fn start_apps(
        &self,
        apps: Vec<BTreeMap<String, OwnedValue>>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = self.admit(connection, &header).await?;
        refuse_all(options)?;
        let job = self.handle.deploy(read_apps(apps)?, caller).await?;
        From { connection, header }.follow(job)
    }

    /// Starts what is down, with the settings it has; rolls what is outdated.
    async fn start(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let request = Request::Start { selectors: parse_named(&selectors)? };
        self.submit(From { connection, header }, request).await
    }

    /// Stops gracefully; the app stays known.
    async fn stop(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let request = Request::Stop { selectors: parse_named(&selectors)? };
        self.submit(From { connection, header }, request).await
    }

    /// Rolls everything selected; starts what is down.
    async fn restart(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let request = Request::Restart { selectors: parse_named(&selectors)? };
        self.submit(From { connection, header }, request).await
    }

    /// SIGKILL to everything in the instances' cgroups.
    async fn kill(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let request = Request::Kill { selectors: parse_named(&selectors)? };
        self.submit(From { connection, header }, request).await
    }

    /// Stops and forgets whole apps.
    async fn delete(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let request = Request::Delete { selectors: parse_named(&selectors)? };
        self.submit(From { connection, header }, request).await
    }

    /// Counters and back-off to zero; what is errored becomes stopped.
    async fn reset(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let request = Request::Reset { selectors: parse_named(&selectors)? };
        self.submit(From { connection, header }, request).await
    }

    /// Sends a signal, by name or number, to the main process of each instance.
    async fn signal(
        &self,
        selectors: Vec<String>,
        signal: &str,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let signal = Signal::parse(signal).map_err(|e| Error::argument(e.to_string()))?;
        let request = Request::Signal { selectors: parse_named(&selectors)?, signal };
        self.submit(From { connection, header }, request).await
    }

    /// Changes how many instances an app has: "4", "+1", "-1", or "" for the configured count.
    async fn scale(
        &self,
        app: &str,
        to: &str,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        let app = AppName::parse(app).map_err(|e| Error::argument(e.to_string()))?;
        let request = Request::Scale { app, to: parse_scale(to)? };
        self.submit(From { connection, header }, request).await
    }

    /// Stops everything, then the daemon and the holder. What was running is wanted again at the next start.
    async fn shutdown(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        refuse_all(options)?;
        self.submit(From { connection, header }, Request::Shutdown).await
    }

    /// Keeps what is wanted now under a name; answers how many apps that are.
    async fn save(
        &self,
        name: String,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32, Error> {
        self.admit(connection, &header).await?;
        refuse_all(options)?;
        Ok(self.handle.save(name).await?)
    }

    /// Brings up what was up when it was saved: apps that are gone as they were then, apps that are down as they are now.
    async fn resurrect(
        &self,
        name: String,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        self.admit(connection, &header).await?;
        refuse_all(options)?;
        let job = self.handle.resurrect(name).await?;
        From { connection, header }.follow(job)
    }

    /// Replaces the daemon, and then the holder, by the programs on disk. No app is touched. The connection ends when
    /// this daemon does; if it does not, the daemon's log says why.
    async fn upgrade(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.admit(connection, &header).await?;
        refuse_all(options)?;
        Ok(self.handle.upgrade().await?)
    }

    /// What StartApps would do: (app, instance or "", action, why).
    async fn plan_apps(
        &self,
        apps: Vec<BTreeMap<String, OwnedValue>>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<(String, String, String, String)>, Error> {
        let caller = self.admit(connection, &header).await?;
        refuse_all(options)?;
        let plan = self.handle.plan(read_apps(apps)?, caller).await?;
        Ok(plan.into_iter().map(wire::plan_to_wire).collect())
    }

    /// One struct for each instance, figures fresh; all of them if no selector is given. Option: measure (s), "nothing",
    /// "brief" (memory, the CPU share and ports: quicker) or "full".
    async fn list_instances(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<InstanceRow>, Error> {
        self.admit(connection, &header).await?;
        let measure = read_measure(options)?;
        let list = self.handle.list(parse_selectors(&selectors)?, measure).await?;
        Ok(list.into_iter().map(InstanceRow::from).collect())
    }

    /// Whole apps: settings, instances, and what there is to say of each.
    async fn show_apps(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BTreeMap<String, OwnedValue>>, Error> {
        self.admit(connection, &header).await?;
        refuse_all(options)?;
        let apps = self.handle.show(parse_selectors(&selectors)?).await?;
        Ok(apps.into_iter().map(wire::app_to_dict).collect())
    }

    /// The read end of a pipe on which log lines come in frames. Options: lines (u), since (t, ns), follow, out, err,
    /// events (b).
    async fn follow_logs(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedFd, Error> {
        self.admit(connection, &header).await?;
        let query = read_query(&selectors, options)?;
        Ok(self.handle.logs(query).await?.into())
    }

    /// Empties the log files of the selected apps; the answer names the files.
    async fn flush_logs(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<String>, Error> {
        self.admit(connection, &header).await?;
        refuse_all(options)?;
        Ok(self.handle.flush(parse_named(&selectors)?).await?)
    }

    /// What stead found on this host: (level, subject, text, mend).
    async fn doctor(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<(String, String, String, String)>, Error> {
        self.admit(connection, &header).await?;
        Ok(self.handle.doctor().await?.into_iter().map(wire::finding_to_wire).collect())
    }

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    /// A job has begun, concerning these instances. It may come before the reply that carries the job's path.
    #[zbus(signal)]
    pub(super) async fn job_new(
        emitter: &SignalEmitter<'_>,
        id: u64,
        job: ObjectPath<'_>,
        instances: Vec<String>,
    ) -> zbus::Result<()>;

    /// A job is done with one instance: started, unchanged, replaced, stopped, signalled, reset, failed, superseded.
    #[zbus(signal)]
    pub(super) async fn job_progress(
        emitter: &SignalEmitter<'_>,
        id: u64,
        instance: &str,
        result: &str,
        why: &str,
    ) -> zbus::Result<()>;

    /// A job is over, "done" or "failed": (instance, result, why) for each, and notes for the person who asked.
    #[zbus(signal)]
    pub(super) async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u64,
        job: ObjectPath<'_>,
        result: &str,
        outcomes: Vec<(String, String, String)>,
        notes: Vec<String>,
    ) -> zbus::Result<()>;
}
