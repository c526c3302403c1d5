//! `org.stead.Stead1.Manager`, the whole of the control interface.
//! Owns: the methods' signatures. A method that starts a job answers with the job's path at once, or, with the option
//! wait, when the job is over; signals tell the rest.
//! Never: knows what a request does; it hands it to `api::Handle`. Never lets anybody in; the gate does.

use std::collections::BTreeMap;
use std::sync::Arc;

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, OwnedValue};
use zbus::{Connection, interface};

use super::arguments::{
    parse_named, parse_scale, parse_selectors, read_apps, read_file, read_format, read_measure, read_query,
};
use super::begin::{Acting, begin, follow};
use super::error::Error;
use super::gate::{Call, Gate};
use super::objects::{Objects, app_path, instance_path};
use super::options::{Options, read_wait, refuse_all};
use super::wire::{self, InstanceRow};
use crate::api::{Asked, Owners};
use crate::model::ids::AppName;
use crate::model::request::Request;
use crate::model::selector::{Selector, Target};
use crate::model::signal::Signal;
use crate::model::status::Measure;

/// The object at `/org/stead/Stead1`.
#[derive(Debug)]
pub struct Manager {
    gate: Arc<Gate>,
    objects: Arc<Objects>,
}

impl Manager {
    pub fn new(gate: Arc<Gate>, objects: Arc<Objects>) -> Self {
        Self { gate, objects }
    }

    async fn act(
        &self,
        call: Call<'_>,
        verb: &'static str,
        selectors: &[String],
        options: Options,
        request: impl FnOnce(Vec<Selector>) -> Request,
    ) -> Result<OwnedObjectPath, Error> {
        let wait = read_wait(options)?;
        let selectors = parse_named(selectors)?;
        begin(&self.gate, call, Acting { verb, wait, selectors }, request).await
    }

    async fn asked(&self, call: Call<'_>, selectors: Vec<Selector>) -> Result<Asked, Error> {
        let (_, owners) = self.gate.view(call, &selectors).await?;
        Ok(Asked { selectors, owners })
    }

    async fn one(&self, call: Call<'_>, text: &str) -> Result<Target, Error> {
        let selectors = parse_named(&[text.to_owned()])?;
        let asked = self.asked(call, selectors.clone()).await?;
        self.gate.handle.list(asked, Measure::Nothing).await?;
        self.objects.serve(call.connection).await;
        selectors
            .into_iter()
            .next()
            .map(|selector| selector.target)
            .ok_or_else(|| Error::argument("no selector is given"))
    }
}

#[interface(name = "org.stead.Stead1.Manager")]
impl Manager {
    /// Deploys apps, all or none: a new one starts, a changed one is rolled, an equal one gets what is down started.
    /// Each app is a dictionary of config keys, with absolute paths. Option, here and in each method that begins a job:
    /// wait (b), to be answered when the job is over, with Error.JobFailed if it failed.
    async fn start_apps(
        &self,
        apps: Vec<BTreeMap<String, OwnedValue>>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        let wait = read_wait(options)?;
        let apps = read_apps(apps)?;
        let names: Vec<String> = apps.iter().filter_map(|app| app.given_name()).map(str::to_owned).collect();
        let (caller, owners) = self.gate.deploy(call, &names).await?;
        let job = self.gate.handle.deploy(apps, caller, owners).await?;
        follow(&self.gate, call, job, wait).await
    }

    /// The same for one app.
    async fn start_app(
        &self,
        app: BTreeMap<String, OwnedValue>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        self.start_apps(vec![app], options, connection, header).await
    }

    /// Deploys the apps of a config file that is sent as text. Options: name (s), for errors; base_dir (s), where its
    /// relative paths begin; profile (s); wait (b).
    async fn start_file(
        &self,
        content: String,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        let (file, wait) = read_file(content, options)?;
        let caller = self.gate.person(call).await?.caller;
        let apps = self.gate.handle.apps_of(file.clone(), caller).await?;
        let (caller, owners) = self.gate.deploy(call, &apps).await?;
        let job = self.gate.handle.deploy_file(file, caller, owners).await?;
        follow(&self.gate, call, job, wait).await
    }

