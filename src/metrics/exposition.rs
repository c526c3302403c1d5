//! Figures as machines read them: OpenMetrics, and the older text format of Prometheus.
//! Owns: the name, type, unit and help of each metric. Pure: figures in, text out.
//! Never: measures, or knows who asks. A series of an instance has the labels `app` and `slot`, not `instance`, which
//! Prometheus itself gives to every series, and by which it means the target.

use std::collections::BTreeMap;
use std::fmt::Result;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::itself::Cost;
use super::meter::Figures;
use crate::model::exit::Reason;
use crate::model::status::{MetricsFormat, Status};
use crate::model::time::Wall;

/// All that there is to tell at one moment.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    pub version: &'static str,
    pub apps: Vec<App>,
    pub instances: Vec<Instance>,
    /// How often what has happened, by the name of the event.
    pub events: Vec<(&'static str, u64)>,
    /// Processes of stead itself, by the name of their program.
    pub processes: Vec<(&'static str, Process)>,
}

#[derive(Debug, Clone)]
pub struct App {
    pub name: String,
    pub namespace: String,
    pub user: String,
    pub instances_wanted: u32,
}

/// One instance; what only a process can have is missing where none runs.
#[derive(Debug, Clone)]
pub struct Instance {
    pub app: String,
    pub slot: u32,
    pub status: Status,
    pub up: bool,
    pub ready: bool,
    pub outdated: bool,
    pub started: Option<Wall>,
    pub restarts: BTreeMap<Reason, u64>,
    pub figures: Option<Figures>,
    pub memory_max: Option<u64>,
    pub max_memory_restart: Option<u64>,
    /// None: it listens on no port.
    pub connections: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub struct Process {
    pub cost: Cost,
    pub started: Wall,
}

const STATUSES: [Status; 6] =
    [Status::Starting, Status::Running, Status::Stopping, Status::Stopped, Status::Waiting, Status::Errored];

/// Told of every instance, also while they are 0, so that the first of them is seen as an increase.
const USUAL: [Reason; 6] =
    [Reason::Exit, Reason::Signal, Reason::Oom, Reason::Memory, Reason::StartTimeout, Reason::SpawnFailed];

/// The whole text in a format.
pub fn encode(exposition: Exposition, format: MetricsFormat) -> String {
    let mut registry = Registry::default();
    // Some 2 KiB for each instance.
    let mut out = String::with_capacity(4096 + exposition.instances.len() * 2400);
    registry.register_collector(Box::new(exposition));
    text::encode(&mut out, &registry).expect("writing to a String cannot fail, and nothing else here can");
    match format {
        MetricsFormat::OpenMetrics => out,
        MetricsFormat::Text => to_text(&out),
    }
}

/// OpenMetrics in the words of the older format: a counter's and an info's descriptor have the name of their samples,
/// info is unknown, and so are units and the mark at the end.
fn to_text(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if line.starts_with("# HELP ") {
            // Which name it has, its type tells, on the next line.
            help = line.splitn(4, ' ').nth(3);
            continue;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            out.extend([line, "\n"]);
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            _ => ("", kind),
        };
        out.extend(["# HELP ", name, suffix, " ", help.take().unwrap_or_default(), "\n"]);
        out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
    }
    out
}

/// A metric's name without its unit, what it says, and its unit.
type About = (&'static str, &'static str, Option<Unit>);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        let to = &mut encoder;
        info(to, "stead_build", "The version of stead that runs.", &[[("version", self.version)]])?;
        self.tell_apps(to)?;
        self.tell_states(to)?;
        self.tell_memory(to)?;
        self.tell_use(to)?;
        self.tell_restarts(to)?;
        self.tell_itself(to)
    }
}

impl Exposition {
    fn tell_apps(&self, to: &mut DescriptorEncoder<'_>) -> Result {
        let labels: Vec<_> = self
            .apps
            .iter()
            .map(|app| [("app", app.name.as_str()), ("namespace", &app.namespace), ("user", &app.user)])
            .collect();
        info(to, "stead_app", "The namespace of an app, and the user it runs as.", &labels)?;
        let about = ("stead_app_instances_wanted", "How many instances an app is to have.", None);
        let wanted = self.apps.iter().map(|app| ([("app", app.name.as_str())], app.instances_wanted));
        gauge(to, about, wanted)
    }

