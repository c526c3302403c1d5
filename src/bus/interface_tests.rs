//! The interfaces as files of the package describe them: `units/org.stead.Stead1.xml` is what the daemon answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use zbus::object_server::Interface;

use super::app::App;
use super::gate::{Action, Door, Gate};
use super::instance::Instance;
use super::job::JobObject;
use super::manager::Manager;
use super::objects::{self, Objects};
use crate::api::{Caller, Handle, LogLevel};
use crate::model::ids::{AppName, Id, InstanceId, Slot};
use crate::model::status::{InstanceView, Snapshot, Status};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn gate() -> Arc<Gate> {
    let snapshots = watch::channel(Arc::new(Snapshot::default())).1;
    let handle = Handle::new(mpsc::channel(1).0, snapshots, watch::channel(LogLevel::Info).0);
    Arc::new(Gate::new(handle, Door::Private(Caller { uid: 0 })))
}

fn name() -> AppName {
    AppName::parse("web").unwrap()
}

fn interfaces() -> String {
    let gate = gate();
    let mut xml = String::from(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n",
    );
    Manager::new(Arc::clone(&gate), Arc::new(Objects::new(Arc::clone(&gate)))).introspect_to_writer(&mut xml, 2);
    App { gate: Arc::clone(&gate), name: name() }.introspect_to_writer(&mut xml, 2);
    let id = InstanceId { app: name(), slot: Slot(0) };
    Instance { gate: Arc::clone(&gate), id }.introspect_to_writer(&mut xml, 2);
    JobObject::new(gate, 1, Vec::new(), Caller { uid: 0 }).introspect_to_writer(&mut xml, 2);
    xml + "</node>\n"
}

/// `UPDATE=1` writes the file.
#[test]
fn the_introspection_file_is_what_is_served() {
    let path = format!("{ROOT}/units/org.stead.Stead1.xml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, interfaces()).unwrap();
    }
    let shipped = std::fs::read_to_string(path).unwrap();
    assert_eq!(shipped, interfaces(), "to write it anew: UPDATE=1 cargo test --lib introspection_file");
}

/// Those of apps are compared by tests/system/bus.rs, on a daemon.
#[test]
fn every_property_is_told_of_by_its_name() {
    let xml = interfaces();
    let of = |interface: &str| -> BTreeSet<String> {
        let from = xml.find(&format!("<interface name=\"{interface}\">")).unwrap();
        let text = &xml[from..from + xml[from..].find("</interface>").unwrap()];
        let names = text.split("<property name=\"").skip(1);
        names.map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
    };
    let slot = InstanceView {
        id: Id(0),
        instance: InstanceId { app: name(), slot: Slot(0) },
        status: Status::Stopped,
        procs: Vec::new(),
        restarts: 0,
        restart_reasons: BTreeMap::new(),
        last_exit: None,
        outdated: false,
        due: None,
    };
    let told =
        |properties: objects::Properties| -> BTreeSet<String> { properties.into_keys().map(str::to_owned).collect() };
    assert_eq!(told(super::instance::properties(&slot)), of(super::instance::NAME));
}

#[test]
fn polkit_knows_every_action_that_it_is_asked_about_and_the_bus_every_interface() {
    let policy = std::fs::read_to_string(format!("{ROOT}/units/org.stead.Stead1.policy")).unwrap();
    let ids: BTreeSet<&str> = policy.split("<action id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids, Action::ALL.iter().map(|action| action.id()).collect());
    let bus = std::fs::read_to_string(format!("{ROOT}/units/org.stead.Stead1.conf")).unwrap();
    let xml = interfaces();
    for interface in xml.split("<interface name=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(bus.contains(&format!("send_interface=\"{interface}\"")), "{interface}");
    }
}
