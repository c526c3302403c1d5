//! The daemon is killed at any moment: its apps do not notice, and the next one knows all that it knew.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::load::{App, Load, daemon, names, pids, slow_machine};
use crate::support::{Stead, alive, eventually, free_port, program};

/// `kill -9` for the daemon, and the wait until the next one answers.
#[track_caller]
pub fn replace_daemon(stead: &Stead) -> i32 {
    let before = daemon(stead).expect("a daemon");
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    let mut now = None;
    assert!(
        eventually(|| {
            now = daemon(stead).filter(|pid| *pid != before);
            now.is_some() && stead.run(&["list"]).code == Some(0)
        }),
        "no daemon came after it"
    );
    now.unwrap()
}

/// What a daemon's death must not change of the rows.
fn lasting(rows: Vec<Value>) -> Vec<Value> {
    let keep = |mut row: Value| {
        for changing in ["uptime_ms", "memory_bytes", "memory_peak_bytes", "cpu_percent", "tasks"] {
            row.as_object_mut().unwrap().remove(changing);
        }
        row
    };
    rows.into_iter().map(keep).collect()
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_killed_daemon_leaves_apps_as_they_are_and_the_next_one_knows_all_of_them() {
    let stead = Stead::new();
    let port = free_port();
    let web = App::server("web", port, &[]).instances(2);
    web.start(&stead);
    stead.run(&["start", "sleep", "--name", "idle", "-i", "3", "--", "1000"]).ok();
    stead.run(&["start", "sleep", "--name", "down", "--", "1000"]).ok();
    stead.run(&["stop", "down"]).ok();
    stead.run(&["start", "sh", "--name", "done", "--restart", "never", "--", "-c", "sleep 0.1; exit 0"]);
    stead.wait("done/0", "stopped", |row| row["status"] == "stopped");
    kill(Pid::from_raw(stead.pid("idle/1")), Signal::SIGKILL).unwrap();
    stead.wait("idle/1", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    let before = lasting(stead.list());
    for _ in 0..3 {
        replace_daemon(&stead);
        let after = lasting(stead.list());
        assert_eq!(before, after);
    }
    Load::of(200, port, &[]).evenly("web", 2);
    // It has the sockets, the routes and the files of runs that it did not start.
    let load = Load::begin("fresh", port, &[]);
    let first = pids(&stead, "web", 2);
    stead.run(&["reload", "web"]).ok();
    replace_daemon(&stead);
    stead.run(&["reload", "web"]).ok();
    stead.run(&["scale", "web", "3"]).ok();
    load.end().nothing_lost();
    assert!(first.iter().all(|pid| !alive(*pid)));
    Load::of(300, port, &[]).evenly("web", 3);
    stead.run(&["restart", "idle/0"]).ok();
    stead.run(&["delete", "all"]).ok();
    assert_eq!(stead.list().len(), 0);
}

/// Names of runs that some line of an app's log says this of, each with how often.
fn said_of_runs(stead: &Stead, app: &str, what: &str) -> BTreeMap<String, usize> {
    let log = stead.run(&["logs", app, "--no-follow", "--lines", "1000000"]).ok().out;
    let mut runs = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(what)) {
        let run = line.split_whitespace().find(|word| word.starts_with(app) && word.contains('@'));
        *runs.entry(run.unwrap_or(line).to_owned()).or_default() += 1;
    }
    runs
}

fn restarts_of(stead: &Stead, name: &str) -> u64 {
    stead.instance(name)["restarts"].as_u64().unwrap()
}

/// How often the daemon is killed under load: `STEAD_KILLS`, or few, for a test among others.
fn kills() -> usize {
    let asked = std::env::var("STEAD_KILLS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if slow_machine() { 3 } else { 10 })
}

#[test]
fn nothing_is_lost_while_the_daemon_is_killed_again_and_again_under_load() {
    under_load(
        &Stead::new(),
        |stead| {
            replace_daemon(stead);
        },
        kills(),
    );
}

#[test]
fn nothing_is_lost_while_stead_is_upgraded_again_and_again_under_load() {
    under_load(
        &Stead::new(),
        |stead| {
            let before = (holder(stead), daemon(stead));
            stead.run(&["upgrade"]).ok();
            assert_eq!(holder(stead), before.0, "the holder stays the same process");
            assert_ne!(daemon(stead), before.1);
        },
        kills().div_ceil(3),
    );
}

/// The pid of the holder, which its lock file has; 0 while it is being written.
pub fn holder(stead: &Stead) -> i32 {
    fs::read_to_string(stead.path("run/lock")).unwrap().trim().parse().unwrap_or(0)
}

/// Has this happen again and again to a stead while requests are answered, lines are written and an app crashes.
#[track_caller]
pub fn under_load(stead: &Stead, event: impl Fn(&Stead), times: usize) {
    let port = free_port();
    App::server("web", port, &[]).instances(2).start(stead);
    let logger = program("logger");
    for number in 0..4 {
        let (name, tag) = (format!("log{number}"), format!("tag=T{number}"));
        let args = ["start", text(&logger), "--name", &name, "--ready-on", "instant", "--", "100000000", "100"];
        stead.run(&[&args[..], &["rate=5000", &tag]].concat()).ok();
    }
    let crash = "sleep 0.2; exit 7";
    let args =
        ["start", "sh", "--name", "crash", "--ready-on", "instant", "--restart-delay", "0", "--max-restarts", "0"];
    stead.run(&[&args[..], &["--", "-c", crash]].concat()).ok();
    let steady: Vec<String> = names("web", 2).into_iter().chain((0..4).map(|n| format!("log{n}/0"))).collect();
    let before: Vec<i32> = steady.iter().map(|name| stead.pid(name)).collect();
    let load = Load::begin("fresh", port, &["rate=500"]);
    for _ in 0..times {
        // A daemon that dies at once is started again after a while only.
        let restarts = restarts_of(stead, "crash/0");
        stead.wait("crash/0", "restarted a few times more", |row| row["restarts"].as_u64() > Some(restarts + 5));
        event(stead);
    }
    load.end().nothing_lost();
    let after: Vec<i32> = steady.iter().map(|name| stead.pid(name)).collect();
    assert_eq!(before, after, "an app was restarted");
    assert!(steady.iter().all(|name| stead.instance(name)["restarts"] == 0));
    stead.run(&["stop", "all"]).ok();

    // Every crash was said once: each run that was started has ended, and no run twice.
    let mut ended = said_of_runs(stead, "crash", ": exited (");
    // Where a holder is killed, one may be in the midst of being started.
    for (run, times) in said_of_runs(stead, "crash", "the holder was killed while") {
        *ended.entry(run).or_default() += times;
    }
    assert!(ended.len() > 3, "{ended:?}");
    assert!(ended.values().all(|times| *times == 1), "{ended:?}");
    let runs: Vec<u64> =
        ended.keys().filter_map(|run| run.rsplit_once('@')?.1.trim_end_matches(':').parse().ok()).collect();
    let (first, last) = (runs.iter().min().unwrap(), runs.iter().max().unwrap());
    if let Some(missing) = (*first..=*last).find(|run| !runs.contains(run)) {
        let log = stead.run(&["logs", "crash", "--no-follow", "--lines", "1000000"]).ok().out;
        panic!("the exit of run {missing} went unnoticed:\n{log}");
    }
    for number in 0..4 {
        let mut next = 0;
        let lines = log_lines(stead, &format!("log{number}"));
        for line in &lines {
            let counted = line.split(' ').nth(1).and_then(|word| word.parse::<u64>().ok());
            let after = &lines[next as usize..lines.len().min(next as usize + 3)];
            // A program that is killed may have been in the midst of a line.
            if next as usize + 1 == lines.len() && line.len() < 99 {
                break;
            }
            assert_eq!((line.len(), counted), (99, Some(next)), "log{number}, of {} lines: {after:?}", lines.len());
            next += 1;
        }
        assert!(next > 1000, "log{number} has only {next} lines");
    }
}

/// What an instance printed on stdout, from its files, oldest first.
fn log_lines(stead: &Stead, app: &str) -> Vec<String> {
    let dir = stead.path("log").join(app);
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    // 0.log is the newest, 0.log.1 the one before.
    files.sort_by_key(|path| {
        std::cmp::Reverse(path.extension().and_then(|e| e.to_str()?.parse::<u32>().ok()).unwrap_or(0))
    });
    let all: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    all.lines().filter_map(|line| Some(line.split_once(" stdout F ")?.1.to_owned())).collect()
}

#[test]
fn what_dies_together_with_the_daemon_is_noticed_for_what_it_was() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a", "--restart-delay", "0", "--", "1000"]).ok();
    stead.run(&["start", "sleep", "--name", "b", "--restart", "never", "--", "1000"]).ok();
    let (a, b, daemon) = (stead.pid("a/0"), stead.pid("b/0"), daemon(&stead).unwrap());
    for (pid, signal) in [(daemon, Signal::SIGKILL), (a, Signal::SIGSEGV), (b, Signal::SIGTERM)] {
        kill(Pid::from_raw(pid), signal).unwrap();
    }
    assert!(eventually(|| stead.run(&["list"]).code == Some(0)));
    let row = stead.wait("a/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    assert_eq!(
        (row["last_exit"]["reason"].as_str(), row["last_exit"]["signal"].as_str()),
        (Some("signal"), Some("SIGSEGV"))
    );
    let row = stead.wait("b/0", "stopped", |row| row["status"] == "stopped");
    assert_eq!(row["last_exit"]["signal"], "SIGTERM");
}

/// Copies of the programs, which a test may replace.
fn own_programs(stead: &Stead) -> std::path::PathBuf {
    let bin = stead.path("bin");
    fs::create_dir(&bin).unwrap();
    let built = stead.command(&[]).get_program().to_owned();
    for name in ["stead", "steadd", "stead-holder"] {
        fs::copy(std::path::Path::new(&built).with_file_name(name), bin.join(name)).unwrap();
    }
    bin
}

/// Runs the copy.
fn run_of(stead: &Stead, args: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(stead.path("bin/stead"));
    command.args(args);
    stead.settle_environment(&mut command);
    command.output().unwrap()
}

#[test]
fn while_no_daemon_can_be_started_what_apps_print_is_kept_and_nobody_waits() {
    let stead = Stead::new();
    let bin = own_programs(&stead);
    let steadd = fs::read(bin.join("steadd")).unwrap();
    let logger = program("logger");
    let progress = stead.path("progress");
    // Five megabytes, five times what a pipe holds, in four seconds, and an end that shows that nobody held it up.
    let file = format!("file={}", progress.display());
    let args = ["start", text(&logger), "--name", "log0", "--ready-on", "instant", "--restart", "never", "--"];
    let rate = if slow_machine() { "rate=5000" } else { "rate=12000" };
    assert!(run_of(&stead, &[&args[..], &["50000", "100", rate, "tag=T0", &file]].concat()).status.success());
    let before = daemon(&stead).unwrap();
    fs::remove_file(bin.join("steadd")).unwrap();
    fs::write(bin.join("steadd"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(bin.join("steadd"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    let ended = || fs::read_to_string(&progress).is_ok_and(|text| text.lines().count() == 2);
    assert!(eventually(ended), "its output was waited for");
    assert!(stead.daemon_log().contains("what apps print is kept"), "{}", stead.daemon_log());
    fs::remove_file(bin.join("steadd")).unwrap();
    fs::write(bin.join("steadd"), steadd).unwrap();
    fs::set_permissions(bin.join("steadd"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(eventually(|| run_of(&stead, &["list"]).status.success()), "no daemon came back");
    stead.wait("log0/0", "stopped", |row| row["status"] == "stopped" && row["last_exit"]["code"] == 0);
    let mut whole = Vec::new();
    let log = stead.path("log/log0/0.log");
    assert!(eventually(|| {
        let text = fs::read_to_string(&log).unwrap();
        whole.clear();
        let mut piece = String::new();
        for line in text.lines().filter_map(|line| line.split_once(" stdout ")) {
            let (tag, rest) = line.1.split_at(2);
            piece += rest;
            if tag == "F " {
                whole.push(std::mem::take(&mut piece));
            }
        }
        whole.len() >= 50_000
    }));
    for (number, line) in whole.iter().enumerate() {
        let counted = line.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
        assert_eq!((line.len(), counted), (99, Some(number)), "{line:?}");
    }
    assert_eq!(whole.len(), 50_000);
}

#[test]
fn a_program_that_cannot_take_over_is_refused_before_anything_is_touched() {
    let stead = Stead::new();
    let bin = own_programs(&stead);
    let run = |args: &[&str]| run_of(&stead, args);
    assert!(run(&["start", "sleep", "--name", "a", "--", "1000"]).status.success());
    let before = (holder(&stead), daemon(&stead), lasting(stead.list()));
    let good = bin.join("good");
    fs::rename(bin.join("stead-holder"), &good).unwrap();
    fs::write(bin.join("stead-holder"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(bin.join("stead-holder"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    kill(Pid::from_raw(before.0), Signal::SIGHUP).unwrap();
    assert!(eventually(|| stead.daemon_log().contains("cannot read this holder's table")));
    assert_eq!((holder(&stead), daemon(&stead), lasting(stead.list())), before);
    fs::rename(&good, bin.join("stead-holder")).unwrap();
    assert!(run(&["upgrade"]).status.success());
    assert_eq!((holder(&stead), lasting(stead.list())), (before.0, before.2));
    assert_ne!(daemon(&stead), before.1);
}

/// An app nobody touches, whose pid must stay, and the one that things are done with.
pub struct Scene {
    pub stead: Stead,
    app: App,
    port: u16,
    bystander: i32,
    /// Who is killed: "daemon", or "holder".
    victim: &'static str,
}

/// Every how many places one is tried: `STEAD_FAULT_STRIDE`, or some. Who comes after a holder takes longer to be there.
fn stride(victim: &str) -> u64 {
    let asked = std::env::var("STEAD_FAULT_STRIDE").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if slow_machine() { 29 } else { 3 } * if victim == "holder" { 4 } else { 1 })
}

impl Scene {
    fn new() -> Self {
        Self::of(Stead::new(), "daemon")
    }

    pub fn of(stead: Stead, victim: &'static str) -> Self {
        let start = stead.command(&["start", "sleep", "--name", "by", "--", "1000"]).env("STEAD_FAULTS", "1").output();
        assert!(start.unwrap().status.success());
        let (port, bystander) = (free_port(), stead.pid("by/0"));
        let app = App::server("web", port, &[]).instances(3).with("restart_delay = 0");
        Self { stead, app, port, bystander, victim }
    }

    /// Kills the daemon at one place after another while `action` goes on, each time from the state that `begin` makes,
    /// until it comes to its end undisturbed. `check` looks at the end.
    #[track_caller]
    fn at_every_place(
        &self,
        begin: impl Fn(&Self),
        action: impl Fn(&Self, u64),
        again: impl Fn(&Self, u64),
        wanted: usize,
    ) {
        let fault = self.stead.path("run/fault");
        let mut places = 0;
        let mut place = 1;
        loop {
            begin(self);
            self.daemon_is_no_newborn();
            fs::write(&fault, format!("{place} {}", self.victim)).unwrap();
            action(self, place);
            // What follows the answer counts, too.
            let (mut seen, mut same) = (String::new(), 0);
            eventually(|| {
                let now = fs::read_to_string(&fault).unwrap_or_default();
                same = if now == seen { same + 1 } else { 0 };
                seen = now;
                same == 5
            });
            // What was not asked of a daemon that lived to answer is asked of the next.
            assert!(eventually(|| self.stead.run(&["list"]).code == Some(0)), "place {place}: no daemon answers");
            let undisturbed = fault.exists();
            let _ = fs::remove_file(&fault);
            again(self, place);
            self.settled(wanted, place);
            places += 1;
            if undisturbed {
                break;
            }
            place += stride(self.victim);
        }
        assert!(places > 1, "the {} was never killed", self.victim);
        self.everything_was_said_once();
    }

    /// Of each run that started its end stands in the log, or it lives; and nothing is said twice of any.
    #[track_caller]
    fn everything_was_said_once(&self) {
        let mut said: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for entry in fs::read_dir(self.stead.path("log/web")).unwrap() {
            for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
                let Some((run, text)) = line.split_once("[stead] ").and_then(|(_, event)| event.split_once(": "))
                else {
                    continue;
                };
                if run.contains('@') {
                    *said.entry(run.to_owned()).or_default().entry(text.to_owned()).or_default() += 1;
                }
            }
        }
        let alive = self.stead.list().iter().filter(|row| row["app"] == "web" && row["pid"].is_i64()).count();
        let mut unended = 0;
        for (run, texts) in &said {
            assert!(texts.values().all(|times| *times == 1), "{run}: {texts:#?}");
            let has = |what: &str| texts.keys().any(|text| text.starts_with(what));
            unended += usize::from(has("started") && !has("exited"));
        }
        assert_eq!(unended, alive, "{said:#?}");
    }

    /// One that dies right after its start is started again after a while only.
    fn daemon_is_no_newborn(&self) {
        let pid = daemon(&self.stead).expect("a daemon");
        let begun = fs::metadata(format!("/proc/{pid}"))
            .unwrap()
            .created()
            .or_else(|_| fs::metadata(format!("/proc/{pid}")).unwrap().modified());
        let begun = begun.unwrap();
        assert!(eventually(|| begun.elapsed().is_ok_and(|age| age.as_millis() > 300)));
    }

    #[track_caller]
    fn settled(&self, wanted: usize, place: u64) {
        let mut rows = Vec::new();
        let done = eventually(|| {
            rows = self.stead.list();
            rows.retain(|row| row["app"] == "web");
            let up = rows.iter().filter(|row| row["status"] == "running" && row["generation"] == "running").count();
            let down = rows.iter().filter(|row| row["status"] == "stopped" && row["pid"].is_null()).count();
            let outdated = rows.iter().any(|row| row["outdated"] == true);
            up == wanted && up + down == rows.len() && !outdated && self.processes() == wanted
        });
        assert!(done, "place {place}: {} processes, {rows:#?}", self.processes());
        assert_eq!(self.stead.pid("by/0"), self.bystander, "place {place}");
        assert_eq!(self.stead.instance("by/0")["restarts"], 0, "place {place}");
        if wanted > 0 {
            Load::of(12, self.port, &[]).by_all("web", wanted);
        }
    }

    /// Processes of the app that are alive, whoever knows them.
    fn processes(&self) -> usize {
        let mark = format!("port={}\0", self.port);
        let of_app = |entry: fs::DirEntry| -> Option<()> {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            (line.contains(&mark) && line.contains("server") && alive(pid)).then_some(())
        };
        fs::read_dir("/proc").unwrap().filter_map(|entry| of_app(entry.ok()?)).count()
    }

    /// The app's file, as its revision `number`.
    fn revision(&self, number: u64) -> String {
        self.app.clone().with(&format!("env = {{ REVISION = \"{number}\" }}")).file(&self.stead)
    }
}

#[test]
fn a_start_that_the_daemon_dies_in_is_finished_or_never_was() {
    start(&Scene::new());
}

pub fn start(scene: &Scene) {
    scene.at_every_place(
        |s| drop(s.stead.run(&["delete", "web"])),
        |s, _| drop(s.stead.run(&["start", &s.app.file(&s.stead)])),
        |s, _| drop(s.stead.run(&["start", &s.app.file(&s.stead)]).ok()),
        3,
    );
}

#[test]
fn a_roll_that_the_daemon_dies_in_goes_on_and_loses_nothing() {
    roll(&Scene::new());
}

pub fn roll(scene: &Scene) {
    scene.at_every_place(
        |s| drop(s.stead.run(&["start", &s.revision(0)]).ok()),
        |s, place| {
            let load = Load::begin("fresh", s.port, &["rate=200"]);
            drop(s.stead.run(&["start", &s.revision(place)]));
            load.end().nothing_lost();
        },
        |s, place| drop(s.stead.run(&["start", &s.revision(place)]).ok()),
        3,
    );
}

#[test]
fn a_scale_that_the_daemon_dies_in_comes_to_the_count() {
    scale(&Scene::new());
}

pub fn scale(scene: &Scene) {
    scene.at_every_place(
        |s| {
            s.stead.run(&["start", &s.app.file(&s.stead)]).ok();
            s.stead.run(&["scale", "web", "3"]).ok();
        },
        |s, place| drop(s.stead.run(&["scale", "web", if place % 2 == 0 { "5" } else { "1" }])),
        |s, _| drop(s.stead.run(&["scale", "web", "2"]).ok()),
        2,
    );
}

#[test]
fn a_stop_that_the_daemon_dies_in_leaves_nothing() {
    stop(&Scene::new());
}

pub fn stop(scene: &Scene) {
    scene.at_every_place(
        |s| drop(s.stead.run(&["start", &s.app.file(&s.stead)]).ok()),
        |s, _| drop(s.stead.run(&["stop", "web"])),
        |s, _| drop(s.stead.run(&["stop", "web"]).ok()),
        0,
    );
}

#[test]
fn a_shutdown_that_the_daemon_dies_in_comes_to_its_end() {
    let mut place = 1;
    loop {
        let stead = Stead::new();
        let start = stead
            .command(&["start", "sleep", "--name", "a", "-i", "2", "--", "1000"])
            .env("STEAD_FAULTS", "1")
            .status();
        assert!(start.unwrap().success());
        let (holder, pids) = (holder(&stead), pids(&stead, "a", 2));
        let fault = stead.path("run/fault");
        fs::write(&fault, place.to_string()).unwrap();
        let said = stead.run(&["shutdown"]);
        let undisturbed = fault.exists();
        if said.code != Some(0) && alive(holder) {
            // It may have died before it had taken the request.
            stead.run(&["shutdown"]);
        }
        assert!(eventually(|| !alive(holder)), "place {place}: {said:?}");
        assert!(pids.iter().all(|pid| !alive(*pid)), "place {place}");
        // Of a daemon that had said farewell.
        let _ = fs::remove_file(stead.path("run/private"));
        assert_eq!(stead.cgroups(), Vec::<std::path::PathBuf>::new(), "place {place}");
        if undisturbed {
            break;
        }
        place += stride("daemon");
    }
    assert!(place > 1, "the daemon was never killed");
}

#[test]
fn a_crash_that_the_daemon_dies_in_is_mended_once() {
    crash(&Scene::new());
}

pub fn crash(scene: &Scene) {
    scene.at_every_place(
        |s| {
            s.stead.run(&["start", &s.app.file(&s.stead)]).ok();
            s.stead.run(&["reset", "web"]).ok();
        },
        |s, place| {
            let before = s.stead.pid("web/1");
            kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
            // Either it comes up again, or the daemon dies at it, and then it does.
            let back = eventually(|| {
                let rows = s.stead.run(&["list", "--json"]);
                let rows: Vec<Value> = serde_json::from_str(&rows.out).unwrap_or_default();
                let row = rows.into_iter().find(|row| row["instance"] == "web/1");
                row.is_some_and(|row| row["status"] == "running" && row["pid"] != before)
            });
            assert!(back, "place {place}: web/1 does not come back");
        },
        |s, place| {
            let row = s.stead.instance("web/1");
            let mended = (row["restarts"].as_u64().unwrap(), row["last_exit"]["signal"].as_str());
            match s.victim {
                "daemon" => assert_eq!(mended, (1, Some("SIGKILL")), "place {place}"),
                // It may have been killed in the midst of the next start.
                _ => assert!((1..=2).contains(&mended.0), "place {place}: {mended:?}"),
            }
        },
        3,
    );
}