    fn tell_states(&self, to: &mut DescriptorEncoder<'_>) -> Result {
        let about = ("stead_instance_state", "1 for the state that an instance is in, 0 for the others.", None);
        let states = self.instances.iter().flat_map(|one| {
            STATUSES.map(|status| ((one.labels(), [("state", status.as_str())]), u32::from(one.status == status)))
        });
        gauge(to, about, states)?;
        self.each(to, ("stead_instance_up", "Whether a process of the instance runs.", None), |one| {
            Some(u32::from(one.up))
        })?;
        self.each(to, ("stead_instance_ready", "Whether the instance is ready for work.", None), |one| {
            Some(u32::from(one.ready))
        })?;
        let about = ("stead_instance_outdated", "Whether it runs older settings than those deployed.", None);
        self.each(to, about, |one| Some(u32::from(one.outdated)))?;
        let about =
            ("stead_instance_start_time", "When its process was started, since 1970-01-01 UTC.", Some(Unit::Seconds));
        self.each(to, about, |one| one.started.map(seconds))
    }

    fn tell_memory(&self, to: &mut DescriptorEncoder<'_>) -> Result {
        let mut tell =
            |name, help, of: &dyn Fn(&Instance) -> Option<u64>| self.each(to, (name, help, Some(Unit::Bytes)), of);
        tell(
            "stead_instance_memory",
            "Memory in use, file cache included where the kernel counts it for the instance's cgroup.",
            &|one| one.figures.map(|figures| figures.memory_bytes),
        )?;
        tell("stead_instance_memory_anon", "Anonymous memory in use: heaps and stacks.", &|one| one.figures?.anon)?;
        tell(
            "stead_instance_memory_file",
            "File cache of the instance; where the kernel does not count it, mapped files.",
            &|one| one.figures?.file,
        )?;
        tell("stead_instance_memory_peak", "The most memory that its process ever used.", &|one| {
            one.figures?.memory_peak_bytes
        })?;
        tell("stead_instance_memory_limit", "The limit memory_max, over which the instance is killed.", &|one| {
            one.memory_max
        })?;
        tell(
            "stead_instance_memory_soft_limit",
            "The limit max_memory_restart, over which the instance is replaced.",
            &|one| one.max_memory_restart,
        )
    }

    fn tell_use(&self, to: &mut DescriptorEncoder<'_>) -> Result {
        let about = ("stead_instance_cpu", "CPU time used since its process was started.", Some(Unit::Seconds));
        let used = self.instances.iter().filter_map(|one| Some((one.labels(), one.figures?.cpu.as_secs_f64())));
        counter(to, about, used)?;
        self.each(to, ("stead_instance_tasks", "Processes and threads.", None), |one| one.figures?.tasks)?;
        self.each(to, ("stead_instance_open_fds", "Open file descriptors.", None), |one| one.figures?.fds)?;
        let about = ("stead_instance_connections", "Established connections to the ports it listens on.", None);
        self.each(to, about, |one| one.connections)
    }

    fn tell_restarts(&self, to: &mut DescriptorEncoder<'_>) -> Result {
        let restarts = self.instances.iter().flat_map(|one| {
            let mut counts: BTreeMap<Reason, u64> = USUAL.map(|reason| (reason, 0)).into();
            counts.extend(&one.restarts);
            counts.into_iter().map(|(reason, count)| ((one.labels(), [("reason", reason.as_str())]), count))
        });
        counter(to, ("stead_instance_restarts", "Restarts by stead itself, by what they followed.", None), restarts)
    }

