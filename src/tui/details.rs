//! All that is to be said of the selected instance, line by line.
//! Owns: which facts, in which order. Pure.

use std::time::Duration;

use super::model::Model;
use crate::model::human;
use crate::model::quantity::Bytes;
use crate::model::status::InstanceDetail;

/// A name and a value; a heading has no value, and what goes on no name.
pub type Line = (String, String);

pub fn lines(model: &Model) -> Vec<Line> {
    let (Some(row), Some(app)) = (model.selected(), &model.detail) else { return Vec::new() };
    let mut lines = Vec::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push((name.to_owned(), value));
        }
    };
    if let Some(detail) = app.instances.iter().find(|detail| detail.status.instance == row.instance) {
        instance(detail, model, &mut say);
    }
    say("instances", app.instances_wanted.to_string());
    say("namespace", app.namespace.clone());
    say("revision", app.revision.to_string());
    lines.push(("settings".to_owned(), String::new()));
    lines.extend(app.spec.iter().map(|(key, value)| (format!("  {key}"), value.to_string())));
    lines
}

fn instance(detail: &InstanceDetail, model: &Model, say: &mut impl FnMut(&str, String)) {
    let s = &detail.status;
    let bytes = |value: Option<u64>| value.map_or(String::new(), |value| Bytes(value).to_string());
    let span = |ms: Option<u64>| ms.map_or(String::new(), |ms| human::span(Duration::from_millis(ms)));
    let number = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    let outdated = if s.outdated { ", outdated" } else { "" };
    let ready = if s.ready { ", ready" } else { "" };
    say("status", format!("{}{ready}{outdated}", s.status));
    say("pid", s.pid.map_or(String::new(), |pid| pid.to_string()));
    say("user", s.user.clone());
    say("uptime", span(s.uptime_ms));
    say("restarts", s.restarts.to_string());
    say("starts again in", span(detail.due_ms));
    say("memory", bytes(s.memory_bytes));
    say("  limit", bytes(s.memory_limit_bytes));
    say("  peak", bytes(s.memory_peak_bytes));
    say("  anonymous", bytes(detail.memory_anon_bytes));
    say("  file", bytes(detail.memory_file_bytes));
    say("cpu", s.cpu_percent.map_or(String::new(), human::percent));
    say("tasks", number(s.tasks));
    say("open files", number(detail.fds));
    say("ports", human::ports(&s.ports));
    if let Some(draining) = &detail.draining {
        let connections = draining.busy + draining.quiet_soon;
        say("draining", format!("{connections} connections, {} queued", draining.queued));
    }
    if let Some(exit) = &s.last_exit {
        let code = exit.code.map_or(String::new(), |code| format!(", code {code}"));
        let signal = exit.signal.as_ref().map_or(String::new(), |signal| format!(", {signal}"));
        say("last exit", format!("{}{code}{signal}, {}", exit.reason, human::moment(exit.at, &model.zone)));
        say("", exit.message.clone().unwrap_or_default());
    }
    say("cgroup", s.cgroup.clone().unwrap_or_default());
    for note in &detail.notes {
        say("note", note.clone());
    }
    for file in &detail.log_files {
        say("log", file.clone());
    }
}
