//! Apps and instances as objects.
//! Owns: their paths and properties, which objects there are on a connection, and the signals when one changes.
//! Never: measures. A figure that changes all the time is a method's answer; as a property it would be a storm of signals.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zbus::message::Header;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, fdo, interface};

use super::ROOT;
use super::app::{self, App};
use super::gate::{Call, Gate, fdo_error};
use super::instance::{self, Instance};
use crate::api::Owners;
use crate::model::ids::{AppName, InstanceId};
use crate::model::status::{AppView, InstanceView, Snapshot};

/// What changes within this time is told in one signal.
const GATHER: Duration = Duration::from_millis(50);

pub(super) type Properties = HashMap<&'static str, Value<'static>>;

/// `/org/stead/Stead1/app/web`. As systemd does it: every byte that may not stand in a path becomes `_` and two digits.
pub(super) fn app_path(app: &AppName) -> OwnedObjectPath {
    let mut path = format!("{ROOT}/app/");
    for byte in app.as_str().bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    ObjectPath::from_string_unchecked(path).into()
}

/// `/org/stead/Stead1/app/web/instance/2`.
pub(super) fn instance_path(instance: &InstanceId) -> OwnedObjectPath {
    let path = format!("{}/instance/{}", app_path(&instance.app).as_str(), instance.slot.0);
    ObjectPath::from_string_unchecked(path).into()
}

/// The objects on one connection.
#[derive(Debug)]
pub struct Objects {
    gate: Arc<Gate>,
    served: AtomicBool,
}

impl Objects {
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, served: AtomicBool::new(false) }
    }

    /// Puts an object on the connection for each app and instance, from now on; those of now are there when it returns.
    pub(super) async fn serve(&self, connection: &Connection) {
        if self.served.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut shown = Shown { gate: Arc::clone(&self.gate), now: Arc::default() };
        let mut news = self.gate.handle.watch();
        let now = news.borrow_and_update().clone();
        shown.show(connection, now).await;
        let connection = connection.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = news.changed() => if changed.is_err() { return },
                    () = connection.closed() => return,
                }
                tokio::time::sleep(GATHER).await;
                let now = news.borrow_and_update().clone();
                shown.show(&connection, now).await;
            }
        });
    }
}

/// What was told last.
struct Shown {
    gate: Arc<Gate>,
    now: Arc<Snapshot>,
}

impl Shown {
    /// A signal that cannot be sent has nobody to hear it: the connection is closing.
    async fn show(&mut self, connection: &Connection, new: Arc<Snapshot>) {
        let old = std::mem::replace(&mut self.now, new);
        let known: BTreeMap<&AppName, &Arc<AppView>> = old.apps.iter().map(|app| (&app.spec.name, app)).collect();
        let now: BTreeMap<&AppName, &Arc<AppView>> = self.now.apps.iter().map(|app| (&app.spec.name, app)).collect();
        for (name, app) in known.iter().filter(|(name, _)| !now.contains_key(*name)) {
            for slot in &app.slots {
                let _ = connection.object_server().remove::<Instance, _>(instance_path(&slot.instance)).await;
            }
            let _ = connection.object_server().remove::<App, _>(app_path(name)).await;
        }
        for (name, app) in now {
            match known.get(name) {
                Some(old) if Arc::ptr_eq(old, app) => {}
                old => self.show_app(connection, old.map(|old| &***old), app).await,
            }
        }
    }

    async fn show_app(&self, connection: &Connection, old: Option<&AppView>, new: &AppView) {
        let path = app_path(&new.spec.name);
        match old {
            None => {
                let object = App { gate: Arc::clone(&self.gate), name: new.spec.name.clone() };
                let _ = connection.object_server().at(path, object).await;
            }
            Some(old) => tell(connection, path, app::NAME, &app::properties(old), app::properties(new)).await,
        }
        let known =
            |slot: &InstanceView| old.and_then(|old| old.slots.iter().find(|one| one.instance == slot.instance));
        for slot in old.into_iter().flat_map(|old| &old.slots) {
            if !new.slots.iter().any(|one| one.instance == slot.instance) {
                let _ = connection.object_server().remove::<Instance, _>(instance_path(&slot.instance)).await;
            }
        }
        for slot in &new.slots {
            let path = instance_path(&slot.instance);
            match known(slot) {
                None => {
                    let object = Instance { gate: Arc::clone(&self.gate), id: slot.instance.clone() };
                    let _ = connection.object_server().at(path, object).await;
                }
                Some(old) if old == slot => {}
                Some(old) => {
                    tell(connection, path, instance::NAME, &instance::properties(old), instance::properties(slot))
                        .await;
                }
            }
        }
    }
}

async fn tell(
    connection: &Connection,
    path: OwnedObjectPath,
    interface: &'static str,
    old: &Properties,
    mut new: Properties,
) {
    new.retain(|name, value| old.get(name) != Some(value));
    if new.is_empty() {
        return;
    }
    let Ok(emitter) = SignalEmitter::new(connection, path) else { return };
    let interface = InterfaceName::from_static_str_unchecked(interface);
    let _ = fdo::Properties::properties_changed(&emitter, interface, new, Vec::new().into()).await;
}

/// The object manager: every app and instance that the caller may see.
#[derive(Debug)]
pub struct ObjectManager {
    pub gate: Arc<Gate>,
    pub objects: Arc<Objects>,
}

type Interfaces = BTreeMap<String, BTreeMap<String, OwnedValue>>;

/// Every app and instance as an object, as the D-Bus specification has it.
#[interface(name = "org.freedesktop.DBus.ObjectManager", introspection_docs = false)]
impl ObjectManager {
    async fn get_managed_objects(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> fdo::Result<HashMap<OwnedObjectPath, Interfaces>> {
        self.objects.serve(connection).await;
        let (_, owners) = self.gate.view(Call { connection, header: &header }, &[]).await.map_err(fdo_error)?;
        Ok(managed(&self.gate.handle.snapshot(), &owners))
    }

    #[zbus(signal)]
    async fn interfaces_added(
        emitter: &SignalEmitter<'_>,
        object: ObjectPath<'_>,
        interfaces: Interfaces,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn interfaces_removed(
        emitter: &SignalEmitter<'_>,
        object: ObjectPath<'_>,
        interfaces: Vec<String>,
    ) -> zbus::Result<()>;
}

fn managed(snapshot: &Snapshot, owners: &Owners) -> HashMap<OwnedObjectPath, Interfaces> {
    let mut objects = HashMap::new();
    let mut put = |path: OwnedObjectPath, interface: &str, properties: Properties| {
        let owned = properties
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), OwnedValue::try_from(value).ok()?)));
        objects.insert(path, Interfaces::from([(interface.to_owned(), owned.collect())]));
    };
    for view in snapshot.apps.iter().filter(|view| owners.have(&view.spec)) {
        put(app_path(&view.spec.name), app::NAME, app::properties(view));
        for slot in &view.slots {
            put(instance_path(&slot.instance), instance::NAME, instance::properties(slot));
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Slot;

    #[test]
    fn a_name_becomes_a_path_that_no_other_name_has() {
        let path = |name| app_path(&AppName::parse(name).unwrap()).as_str().to_owned();
        assert_eq!(path("web"), "/org/stead/Stead1/app/web");
        assert_eq!(path("a.b-c_d"), "/org/stead/Stead1/app/a_2eb_2dc_5fd");
        let instance = InstanceId { app: AppName::parse("web").unwrap(), slot: Slot(3) };
        assert_eq!(instance_path(&instance).as_str(), "/org/stead/Stead1/app/web/instance/3");
    }
}