    /// What is wrong in a config file that is sent as text: nothing, or every error. Options: as in StartFile.
    async fn check(
        &self,
        content: String,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<String>, Error> {
        let person = self.gate.person(Call { connection, header: &header }).await?;
        let (file, _) = read_file(content, options)?;
        Ok(self.gate.handle.check(file, person.caller).await?)
    }

    /// What StartApps would do: (app, instance or "", action, why).
    async fn plan_apps(
        &self,
        apps: Vec<BTreeMap<String, OwnedValue>>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<(String, String, String, String)>, Error> {
        let person = self.gate.person(Call { connection, header: &header }).await?;
        refuse_all(options)?;
        let plan = self.gate.handle.plan(read_apps(apps)?, person.caller, person.owners()).await?;
        Ok(plan.into_iter().map(wire::plan_to_wire).collect())
    }

    /// Starts what is down, with the settings it has; rolls what is outdated.
    async fn start(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "start", &selectors, options, |selectors| Request::Start { selectors }).await
    }

    /// Stops gracefully; the app stays known.
    async fn stop(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "stop", &selectors, options, |selectors| Request::Stop { selectors }).await
    }

    /// Rolls everything selected; starts what is down.
    async fn restart(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "restart", &selectors, options, |selectors| Request::Restart { selectors }).await
    }

    /// SIGKILL to everything in the instances' cgroups.
    async fn kill(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "kill", &selectors, options, |selectors| Request::Kill { selectors }).await
    }

    /// Stops and forgets whole apps.
    async fn delete(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "delete", &selectors, options, |selectors| Request::Delete { selectors }).await
    }

    /// Counters and back-off to zero; what is errored becomes stopped.
    async fn reset(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "reset", &selectors, options, |selectors| Request::Reset { selectors }).await
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
        let call = Call { connection, header: &header };
        let signal = Signal::parse(signal).map_err(|e| Error::argument(e.to_string()))?;
        self.act(call, "signal", &selectors, options, |selectors| Request::Signal { selectors, signal }).await
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
        let wait = read_wait(options)?;
        let app = AppName::parse(app).map_err(|e| Error::argument(e.to_string()))?;
        let to = parse_scale(to)?;
        let selectors = vec![Selector { generation: None, target: Target::App(app.clone()) }];
        let acting = Acting { verb: "scale", wait, selectors };
        begin(&self.gate, Call { connection, header: &header }, acting, |_| Request::Scale { app, to }).await
    }

    /// Stops everything, then the daemon and the holder. What was running is wanted again at the next start.
    async fn shutdown(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        let wait = read_wait(options)?;
        self.gate.daemon(call, "shutdown").await?;
        let job = self.gate.handle.submit(Request::Shutdown, Owners::Everybody).await?;
        follow(&self.gate, call, job, wait).await
    }

    /// Keeps what is wanted now under a name; answers how many apps that are.
    async fn save(
        &self,
        name: String,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32, Error> {
        refuse_all(options)?;
        self.gate.daemon(Call { connection, header: &header }, "save").await?;
        Ok(self.gate.handle.save(name).await?)
    }

    /// Brings up what was up when it was saved: apps that are gone as they were then, apps that are down as they are now.
    async fn resurrect(
        &self,
        name: String,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        let wait = read_wait(options)?;
        self.gate.daemon(call, "resurrect").await?;
        let job = self.gate.handle.resurrect(name).await?;
        follow(&self.gate, call, job, wait).await
    }

    /// Reads the files of apps.d again. What is new there, or is not as it was, is deployed: all or, if any file is wrong,
    /// nothing. An app that a person has stopped stays stopped, and one whose file is gone runs on.
    async fn reload(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        let wait = read_wait(options)?;
        self.gate.daemon(call, "reload").await?;
        let job = self.gate.handle.reload().await?;
        follow(&self.gate, call, job, wait).await
    }

    /// Replaces the daemon, and then the holder, by the programs on disk. No app is touched. The connection ends when
    /// this daemon does; if it does not, the daemon's log says why.
    async fn upgrade(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        refuse_all(options)?;
        self.gate.daemon(Call { connection, header: &header }, "upgrade").await?;
        Ok(self.gate.handle.upgrade().await?)
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
        let measure = read_measure(options)?;
        let asked = self.asked(Call { connection, header: &header }, parse_selectors(&selectors)?).await?;
        let list = self.gate.handle.list(asked, measure).await?;
        Ok(list.into_iter().map(InstanceRow::from).collect())
    }

    /// Measured figures by instance, of those that run: memory_bytes, memory_peak_bytes, tasks, uptime_ms (t),
    /// cpu_percent (d), ports (aq). What is not known is left out.
    async fn get_stats(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<BTreeMap<String, BTreeMap<String, OwnedValue>>, Error> {
        refuse_all(options)?;
        let asked = self.asked(Call { connection, header: &header }, parse_selectors(&selectors)?).await?;
        let list = self.gate.handle.list(asked, Measure::Full).await?;
        Ok(list.iter().filter(|row| row.pid.is_some()).map(|row| (row.instance.clone(), wire::stats(row))).collect())
    }

    /// Figures of every instance that the caller may see, and of stead itself, as machines read them. Option: format (s),
    /// "openmetrics" or "text", which is Prometheus' older format.
    async fn get_metrics(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Error> {
        let format = read_format(options)?;
        let (_, owners) = self.gate.view(Call { connection, header: &header }, &[]).await?;
        Ok(self.gate.handle.metrics(owners, format).await?)
    }

    /// Whole apps: settings, instances, and what there is to say of each. Values of environment variables are shown to
    /// root and to the user whom the app runs as.
    async fn show_apps(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BTreeMap<String, OwnedValue>>, Error> {
        refuse_all(options)?;
        let selectors = parse_selectors(&selectors)?;
        let (person, owners) = self.gate.view(Call { connection, header: &header }, &selectors).await?;
        let own = person.owners();
        let apps = self.gate.handle.show(Asked { selectors, owners }).await?;
        let apps = apps.into_iter().map(|app| if own.are(&app.user) { app } else { app.without_secrets() });
        Ok(apps.map(wire::app_to_dict).collect())
    }

    /// The object of an app.
    async fn get_app(
        &self,
        name: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        match self.one(Call { connection, header: &header }, name).await? {
            Target::App(app) => Ok(app_path(&app)),
            _ => Err(Error::argument(format!("\"{name}\" is not the name of an app"))),
        }
    }

    /// The object of an instance, as in "api/2".
    async fn get_instance(
        &self,
        name: &str,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        match self.one(Call { connection, header: &header }, name).await? {
            Target::Instance(instance) => Ok(instance_path(&instance)),
            _ => Err(Error::argument(format!("\"{name}\" is not an instance: write it as in \"api/2\""))),
        }
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
        let query = read_query(&selectors, options)?;
        let (_, owners) = self.gate.view(Call { connection, header: &header }, &query.selectors).await?;
        Ok(self.gate.handle.logs(query, owners).await?.into())
    }

    /// Empties the log files of the selected apps; the answer names the files.
    async fn flush_logs(
        &self,
        selectors: Vec<String>,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<String>, Error> {
        refuse_all(options)?;
        let selectors = parse_named(&selectors)?;
        let (_, owners) = self.gate.manage(Call { connection, header: &header }, "flush", &selectors).await?;
        Ok(self.gate.handle.flush(Asked { selectors, owners }).await?)
    }

    /// What stead found on this host: (level, subject, text, mend).
    async fn doctor(&self) -> Result<Vec<(String, String, String, String)>, Error> {
        Ok(self.gate.handle.doctor().await?.into_iter().map(wire::finding_to_wire).collect())
    }

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    /// A job has begun, concerning these instances. It may come before the reply that carries the job's path. Signals of
    /// jobs go to whoever asked for the job.
    #[zbus(signal)]
    pub(super) async fn job_new(
        emitter: &SignalEmitter<'_>,
        id: u64,
        job: ObjectPath<'_>,
        instances: Vec<String>,
    ) -> zbus::Result<()>;

    /// A job is done with one instance: started, unchanged, scheduled, registered, replaced, stopped, signalled, reset, failed, superseded.
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
