//! What answers look like on the bus.
//! Owns: the structs of `ListInstances`, the dictionaries of `ShowApps`, and the marks for "none": an empty string, a
//! negative number, pid 0. D-Bus has no optional type, and a struct with fixed members is what makes a list of hundreds
//! cheap; growth goes into the dictionary at its end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zbus::zvariant::{self, OwnedValue, Type};

use super::error::Error;
use super::value;
pub use crate::api::{AppDetail, Finding, FindingLevel, PlanLine};
use crate::api::{Node, Value};
use crate::model::selector::Generation;
use crate::model::status::{ExitStatus, InstanceDetail, InstanceStatus};

type Dict = BTreeMap<String, OwnedValue>;

/// One instance, in the order of `InstanceStatus`.
#[derive(Debug, Clone, Serialize, Deserialize, Type)]
pub struct InstanceRow {
    id: u32,
    app: String,
    instance: String,
    namespace: String,
    /// 0: nothing runs.
    pid: i32,
    status: Cow<'static, str>,
    /// Empty: nothing runs or is queued.
    generation: Cow<'static, str>,
    ready: bool,
    revision: u64,
    outdated: bool,
    /// Here and below, negative: not known, or nothing to know.
    uptime_ms: i64,
    restarts: u64,
    memory_bytes: i64,
    memory_peak_bytes: i64,
    cpu_percent: f64,
    tasks: i64,
    ports: Vec<u16>,
    /// Empty: none.
    cgroup: String,
    user: String,
    last_exit: ExitRow,
    /// For what came later: memory_limit_bytes (t).
    more: Dict,
}

const LIMIT: &str = "memory_limit_bytes";

/// How the latest run ended.
#[derive(Debug, Clone, Serialize, Deserialize, Type, zvariant::Value, zvariant::OwnedValue)]
pub struct ExitRow {
    /// Empty: it never ended.
    reason: String,
    /// Negative: none.
    code: i32,
    /// Empty: none.
    signal: String,
    /// Milliseconds since 1970-01-01 UTC.
    at: u64,
    /// Empty: none.
    message: String,
}

impl From<Option<ExitStatus>> for ExitRow {
    fn from(exit: Option<ExitStatus>) -> Self {
        let none = ExitStatus { reason: String::new(), code: None, signal: None, at: 0, message: None };
        let exit = exit.unwrap_or(none);
        Self {
            reason: exit.reason,
            code: exit.code.unwrap_or(-1),
            signal: exit.signal.unwrap_or_default(),
            at: exit.at,
            message: exit.message.unwrap_or_default(),
        }
    }
}

fn number(value: Option<u64>) -> i64 {
    value.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX))
}

