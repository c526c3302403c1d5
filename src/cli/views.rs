//! What `show`, `plan` and `doctor` print. Pure: answers in, text out.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;

use super::human;
use super::table;
use super::talk::{Color, painted};
use crate::bus::proxy::to_json;
use crate::bus::proxy::{AppDetail, Finding, FindingLevel, PlanLine};
use crate::model::quantity::Bytes;
use crate::model::status::{Draining, ExitStatus, InstanceDetail};

/// Names and values below each other, names in one column; None is left out.
fn lines(indent: &str, pairs: &[(&str, Option<String>)]) -> String {
    let shown = || pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown().map(|(name, value)| format!("{indent}{name:width$}  {value}\n")).collect()
}

/// One app, whole.
pub fn app(app: &AppDetail, color: bool, zone: &TimeZone) -> String {
    let mut text = painted(&app.name, Color::Cyan, color);
    text.push('\n');
    text.push_str(&lines(
        "  ",
        &[
            ("namespace", Some(app.namespace.clone())),
            ("revision", Some(app.revision.to_string())),
            ("instances", Some(app.instances_wanted.to_string())),
        ],
    ));
    text.push_str("\n  settings\n");
    let settings: Vec<(&str, Option<String>)> =
        app.spec.iter().map(|(key, value)| (key.as_str(), Some(value.to_string()))).collect();
    text.push_str(&lines("    ", &settings));
    for detail in &app.instances {
        text.push('\n');
        text.push_str(&instance(detail, color, zone));
    }
    text
}

fn instance(detail: &InstanceDetail, color: bool, zone: &TimeZone) -> String {
    let s = &detail.status;
    let bytes = |value: Option<u64>| value.map(|value| Bytes(value).to_string());
    let span = |ms: Option<u64>| ms.map(|ms| human::span(Duration::from_millis(ms)));
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(", "));
    let memory = bytes(s.memory_bytes).map(|now| {
        let parts =
            [("peak", s.memory_peak_bytes), ("anon", detail.memory_anon_bytes), ("file", detail.memory_file_bytes)];
        let mut parts: Vec<String> =
            parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", bytes(value)?))).collect();
        if detail.sampled {
            parts.push("sampled".to_owned());
        }
        format!("{now} ({})", parts.join(", "))
    });
    let outdated = if s.outdated { ", outdated" } else { "" };
    let ready = if s.ready { ", ready" } else { "" };
    let mut text = format!("  {}\n", painted(&s.instance, Color::Cyan, color));
    text.push_str(&lines(
        "    ",
        &[
            ("id", Some(s.id.to_string())),
            ("status", Some(format!("{}{ready}{outdated}", s.status))),
            ("generation", s.generation.map(|generation| generation.as_str().to_owned())),
            ("draining", detail.draining.as_ref().map(draining)),
            ("revision", Some(s.revision.to_string())),
            ("pid", s.pid.map(|pid| pid.to_string())),
            ("user", Some(s.user.clone())),
            ("uptime", span(s.uptime_ms)),
            ("restarts", Some(s.restarts.to_string())),
            ("waits for", s.waits_for.clone()),
            ("starts again in", span(detail.due_ms)),
            ("next time", s.next_time.map(|at| human::moment(at, zone))),
            ("memory", memory),
            ("cpu", s.cpu_percent.map(human::percent)),
            ("tasks", s.tasks.map(|tasks| tasks.to_string())),
            ("fds", detail.fds.map(|fds| fds.to_string())),
            ("ports", (!s.ports.is_empty()).then(|| human::ports(&s.ports))),
            ("cgroup", s.cgroup.clone()),
            ("last exit", s.last_exit.as_ref().map(|exit| exit_text(exit, zone))),
            ("procs", list(&detail.procs)),
            ("logs", list(&detail.log_files)),
        ],
    ));
    for note in &detail.notes {
        text.push_str(&format!("    note: {note}\n"));
    }
    text
}

fn draining(draining: &Draining) -> String {
    let connections = draining.busy + draining.quiet_soon;
    let mut parts = Vec::new();
    if draining.busy > 0 {
        parts.push(format!("{} being answered", draining.busy));
    }
    if draining.quiet_soon > 0 {
        parts.push(format!("{} quiet, but not for long yet", draining.quiet_soon));
    }
    let plural = if connections == 1 { "" } else { "s" };
    let mut text = format!("waits for {connections} connection{plural}");
    if !parts.is_empty() {
        text.push_str(&format!(" ({})", parts.join(", ")));
    }
    text.push_str(&format!(", {} queued", draining.queued));
    if draining.handshakes > 0 {
        text.push_str(&format!(", {} in handshake", draining.handshakes));
    }
    format!("{text}; at most {} more", human::span(Duration::from_millis(draining.until_ms)))
}

fn exit_text(exit: &ExitStatus, zone: &TimeZone) -> String {
    let mut text = exit.reason.clone();
    if let Some(code) = exit.code {
        text.push_str(&format!(", code {code}"));
    }
    if let Some(signal) = &exit.signal {
        text.push_str(&format!(", {signal}"));
    }
    text.push_str(&format!(", at {}", human::moment(exit.at, zone)));
    if let Some(message) = &exit.message {
        text.push_str(&format!(": {message}"));
    }
    text
}

/// `show --json`: the same names as everywhere.
pub fn app_json(app: &AppDetail) -> serde_json::Value {
    let spec: serde_json::Map<_, _> = app.spec.iter().map(|(key, value)| (key.clone(), to_json(value))).collect();
    json!({
        "name": app.name,
        "namespace": app.namespace,
        "revision": app.revision,
        "instances_wanted": app.instances_wanted,
        "spec": spec,
        "instances": app.instances,
    })
}

/// What starting would do.
pub fn plan(plan: &[PlanLine]) -> String {
    if plan.is_empty() {
        return "nothing to do\n".to_owned();
    }
    let row = |line: &PlanLine| {
        vec![line.instance.clone().unwrap_or_else(|| line.app.clone()), line.action.clone(), line.why.clone()]
    };
    table::texts(&["instance", "action", "why"], &plan.iter().map(row).collect::<Vec<_>>())
}

/// What was found, worst last: that is where the eye is.
pub fn findings(findings: &[Finding], color: bool) -> String {
    let mut text = String::new();
    for level in [FindingLevel::Good, FindingLevel::Note, FindingLevel::Bad] {
        for finding in findings.iter().filter(|finding| finding.level == level) {
            let mark = match level {
                FindingLevel::Good => painted("ok  ", Color::Green, color),
                FindingLevel::Note => painted("note", Color::Yellow, color),
                FindingLevel::Bad => painted("bad ", Color::Red, color),
            };
            text.push_str(&format!("{mark}  {}: {}\n", finding.subject, finding.text));
            if !finding.mend.is_empty() {
                text.push_str(&format!("      {}\n", finding.mend));
            }
        }
    }
    text
}