    fn tell_itself(&self, to: &mut DescriptorEncoder<'_>) -> Result {
        let events = self.events.iter().map(|(event, count)| ([("event", *event)], *count));
        counter(to, ("stead_events", "Life-cycle events of all apps since the daemon was started.", None), events)?;
        let about = ("stead_process_cpu", "CPU time used by stead's own processes.", Some(Unit::Seconds));
        counter(to, about, self.costs(|process| process.cost.cpu.as_secs_f64()))?;
        let about = ("stead_process_resident_memory", "Memory of stead's own processes.", Some(Unit::Bytes));
        gauge(to, about, self.costs(|process| process.cost.resident_bytes))?;
        let about = ("stead_process_open_fds", "Open file descriptors of stead's own processes.", None);
        gauge(to, about, self.costs(|process| process.cost.fds))?;
        let about = ("stead_process_start_time", "When they were started, since 1970-01-01 UTC.", Some(Unit::Seconds));
        gauge(to, about, self.costs(|process| seconds(process.started)))
    }

    fn costs<V>(&self, figure: fn(&Process) -> V) -> impl Iterator<Item = ([(&'static str, &'static str); 1], V)> {
        self.processes.iter().map(move |(name, process)| ([("process", *name)], figure(process)))
    }

    /// A gauge with one series for each instance that has a value.
    fn each<V: EncodeGaugeValue>(
        &self,
        to: &mut DescriptorEncoder<'_>,
        about: About,
        value: impl Fn(&Instance) -> Option<V>,
    ) -> Result {
        gauge(to, about, self.instances.iter().filter_map(|one| Some((one.labels(), value(one)?))))
    }
}

impl Instance {
    fn labels(&self) -> impl EncodeLabelSet {
        ([("app", self.app.as_str())], [("slot", self.slot)])
    }
}

