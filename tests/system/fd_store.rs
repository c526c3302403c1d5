//! The holder is killed under a service manager that keeps its descriptors, and starts it again: no app notices.
//! Owns: a stand-in for systemd (tests/apps/service-manager.py); `tests/vm` has the real one.

use std::fs;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::adoption::{Scene, crash, holder, roll, scale, start, stop, under_load};
use crate::load::{App, Load, daemon, pids, slow_machine};
use crate::support::{Stead, alive, app, eventually, free_port};

/// A stead whose holder is a service.
struct Service {
    stead: Stead,
    manager: Child,
}

impl Service {
    fn start() -> Self {
        let stead = Stead::new();
        let holder = stead.command(&[]).get_program().to_owned();
        let holder = std::path::Path::new(&holder).with_file_name("stead-holder");
        let mut manager = Command::new("python3");
        manager.arg(app("service-manager.py")).arg(&stead.dir).arg(&holder).env("STEAD_FAULTS", "1");
        // Its environment is what `stead` would give to a holder that it starts.
        stead.settle_environment(&mut manager);
        fs::create_dir_all(stead.path("log")).unwrap();
        let log = fs::File::create(stead.path("log/stead.log")).unwrap();
        let manager = manager.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let service = Self { stead, manager };
        assert!(eventually(|| service.heard().contains("READY=1")), "{}", service.stead.daemon_log());
        service
    }

    fn heard(&self) -> String {
        fs::read_to_string(self.stead.path("heard")).unwrap_or_default()
    }

    fn ends(&mut self) {
        assert!(
            eventually(|| self.manager.try_wait().unwrap().is_some()),
            "it goes on after a shutdown: {}",
            self.heard()
        );
    }
}

/// `kill -9` for the holder, and the wait until the next one's daemon answers.
fn replace_holder(stead: &Stead, meanwhile: impl FnOnce()) {
    let before = (holder(stead), daemon(stead).unwrap());
    fs::write(stead.path("hold"), "").unwrap();
    kill(Pid::from_raw(before.0), Signal::SIGKILL).unwrap();
    assert!(eventually(|| !alive(before.0) && !alive(before.1)), "the daemon outlives its holder");
    meanwhile();
    fs::remove_file(stead.path("hold")).unwrap();
    assert!(
        eventually(|| ![0, before.0].contains(&holder(stead)) && stead.run(&["list"]).code == Some(0)),
        "no holder came after it"
    );
}

#[test]
fn a_killed_holder_costs_no_app_anything_and_an_exit_that_nobody_saw_is_known() {
    let mut service = Service::start();
    let stead = &service.stead;
    let port = free_port();
    App::server("web", port, &[]).instances(2).start(stead);
    stead.run(&["start", "sleep", "--name", "dies", "--restart-delay", "0", "--", "1000"]).ok();
    let load = Load::begin("fresh", port, &["rate=200"]);
    let (web, dies) = (pids(stead, "web", 2), stead.pid("dies/0"));
    replace_holder(stead, || {
        kill(Pid::from_raw(dies), Signal::SIGSEGV).unwrap();
        assert!(eventually(|| !alive(dies)));
    });
    let row = stead.wait("dies/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut version = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let tells = (version.next(), version.next()) >= (Some(6), Some(15));
    let expected = if tells { "signal" } else { "unknown" };
    assert_eq!(row["last_exit"]["reason"], expected, "{row:#}");
    assert_eq!(pids(stead, "web", 2), web);
    // What it has taken over it can stop, roll and be upgraded with, and its exits are noticed.
    stead.run(&["upgrade"]).ok();
    kill(Pid::from_raw(web[0]), Signal::SIGKILL).unwrap();
    let row = stead.wait("web/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    // It is another's child still, and may be seen before that one reaps it.
    let reason = row["last_exit"]["reason"].as_str();
    assert!(matches!(reason, Some("signal" | "unknown")), "{row:#}");
    replace_holder(stead, || ());
    stead.run(&["reload", "web"]).ok();
    let lost = load.end();
    // The one that was killed had what it had accepted.
    assert!(lost.counts["lost"].as_u64().unwrap_or(0) <= 8, "{lost:?}");
    assert!(web.iter().all(|pid| !alive(*pid)));
    assert!(stead.daemon_log().contains("the one before was killed"), "{}", stead.daemon_log());
    stead.run(&["shutdown"]).ok();
    service.ends();
    let heard = service.heard();
    let count = |what: &str| heard.lines().filter(|line| line.contains(what)).count();
    assert!(count("WATCHDOG=1") > 0 && heard.contains("STATUS=3 processes kept running"), "{heard}");
}

#[test]
fn nothing_is_lost_while_the_holder_is_killed_again_and_again_under_load() {
    let mut service = Service::start();
    under_load(&service.stead, |stead| replace_holder(stead, || ()), if slow_machine() { 1 } else { 4 });
    service.stead.run(&["shutdown"]).ok();
    service.ends();
}

/// The actions in which a daemon is killed elsewhere, with the holder killed instead.
fn with_the_holder_killed(action: fn(&Scene)) {
    let Service { stead, manager } = Service::start();
    let scene = Scene::of(stead, "holder");
    action(&scene);
    scene.stead.run(&["shutdown"]).ok();
    Service { stead: scene.stead, manager }.ends();
}

#[test]
fn a_start_that_the_holder_dies_in_is_finished_or_never_was() {
    with_the_holder_killed(start);
}

#[test]
fn a_roll_that_the_holder_dies_in_goes_on_and_loses_nothing() {
    with_the_holder_killed(roll);
}

#[test]
fn a_scale_that_the_holder_dies_in_comes_to_the_count() {
    with_the_holder_killed(scale);
}

#[test]
fn a_stop_that_the_holder_dies_in_leaves_nothing() {
    with_the_holder_killed(stop);
}

#[test]
fn a_crash_that_the_holder_dies_in_is_mended() {
    with_the_holder_killed(crash);
}