fn text(text: String) -> OwnedValue {
    OwnedValue::from(zvariant::Str::from(text))
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<InstanceStatus> for InstanceRow {
    fn from(s: InstanceStatus) -> Self {
        let mut more = Dict::new();
        let next_time = s.next_time.map(|at| ("next_time", OwnedValue::from(at)));
        let waits_for = s.waits_for.map(|what| ("waits_for", text(what)));
        let limit = s.memory_limit_bytes.map(|bytes| (LIMIT, OwnedValue::from(bytes)));
        more.extend([next_time, waits_for, limit].into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
        InstanceRow {
            id: s.id,
            app: s.app,
            instance: s.instance,
            namespace: s.namespace,
            pid: s.pid.unwrap_or(0),
            status: Cow::Borrowed(s.status.as_str()),
            generation: Cow::Borrowed(s.generation.map_or("", Generation::as_str)),
            ready: s.ready,
            revision: s.revision,
            outdated: s.outdated,
            uptime_ms: number(s.uptime_ms),
            restarts: s.restarts,
            memory_bytes: number(s.memory_bytes),
            memory_peak_bytes: number(s.memory_peak_bytes),
            cpu_percent: s.cpu_percent.unwrap_or(-1.0),
            tasks: number(s.tasks),
            ports: s.ports,
            cgroup: s.cgroup.unwrap_or_default(),
            user: s.user,
            last_exit: ExitRow::from(s.last_exit),
            more,
        }
    }
}

impl TryFrom<InstanceRow> for InstanceStatus {
    type Error = Error;

    /// Fails only on a word that a newer daemon knows and this program does not.
    fn try_from(row: InstanceRow) -> Result<Self, Error> {
        let last_exit = given(row.last_exit.reason).map(|reason| ExitStatus {
            reason,
            code: Some(row.last_exit.code).filter(|code| *code >= 0),
            signal: given(row.last_exit.signal),
            at: row.last_exit.at,
            message: given(row.last_exit.message),
        });
        let mut rest = row.more;
        let mut more = |name: &str| rest.remove(name);
        Ok(InstanceStatus {
            id: row.id,
            app: row.app,
            instance: row.instance,
            namespace: row.namespace,
            pid: Some(row.pid).filter(|pid| *pid > 0),
            status: word(&row.status)?,
            generation: if row.generation.is_empty() { None } else { Some(word(&row.generation)?) },
            ready: row.ready,
            revision: row.revision,
            outdated: row.outdated,
            uptime_ms: u64::try_from(row.uptime_ms).ok(),
            restarts: row.restarts,
            memory_bytes: u64::try_from(row.memory_bytes).ok(),
            memory_peak_bytes: u64::try_from(row.memory_peak_bytes).ok(),
            memory_limit_bytes: more(LIMIT).and_then(|limit| u64::try_from(limit).ok()),
            cpu_percent: Some(row.cpu_percent).filter(|percent| *percent >= 0.0),
            tasks: u64::try_from(row.tasks).ok(),
            ports: row.ports,
            cgroup: given(row.cgroup),
            user: row.user,
            last_exit,
            next_time: more("next_time").and_then(|at| u64::try_from(at).ok()),
            waits_for: more("waits_for").and_then(|what| String::try_from(what).ok()),
        })
    }
}

/// The measured figures of an instance; what is not known is left out.
pub fn stats(row: &InstanceStatus) -> Dict {
    let numbers = [
        ("memory_bytes", row.memory_bytes),
        ("memory_peak_bytes", row.memory_peak_bytes),
        ("tasks", row.tasks),
        ("uptime_ms", row.uptime_ms),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name, OwnedValue::from(value?))));
    let cpu = row.cpu_percent.map(|percent| ("cpu_percent", OwnedValue::from(percent)));
    let ports = OwnedValue::try_from(zbus::zvariant::Array::from(row.ports.clone())).map(|ports| ("ports", ports));
    numbers.chain(cpu).chain(ports.ok()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads an enum by the name that serde gives it.
fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    use serde::de::IntoDeserializer;
    use serde::de::value::Error as Unknown;
    let reader: serde::de::value::StrDeserializer<'_, Unknown> = text.into_deserializer();
    T::deserialize(reader).map_err(|error| Error::argument(error.to_string()))
}

/// (app, instance or "", action, why).
pub fn plan_to_wire(line: PlanLine) -> (String, String, String, String) {
    (line.app, line.instance.unwrap_or_default(), line.action, line.why)
}

/// The inverse of `plan_to_wire`.
pub fn plan_from_wire((app, instance, action, why): (String, String, String, String)) -> PlanLine {
    PlanLine { app, instance: given(instance), action, why }
}

/// (level, subject, text, mend).
pub fn finding_to_wire(finding: Finding) -> (String, String, String, String) {
    let level = match finding.level {
        FindingLevel::Good => "good",
        FindingLevel::Note => "note",
        FindingLevel::Bad => "bad",
    };
    (level.to_owned(), finding.subject, finding.text, finding.mend)
}

/// The inverse of `finding_to_wire`.
pub fn finding_from_wire(wire: (String, String, String, String)) -> Result<Finding, Error> {
    Ok(Finding { level: word(&wire.0)?, subject: wire.1, text: wire.2, mend: wire.3 })
}

/// An app of `ShowApps`: name, namespace, user, revision, instances_wanted, spec (a{sv}), instances (an array of a{sv}).
pub fn app_to_dict(app: AppDetail) -> Dict {
    let instances = app.instances.iter().map(|detail| {
        let json = serde_json::to_value(detail).expect("a status has string keys only and nothing that cannot be JSON");
        Node { value: from_json(json).unwrap_or(Value::Table(Vec::new())), span: None }
    });
    value::pairs_to_dict(vec![
        ("name".to_owned(), app.name.into()),
        ("namespace".to_owned(), app.namespace.into()),
        ("user".to_owned(), app.user.into()),
        ("revision".to_owned(), Value::Int(app.revision.cast_signed())),
        ("instances_wanted".to_owned(), Value::Int(app.instances_wanted.into())),
        ("spec".to_owned(), Value::table(app.spec)),
        ("instances".to_owned(), Value::List(instances.collect())),
    ])
}

/// The inverse of `app_to_dict`. Keys of a newer daemon are passed over.
pub fn app_from_dict(dict: &Dict) -> Result<AppDetail, Error> {
    let app = value::app_from_dict(dict)?;
    let mut parts = BTreeMap::new();
    for entry in app.entries {
        parts.insert(entry.key, entry.node.value);
    }
    let mut part = |key: &str| parts.remove(key).ok_or_else(|| Error::argument(format!("\"{key}\" is missing")));
    let spec = match part("spec")? {
        Value::Table(entries) => entries.into_iter().map(|entry| (entry.key, entry.node.value)).collect(),
        _ => Vec::new(),
    };
    Ok(AppDetail {
        name: typed(part("name")?)?,
        namespace: typed(part("namespace")?)?,
        user: typed(part("user")?)?,
        revision: typed(part("revision")?)?,
        instances_wanted: typed(part("instances_wanted")?)?,
        spec,
        instances: typed::<Vec<InstanceDetail>>(part("instances")?)?,
    })
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(to_json(&value)).map_err(|error| Error::argument(error.to_string()))
}

/// A status has its names from serde, in `list --json` and here alike, so it goes by way of JSON. None for null: what
/// is not known is left out.
fn from_json(json: serde_json::Value) -> Option<Value> {
    use serde_json::Value as J;
    Some(match json {
        J::Null => return None,
        J::Bool(b) => Value::Bool(b),
        J::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Value::Int(n),
            (None, Some(_)) => Value::Int(i64::MAX),
            (None, None) => Value::Float(n.as_f64().unwrap_or(0.0)),
        },
        J::String(s) => Value::Str(s),
        J::Array(items) => {
            Value::List(items.into_iter().filter_map(from_json).map(|value| Node { value, span: None }).collect())
        }
        J::Object(map) => Value::table(map.into_iter().filter_map(|(key, json)| Some((key, from_json(json)?)))),
    })
}

