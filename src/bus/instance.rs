//! `org.stead.Stead1.Instance`: one instance of an app.
//! Owns: its properties and methods. Never: more than the manager does; each method is one of the manager's.

use std::collections::BTreeMap;
use std::sync::Arc;

use zbus::message::Header;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, fdo, interface};

use super::begin::{Acting, begin};
use super::error::Error;
use super::gate::{Call, Gate};
use super::objects::Properties;
use super::options::{Options, read_wait};
use super::wire::{self, ExitRow};
use crate::api::Asked;
use crate::model::ids::InstanceId;
use crate::model::request::Request;
use crate::model::selector::{Generation, Selector, Target};
use crate::model::signal::Signal;
use crate::model::status::{ExitStatus, InstanceView, Measure};

pub(super) const NAME: &str = "org.stead.Stead1.Instance";

#[derive(Debug)]
pub struct Instance {
    pub(super) gate: Arc<Gate>,
    pub(super) id: InstanceId,
}

/// All of them, as signals and the object manager tell of them.
pub(super) fn properties(slot: &InstanceView) -> Properties {
    Properties::from([
        ("Name", Value::from(slot.instance.to_string())),
        ("Id", slot.id.0.into()),
        ("Status", slot.status.as_str().into()),
        ("Generation", generation(slot).into()),
        ("Ready", ready(slot).into()),
        ("Pid", pid(slot).into()),
        ("Outdated", slot.outdated.into()),
        ("Restarts", slot.restarts.into()),
        ("LastExit", last_exit(slot).into()),
    ])
}

fn generation(slot: &InstanceView) -> &'static str {
    slot.procs.first().map_or("", |proc| Generation::as_str(proc.generation))
}

fn ready(slot: &InstanceView) -> bool {
    slot.procs.first().is_some_and(|proc| proc.ready)
}

fn pid(slot: &InstanceView) -> i32 {
    slot.procs.first().and_then(|proc| proc.pid).unwrap_or(0)
}

fn last_exit(slot: &InstanceView) -> ExitRow {
    ExitRow::from(slot.last_exit.as_ref().map(ExitStatus::from))
}

impl Instance {
    async fn view(&self, connection: &Connection, header: Option<Header<'_>>) -> fdo::Result<InstanceView> {
        let snapshot = self.gate.handle.snapshot();
        let found = snapshot
            .apps
            .iter()
            .find(|app| app.spec.name == self.id.app)
            .and_then(|app| Some((app, app.slots.iter().find(|slot| slot.instance == self.id)?)));
        let (app, slot) = found.ok_or_else(|| fdo::Error::UnknownObject(format!("{} is gone", self.id)))?;
        self.gate.may_read(connection, header.as_ref(), |owners| owners.have(&app.spec)).await?;
        Ok(slot.clone())
    }

    fn selectors(&self) -> Vec<Selector> {
        vec![Selector { generation: None, target: Target::Instance(self.id.clone()) }]
    }

    async fn act(
        &self,
        call: Call<'_>,
        verb: &'static str,
        options: Options,
        request: impl FnOnce(Vec<Selector>) -> Request,
    ) -> Result<OwnedObjectPath, Error> {
        let wait = read_wait(options)?;
        begin(&self.gate, call, Acting { verb, wait, selectors: self.selectors() }, request).await
    }
}

/// One instance of an app. Each method is the manager's method of that name.
#[interface(name = "org.stead.Stead1.Instance")]
impl Instance {
    /// Starts it if it is down; rolls it if it is outdated.
    async fn start(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "start", options, |selectors| Request::Start { selectors }).await
    }

    /// Stops it gracefully.
    async fn stop(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "stop", options, |selectors| Request::Stop { selectors }).await
    }

    /// Replaces it; starts it if it is down.
    async fn restart(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "restart", options, |selectors| Request::Restart { selectors }).await
    }

    /// SIGKILL to everything in its cgroup.
    async fn kill(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "kill", options, |selectors| Request::Kill { selectors }).await
    }

    /// Sends a signal, by name or number, to its main process.
    async fn signal(
        &self,
        signal: &str,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let signal = Signal::parse(signal).map_err(|e| Error::argument(e.to_string()))?;
        let call = Call { connection, header: &header };
        self.act(call, "signal", options, |selectors| Request::Signal { selectors, signal }).await
    }

    /// Measured figures, as the manager's GetStats gives them; nothing if it does not run.
    async fn get_stats(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<BTreeMap<String, OwnedValue>, Error> {
        let selectors = self.selectors();
        let (_, owners) = self.gate.view(Call { connection, header: &header }, &selectors).await?;
        let list = self.gate.handle.list(Asked { selectors, owners }, Measure::Full).await?;
        Ok(list.first().filter(|row| row.pid.is_some()).map(wire::stats).unwrap_or_default())
    }

    /// As selectors name it: "api/2".
    #[zbus(property(emits_changed_signal = "const"))]
    async fn name(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<String> {
        Ok(self.view(connection, header).await?.instance.to_string())
    }

    /// Its number among all instances, given to no other while it is there.
    #[zbus(property)]
    async fn id(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<u32> {
        Ok(self.view(connection, header).await?.id.0)
    }

    /// starting, running, stopping, stopped, waiting or errored.
    #[zbus(property)]
    async fn status(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<String> {
        Ok(self.view(connection, header).await?.status.as_str().to_owned())
    }

    /// queue, new, running, old or marked; empty if nothing runs or is queued.
    #[zbus(property)]
    async fn generation(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<String> {
        Ok(generation(&self.view(connection, header).await?).to_owned())
    }

    #[zbus(property)]
    async fn ready(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<bool> {
        Ok(ready(&self.view(connection, header).await?))
    }

    /// Of its main process; 0 if nothing runs.
    #[zbus(property)]
    async fn pid(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<i32> {
        Ok(pid(&self.view(connection, header).await?))
    }

    /// It runs older settings than those deployed.
    #[zbus(property)]
    async fn outdated(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<bool> {
        Ok(self.view(connection, header).await?.outdated)
    }

    /// Those that stead did by itself, since the last reset.
    #[zbus(property)]
    async fn restarts(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<u64> {
        Ok(self.view(connection, header).await?.restarts)
    }

    /// How the latest run ended: reason (empty: none has ended), exit code (negative: none), signal, when (milliseconds
    /// since 1970), and what else there is to say.
    #[zbus(property)]
    async fn last_exit(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<ExitRow> {
        Ok(last_exit(&self.view(connection, header).await?))
    }
}