fn gauge<S: EncodeLabelSet, V: EncodeGaugeValue>(
    to: &mut DescriptorEncoder<'_>,
    (name, help, unit): About,
    series: impl Iterator<Item = (S, V)>,
) -> Result {
    let mut metric = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    for (labels, value) in series {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

fn counter<S: EncodeLabelSet, V: EncodeCounterValue>(
    to: &mut DescriptorEncoder<'_>,
    (name, help, unit): About,
    series: impl Iterator<Item = (S, V)>,
) -> Result {
    let none: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
    let mut metric = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
    for (labels, value) in series {
        metric.encode_family(&labels)?.encode_counter(&value, none)?;
    }
    Ok(())
}

fn info<S: EncodeLabelSet>(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, sets: &[S]) -> Result {
    let mut metric = to.encode_descriptor(name, help, None, MetricType::Info)?;
    sets.iter().try_for_each(|labels| metric.encode_info(labels))
}

/// Whole milliseconds are as exact as it is known.
fn seconds(at: Wall) -> f64 {
    (at.0 / 1_000_000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::time::Mono;

    fn running(app: &str, slot: u32) -> Instance {
        let figures = Figures {
            memory_bytes: 64 << 20,
            memory_peak_bytes: Some(80 << 20),
            anon: Some(50 << 20),
            file: Some(14 << 20),
            cpu_percent: 12.5,
            cpu: Duration::from_millis(1500),
            tasks: Some(11),
            fds: Some(23),
            sampled: false,
        };
        Instance {
            app: app.to_owned(),
            slot,
            status: Status::Running,
            up: true,
            ready: true,
            outdated: false,
            started: Some(Wall(1_700_000_000_250_999_999)),
            restarts: BTreeMap::from([(Reason::Oom, 3), (Reason::Unknown, 1)]),
            figures: Some(figures),
            memory_max: Some(128 << 20),
            max_memory_restart: None,
            connections: Some(2),
        }
    }

    fn some() -> Exposition {
        let down = Instance {
            status: Status::Errored,
            up: false,
            ready: false,
            started: None,
            restarts: BTreeMap::new(),
            figures: None,
            memory_max: None,
            connections: None,
            ..running("worker", 0)
        };
        let cost = Cost { cpu: Duration::from_millis(70), resident_bytes: 8 << 20, fds: 31, started: Mono(0) };
        Exposition {
            version: "1.2.3",
            apps: vec![App {
                name: "api".into(),
                namespace: "a \"quoted\\ name\nof two lines".into(),
                user: "www".into(),
                instances_wanted: 2,
            }],
            instances: vec![running("api", 0), down],
            events: vec![("exited", 4), ("ready", 5)],
            processes: vec![("steadd", Process { cost, started: Wall(1_700_000_000_000_000_000) })],
        }
    }

    #[test]
    fn figures_are_told_as_openmetrics() {
        insta::assert_snapshot!(encode(some(), MetricsFormat::OpenMetrics), @r#"
        # HELP stead_build The version of stead that runs.
        # TYPE stead_build info
        stead_build_info{version="1.2.3"} 1
        # HELP stead_app The namespace of an app, and the user it runs as.
        # TYPE stead_app info
        stead_app_info{app="api",namespace="a \"quoted\\ name\nof two lines",user="www"} 1
        # HELP stead_app_instances_wanted How many instances an app is to have.
        # TYPE stead_app_instances_wanted gauge
        stead_app_instances_wanted{app="api"} 2
        # HELP stead_instance_state 1 for the state that an instance is in, 0 for the others.
        # TYPE stead_instance_state gauge
        stead_instance_state{app="api",slot="0",state="starting"} 0
        stead_instance_state{app="api",slot="0",state="running"} 1
        stead_instance_state{app="api",slot="0",state="stopping"} 0
        stead_instance_state{app="api",slot="0",state="stopped"} 0
        stead_instance_state{app="api",slot="0",state="waiting"} 0
        stead_instance_state{app="api",slot="0",state="errored"} 0
        stead_instance_state{app="worker",slot="0",state="starting"} 0
        stead_instance_state{app="worker",slot="0",state="running"} 0
        stead_instance_state{app="worker",slot="0",state="stopping"} 0
        stead_instance_state{app="worker",slot="0",state="stopped"} 0
        stead_instance_state{app="worker",slot="0",state="waiting"} 0
        stead_instance_state{app="worker",slot="0",state="errored"} 1
        # HELP stead_instance_up Whether a process of the instance runs.
        # TYPE stead_instance_up gauge
        stead_instance_up{app="api",slot="0"} 1
        stead_instance_up{app="worker",slot="0"} 0
        # HELP stead_instance_ready Whether the instance is ready for work.
        # TYPE stead_instance_ready gauge
        stead_instance_ready{app="api",slot="0"} 1
        stead_instance_ready{app="worker",slot="0"} 0
        # HELP stead_instance_outdated Whether it runs older settings than those deployed.
        # TYPE stead_instance_outdated gauge
        stead_instance_outdated{app="api",slot="0"} 0
        stead_instance_outdated{app="worker",slot="0"} 0
        # HELP stead_instance_start_time_seconds When its process was started, since 1970-01-01 UTC.
        # TYPE stead_instance_start_time_seconds gauge
        # UNIT stead_instance_start_time_seconds seconds
        stead_instance_start_time_seconds{app="api",slot="0"} 1700000000.25
        # HELP stead_instance_memory_bytes Memory in use, file cache included where the kernel counts it for the instance's cgroup.
        # TYPE stead_instance_memory_bytes gauge
        # UNIT stead_instance_memory_bytes bytes
        stead_instance_memory_bytes{app="api",slot="0"} 67108864
        # HELP stead_instance_memory_anon_bytes Anonymous memory in use: heaps and stacks.
        # TYPE stead_instance_memory_anon_bytes gauge
        # UNIT stead_instance_memory_anon_bytes bytes
        stead_instance_memory_anon_bytes{app="api",slot="0"} 52428800
        # HELP stead_instance_memory_file_bytes File cache of the instance; where the kernel does not count it, mapped files.
        # TYPE stead_instance_memory_file_bytes gauge
        # UNIT stead_instance_memory_file_bytes bytes
        stead_instance_memory_file_bytes{app="api",slot="0"} 14680064
        # HELP stead_instance_memory_peak_bytes The most memory that its process ever used.
        # TYPE stead_instance_memory_peak_bytes gauge
        # UNIT stead_instance_memory_peak_bytes bytes
        stead_instance_memory_peak_bytes{app="api",slot="0"} 83886080
        # HELP stead_instance_memory_limit_bytes The limit memory_max, over which the instance is killed.
        # TYPE stead_instance_memory_limit_bytes gauge
        # UNIT stead_instance_memory_limit_bytes bytes
        stead_instance_memory_limit_bytes{app="api",slot="0"} 134217728
        # HELP stead_instance_memory_soft_limit_bytes The limit max_memory_restart, over which the instance is replaced.
        # TYPE stead_instance_memory_soft_limit_bytes gauge
        # UNIT stead_instance_memory_soft_limit_bytes bytes
        # HELP stead_instance_cpu_seconds CPU time used since its process was started.
        # TYPE stead_instance_cpu_seconds counter
        # UNIT stead_instance_cpu_seconds seconds
        stead_instance_cpu_seconds_total{app="api",slot="0"} 1.5
        # HELP stead_instance_tasks Processes and threads.
        # TYPE stead_instance_tasks gauge
        stead_instance_tasks{app="api",slot="0"} 11
        # HELP stead_instance_open_fds Open file descriptors.
        # TYPE stead_instance_open_fds gauge
        stead_instance_open_fds{app="api",slot="0"} 23
        # HELP stead_instance_connections Established connections to the ports it listens on.
        # TYPE stead_instance_connections gauge
        stead_instance_connections{app="api",slot="0"} 2
        # HELP stead_instance_restarts Restarts by stead itself, by what they followed.
        # TYPE stead_instance_restarts counter
        stead_instance_restarts_total{app="api",slot="0",reason="exit"} 0
        stead_instance_restarts_total{app="api",slot="0",reason="signal"} 0
        stead_instance_restarts_total{app="api",slot="0",reason="unknown"} 1
        stead_instance_restarts_total{app="api",slot="0",reason="oom"} 3
        stead_instance_restarts_total{app="api",slot="0",reason="memory"} 0
        stead_instance_restarts_total{app="api",slot="0",reason="start-timeout"} 0
        stead_instance_restarts_total{app="api",slot="0",reason="spawn-failed"} 0
        stead_instance_restarts_total{app="worker",slot="0",reason="exit"} 0
        stead_instance_restarts_total{app="worker",slot="0",reason="signal"} 0
        stead_instance_restarts_total{app="worker",slot="0",reason="oom"} 0
        stead_instance_restarts_total{app="worker",slot="0",reason="memory"} 0
        stead_instance_restarts_total{app="worker",slot="0",reason="start-timeout"} 0
        stead_instance_restarts_total{app="worker",slot="0",reason="spawn-failed"} 0
        # HELP stead_events Life-cycle events of all apps since the daemon was started.
        # TYPE stead_events counter
        stead_events_total{event="exited"} 4
        stead_events_total{event="ready"} 5
        # HELP stead_process_cpu_seconds CPU time used by stead's own processes.
        # TYPE stead_process_cpu_seconds counter
        # UNIT stead_process_cpu_seconds seconds
        stead_process_cpu_seconds_total{process="steadd"} 0.07
        # HELP stead_process_resident_memory_bytes Memory of stead's own processes.
        # TYPE stead_process_resident_memory_bytes gauge
        # UNIT stead_process_resident_memory_bytes bytes
        stead_process_resident_memory_bytes{process="steadd"} 8388608
        # HELP stead_process_open_fds Open file descriptors of stead's own processes.
        # TYPE stead_process_open_fds gauge
        stead_process_open_fds{process="steadd"} 31
        # HELP stead_process_start_time_seconds When they were started, since 1970-01-01 UTC.
        # TYPE stead_process_start_time_seconds gauge
        # UNIT stead_process_start_time_seconds seconds
        stead_process_start_time_seconds{process="steadd"} 1700000000.0
        # EOF
        "#);
    }

    #[test]
    fn the_older_format_has_the_same_samples_with_descriptors_of_its_own() {
        let (open, text) = (encode(some(), MetricsFormat::OpenMetrics), encode(some(), MetricsFormat::Text));
        let samples = |of: &str| of.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(samples(&open), samples(&text));
        insta::assert_snapshot!(text.lines().filter(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n"), @"
        # HELP stead_build_info The version of stead that runs.
        # TYPE stead_build_info gauge
        # HELP stead_app_info The namespace of an app, and the user it runs as.
        # TYPE stead_app_info gauge
        # HELP stead_app_instances_wanted How many instances an app is to have.
        # TYPE stead_app_instances_wanted gauge
        # HELP stead_instance_state 1 for the state that an instance is in, 0 for the others.
        # TYPE stead_instance_state gauge
        # HELP stead_instance_up Whether a process of the instance runs.
        # TYPE stead_instance_up gauge
        # HELP stead_instance_ready Whether the instance is ready for work.
        # TYPE stead_instance_ready gauge
        # HELP stead_instance_outdated Whether it runs older settings than those deployed.
        # TYPE stead_instance_outdated gauge
        # HELP stead_instance_start_time_seconds When its process was started, since 1970-01-01 UTC.
        # TYPE stead_instance_start_time_seconds gauge
        # HELP stead_instance_memory_bytes Memory in use, file cache included where the kernel counts it for the instance's cgroup.
        # TYPE stead_instance_memory_bytes gauge
        # HELP stead_instance_memory_anon_bytes Anonymous memory in use: heaps and stacks.
        # TYPE stead_instance_memory_anon_bytes gauge
        # HELP stead_instance_memory_file_bytes File cache of the instance; where the kernel does not count it, mapped files.
        # TYPE stead_instance_memory_file_bytes gauge
        # HELP stead_instance_memory_peak_bytes The most memory that its process ever used.
        # TYPE stead_instance_memory_peak_bytes gauge
        # HELP stead_instance_memory_limit_bytes The limit memory_max, over which the instance is killed.
        # TYPE stead_instance_memory_limit_bytes gauge
        # HELP stead_instance_memory_soft_limit_bytes The limit max_memory_restart, over which the instance is replaced.
        # TYPE stead_instance_memory_soft_limit_bytes gauge
        # HELP stead_instance_cpu_seconds_total CPU time used since its process was started.
        # TYPE stead_instance_cpu_seconds_total counter
        # HELP stead_instance_tasks Processes and threads.
        # TYPE stead_instance_tasks gauge
        # HELP stead_instance_open_fds Open file descriptors.
        # TYPE stead_instance_open_fds gauge
        # HELP stead_instance_connections Established connections to the ports it listens on.
        # TYPE stead_instance_connections gauge
        # HELP stead_instance_restarts_total Restarts by stead itself, by what they followed.
        # TYPE stead_instance_restarts_total counter
        # HELP stead_events_total Life-cycle events of all apps since the daemon was started.
        # TYPE stead_events_total counter
        # HELP stead_process_cpu_seconds_total CPU time used by stead's own processes.
        # TYPE stead_process_cpu_seconds_total counter
        # HELP stead_process_resident_memory_bytes Memory of stead's own processes.
        # TYPE stead_process_resident_memory_bytes gauge
        # HELP stead_process_open_fds Open file descriptors of stead's own processes.
        # TYPE stead_process_open_fds gauge
        # HELP stead_process_start_time_seconds When they were started, since 1970-01-01 UTC.
        # TYPE stead_process_start_time_seconds gauge
        ");
    }

    /// The rules of the formats that a scraper does not forgive: metadata before samples, each family once and in one
    /// piece, the suffixes that a type demands, no series twice.
    #[test]
    fn every_sample_belongs_to_the_family_above_it_and_stands_there_once() {
        for (format, counter, info) in [(MetricsFormat::OpenMetrics, "_total", "_info"), (MetricsFormat::Text, "", "")]
        {
            let text = encode(some(), format);
            let (mut family, mut seen, mut series) = (String::new(), Vec::new(), Vec::new());
            for line in text.lines().filter(|line| *line != "# EOF") {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    let (name, kind) = rest.split_once(' ').unwrap();
                    assert!(!seen.contains(&name), "{name} stands there twice");
                    seen.push(name);
                    let suffix = match kind {
                        "counter" => counter,
                        "info" => info,
                        _ => "",
                    };
                    family = format!("{name}{suffix}");
                } else if !line.starts_with('#') {
                    let (name, _) = line.split_once('{').unwrap();
                    assert_eq!(name, family, "{line}");
                    let (labels, _) = line.rsplit_once(' ').unwrap();
                    assert!(!series.contains(&labels), "{line} stands there twice");
                    series.push(labels);
                }
            }
        }
    }
}