/// A config value as JSON, for `show --json` too.
pub fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Float(x) => (*x).into(),
        Value::Str(s) => s.as_str().into(),
        Value::List(items) => items.iter().map(|item| to_json(&item.value)).collect(),
        Value::Table(entries) => {
            serde_json::Value::Object(entries.iter().map(|e| (e.key.clone(), to_json(&e.node.value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::{Draining, Status};

    fn bare() -> InstanceStatus {
        InstanceStatus {
            id: 3,
            app: "api".into(),
            instance: "api/1".into(),
            namespace: "default".into(),
            pid: None,
            status: Status::Waiting,
            generation: None,
            ready: false,
            revision: 2,
            outdated: false,
            uptime_ms: None,
            restarts: 7,
            memory_bytes: None,
            memory_peak_bytes: None,
            memory_limit_bytes: None,
            cpu_percent: None,
            tasks: None,
            ports: Vec::new(),
            cgroup: None,
            user: "www".into(),
            last_exit: None,
            next_time: None,
            waits_for: None,
        }
    }

    fn full() -> InstanceStatus {
        InstanceStatus {
            pid: Some(4711),
            status: Status::Running,
            generation: Some(Generation::Marked),
            ready: true,
            uptime_ms: Some(0),
            memory_bytes: Some(1 << 40),
            memory_peak_bytes: Some(0),
            memory_limit_bytes: Some(1 << 41),
            cpu_percent: Some(0.0),
            tasks: Some(1),
            ports: vec![80, 8080],
            cgroup: Some("stead/app-api/1@9".into()),
            last_exit: Some(ExitStatus {
                reason: "oom".into(),
                code: Some(0),
                signal: Some("SIGKILL".into()),
                at: 1_700_000_000_000,
                message: Some("x".into()),
            }),
            next_time: Some(1_700_000_000_000),
            waits_for: Some("its next time, in 3h".into()),
            ..bare()
        }
    }

    #[test]
    fn a_row_keeps_zero_apart_from_none() {
        for status in [bare(), full()] {
            assert_eq!(InstanceStatus::try_from(InstanceRow::from(status.clone())), Ok(status));
        }
    }

    #[test]
    fn the_signature_of_a_row_only_ever_grows_inside_its_last_member() {
        assert_eq!(InstanceRow::SIGNATURE.to_string(), "(usssissbtbxtxxdxaqss(sists)a{sv})");
    }

    #[test]
    fn an_app_comes_back_from_its_dictionary() {
        let detail = |status| InstanceDetail {
            status,
            memory_anon_bytes: Some(1),
            memory_file_bytes: None,
            fds: Some(0),
            sampled: true,
            procs: vec!["api/1@9 running pid 4711".into()],
            log_files: Vec::new(),
            due_ms: Some(250),
            draining: Some(Draining { queued: 0, handshakes: 1, busy: 2, quiet_soon: 3, until_ms: 9_999 }),
            notes: vec!["replaced old-first: it listens".into()],
        };
        let app = AppDetail {
            name: "api".into(),
            namespace: "default".into(),
            user: "www".into(),
            revision: 2,
            instances_wanted: 2,
            spec: vec![("run".into(), "a.js".into())],
            instances: vec![detail(bare()), detail(full())],
        };
        let back = app_from_dict(&app_to_dict(app.clone())).unwrap();
        assert_eq!(back.instances, app.instances);
        assert_eq!((back.name, back.revision, back.instances_wanted, back.spec), (app.name, 2, 2, app.spec));
    }

    #[test]
    fn a_word_of_a_newer_daemon_is_an_error_and_no_guess() {
        let mut row = InstanceRow::from(bare());
        row.status = "dreaming".into();
        assert!(InstanceStatus::try_from(row).unwrap_err().text.contains("dreaming"));
    }
}
