//! `org.stead.Stead1.App`: one app.
//! Owns: its properties and methods. Never: more than the manager does; each method is one of the manager's.

use std::sync::Arc;

use zbus::message::Header;
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{Connection, fdo, interface};

use super::arguments::parse_scale;
use super::begin::{Acting, begin};
use super::error::Error;
use super::gate::{Call, Gate};
use super::objects::{Properties, instance_path};
use super::options::{Options, read_wait};
use crate::model::ids::AppName;
use crate::model::request::Request;
use crate::model::selector::{Selector, Target};
use crate::model::status::AppView;

pub(super) const NAME: &str = "org.stead.Stead1.App";

#[derive(Debug)]
pub struct App {
    pub(super) gate: Arc<Gate>,
    pub(super) name: AppName,
}

/// All of them, as signals and the object manager tell of them.
pub(super) fn properties(view: &AppView) -> Properties {
    Properties::from([
        ("Name", Value::from(view.spec.name.to_string())),
        ("Namespace", view.spec.namespace.clone().into()),
        ("User", view.spec.identity.user.clone().into()),
        ("Revision", view.revision.0.into()),
        ("InstancesWanted", view.instances.into()),
        ("NextTime", next_time(view).into()),
        ("Instances", instances(view).into()),
    ])
}

/// Milliseconds since 1970.
fn next_time(view: &AppView) -> u64 {
    view.next_time.map_or(0, |at| at.0 / 1_000_000)
}

fn instances(view: &AppView) -> Vec<OwnedObjectPath> {
    view.slots.iter().map(|slot| instance_path(&slot.instance)).collect()
}

impl App {
    async fn view(&self, connection: &Connection, header: Option<Header<'_>>) -> fdo::Result<Arc<AppView>> {
        let snapshot = self.gate.handle.snapshot();
        let view = snapshot.apps.iter().find(|app| app.spec.name == self.name).cloned();
        let view = view.ok_or_else(|| fdo::Error::UnknownObject(format!("app {} is gone", self.name)))?;
        self.gate.may_read(connection, header.as_ref(), |owners| owners.have(&view.spec)).await?;
        Ok(view)
    }

    async fn act(
        &self,
        call: Call<'_>,
        verb: &'static str,
        options: Options,
        request: impl FnOnce(Vec<Selector>) -> Request,
    ) -> Result<OwnedObjectPath, Error> {
        let selectors = vec![Selector { generation: None, target: Target::App(self.name.clone()) }];
        let wait = read_wait(options)?;
        begin(&self.gate, call, Acting { verb, wait, selectors }, request).await
    }
}

/// One app. Each method is the manager's method of that name.
#[interface(name = "org.stead.Stead1.App")]
impl App {
    /// Starts what is down; rolls what is outdated.
    async fn start(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "start", options, |selectors| Request::Start { selectors }).await
    }

    /// Stops gracefully; the app stays known.
    async fn stop(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "stop", options, |selectors| Request::Stop { selectors }).await
    }

    /// Rolls all of it; starts what is down.
    async fn restart(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "restart", options, |selectors| Request::Restart { selectors }).await
    }

    /// Stops and forgets it.
    async fn delete(
        &self,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let call = Call { connection, header: &header };
        self.act(call, "delete", options, |selectors| Request::Delete { selectors }).await
    }

    /// Changes how many instances it has: "4", "+1", "-1", or "" for the configured count.
    async fn scale(
        &self,
        to: &str,
        options: Options,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let (app, to) = (self.name.clone(), parse_scale(to)?);
        let call = Call { connection, header: &header };
        self.act(call, "scale", options, |_| Request::Scale { app, to }).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn name(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<String> {
        Ok(self.view(connection, header).await?.spec.name.to_string())
    }

    #[zbus(property)]
    async fn namespace(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<String> {
        Ok(self.view(connection, header).await?.spec.namespace.clone())
    }

    /// Whom it runs as.
    #[zbus(property)]
    async fn user(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<String> {
        Ok(self.view(connection, header).await?.spec.identity.user.clone())
    }

    /// Of its settings: one more with each change.
    #[zbus(property)]
    async fn revision(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<u64> {
        Ok(self.view(connection, header).await?.revision.0)
    }

    #[zbus(property)]
    async fn instances_wanted(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<u32> {
        Ok(self.view(connection, header).await?.instances)
    }

    /// When `schedule` runs it next, or `cron_restart` restarts it, in milliseconds since 1970-01-01 UTC; 0: at no time.
    #[zbus(property)]
    async fn next_time(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<u64> {
        Ok(next_time(&*self.view(connection, header).await?))
    }

    /// The objects of its instances.
    #[zbus(property)]
    async fn instances(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<Vec<OwnedObjectPath>> {
        Ok(instances(&*self.view(connection, header).await?))
    }
}
