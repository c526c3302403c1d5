//! Clients ask all the time, and meanwhile instances are replaced, added, taken away and killed: what do they lose?

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::{App, Asked, CLIENTS, Load, Report, names, pids, printed, slow_machine, unfinished};
use crate::support::{Stead, alive, free_port};

/// Each is a whole life under load; a slow machine has its time for other tests, too.
fn rounds() -> usize {
    if slow_machine() { 3 } else { 10 }
}

fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// Reloads an app `times` times under load and returns what was lost.
#[track_caller]
fn reloaded(stead: &Stead, app: &App, mode: &str, port: u16, times: usize) -> Report {
    app.start(stead);
    // Few of those that pause: the more they are, the rarer is the moment in which all of them do.
    let load = Load::begin(mode, port, if mode.starts_with("pause") { &["clients=4"] } else { &[] });
    for _ in 0..times {
        let before = pids(stead, app.name, app.instances);
        stead.run(&["reload", app.name]).ok();
        for (name, pid) in names(app.name, app.instances).iter().zip(before) {
            assert_ne!(stead.pid(name), pid, "{name} was not replaced");
            assert!(!alive(pid), "the former {name} is still there");
        }
    }
    let report = load.end();
    stead.run(&["delete", app.name]).ok();
    report
}

#[test]
fn a_reload_of_two_instances_loses_no_request_whether_the_server_handles_its_signal_or_not() {
    let stead = Stead::new();
    for flags in [[].as_slice(), &["signals=none"]] {
        let port = free_port();
        let app = App::server("web", port, flags).instances(2);
        reloaded(&stead, &app, "fresh", port, rounds()).nothing_lost();
    }
}

#[test]
fn a_reload_of_a_single_instance_loses_no_request_whether_the_server_handles_its_signal_or_not() {
    let stead = Stead::new();
    for flags in [[].as_slice(), &["signals=none"]] {
        let port = free_port();
        let app = App::server("web", port, flags).with("ready_on = \"auto\"");
        reloaded(&stead, &app, "fresh", port, rounds()).nothing_lost();
    }
}

#[test]
fn a_server_that_takes_its_time_to_boot_and_to_answer_is_reloaded_without_a_loss() {
    let stead = Stead::new();
    for flags in [["boot=200", "slow=100", "signals=finish"], ["boot=200", "slow=100", "signals=none"]] {
        let port = free_port();
        let app = App::server("web", port, &flags).instances(2);
        reloaded(&stead, &app, "fresh", port, 2).nothing_lost();
    }
}

#[test]
fn clients_that_keep_their_connections_and_pause_lose_nothing() {
    let stead = Stead::new();
    for flags in [[].as_slice(), &["signals=none"]] {
        let port = free_port();
        let app = App::server("web", port, flags).instances(2);
        reloaded(&stead, &app, "pause=2000", port, 2).nothing_lost();
    }
}

#[test]
fn clients_that_never_pause_lose_nothing_when_the_server_closes_their_connections_at_its_signal() {
    let stead = Stead::new();
    let port = free_port();
    let app = App::server("web", port, &[]).instances(2).with("drain_timeout = \"500ms\"");
    let report = reloaded(&stead, &app, "keep", port, 2);
    // A request that met a closing connection was sent once more, on a new one: that is no loss (RFC 9110, 9.2.2).
    report.nothing_lost();
    assert!(report.count("retried") <= 2 * 2 * CLIENTS, "{report}");
}

#[test]
fn clients_that_never_pause_lose_at_most_what_was_in_flight_when_the_server_handles_no_signal() {
    let stead = Stead::new();
    let port = free_port();
    let app = App::server("web", port, &["signals=none"]).instances(2).with("drain_timeout = \"500ms\"");
    let report = reloaded(&stead, &app, "keep", port, 2);
    // Twice two instances, and at most every client's request in each.
    assert!(report.count("lost") + report.count("retried") <= 2 * 2 * CLIENTS, "{report}");
    assert_eq!(report.count("refused") + report.count("timed_out"), 0, "{report}");
}

#[test]
fn an_app_is_scaled_up_and_down_without_a_loss() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &["signals=none"]).start(&stead);
    let load = Load::begin("fresh", port, &[]);
    for count in [4, 2, 4] {
        stead.run(&["scale", "web", &count.to_string()]).ok();
        Load::of(40, port, &[]).by_all("web", count);
    }
    load.end().nothing_lost();
}

#[test]
fn one_instance_is_stopped_and_started_again_without_a_loss() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &["signals=none"]).instances(2).start(&stead);
    let load = Load::begin("fresh", port, &[]);
    for _ in 0..2 {
        stead.run(&["stop", "web/1"]).ok();
        Load::of(20, port, &[]).by_all("web", 1);
        stead.run(&["start", "web/1"]).ok();
        Load::of(20, port, &[]).by_all("web", 2);
    }
    load.end().nothing_lost();
}

#[test]
fn a_killed_instance_takes_with_it_only_what_it_had_accepted() {
    let stead = Stead::new();
    let port = free_port();
    let stats = stead.path("stats");
    fs::create_dir(&stats).unwrap();
    let stats = format!("stats={}", stats.display());
    App::server("web", port, &["slow=5", &stats]).instances(2).with("restart_delay = 0").start(&stead);
    let load = Load::begin("fresh", port, &[]);
    let mut accepted = 0;
    for round in 0..rounds() {
        let name = format!("web/{}", round % 2);
        let pid = stead.pid(&name);
        end(pid);
        let row = stead.wait(&name, "back", |row| row["ready"] == true && row["pid"] != pid);
        assert_eq!(row["restarts"].as_u64(), Some(round as u64 / 2 + 1));
        // One more: it may have died between accept(2) and the count.
        accepted += unfinished(&stead, pid) + 1;
    }
    let report = load.end();
    assert_eq!(report.count("refused") + report.count("timed_out"), 0, "{report}");
    assert!(report.count("lost") <= accepted, "more was lost than the {accepted} that had been accepted: {report}");
}

#[test]
fn what_waits_in_the_queue_of_a_killed_instance_is_answered_by_another() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &[]).instances(2).with("restart = \"never\"").start(&stead);
    stead.run(&["signal", "USR1", "web/1"]).ok();
    printed(&stead, "web/1", "holding", 1);
    let asked: Vec<Asked> = (0..20).map(|_| Asked::new(port)).collect();
    end(stead.pid("web/1"));
    for one in asked {
        let answer = one.answer();
        assert!(answer.contains("instance web/0 "), "{answer}");
    }
}

#[test]
fn what_waits_in_the_queue_of_an_instance_that_stops_is_answered_by_its_successor() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &[]).with("drain_timeout = \"1s\"").start(&stead);
    let pid = stead.pid("web/0");
    stead.run(&["signal", "USR1", "web/0"]).ok();
    printed(&stead, "web/0", "holding", 1);
    let asked: Vec<Asked> = (0..10).map(|_| Asked::new(port)).collect();
    stead.run(&["reload", "web"]).ok();
    assert!(!alive(pid));
    let now = format!("pid {}\n", stead.pid("web/0"));
    for one in asked {
        let answer = one.answer();
        assert!(answer.ends_with(&now), "{answer}");
    }
}

#[test]
fn a_request_that_is_being_answered_is_waited_for_before_a_server_that_handles_nothing_is_told_to_stop() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &["slow=1500", "signals=none"]).with("drain_timeout = \"20s\"").start(&stead);
    let pid = stead.pid("web/0");
    let asked = Asked::new(port);
    stead.run(&["reload", "web"]).ok();
    assert!(!alive(pid));
    let answer = asked.answer();
    assert!(answer.ends_with(&format!("pid {pid}\n")), "{answer}");
}

#[test]
fn a_new_revision_that_never_gets_ready_takes_no_request_from_the_old_one() {
    let stead = Stead::new();
    let port = free_port();
    let good = App::server("web", port, &[]).instances(2).with(&format!("ready_on = \"http://127.0.0.1:{port}/\""));
    good.start(&stead);
    let before = pids(&stead, "web", 2);
    let load = Load::begin("fresh", port, &[]);
    // One that answers errors, one that never listens, one that exits at once.
    for flags in [["sick=all"], ["deaf"], ["nonsense"]] {
        let bad = App { run: App::server("web", port, &flags).run, ..good.clone() };
        let bad = bad.with("start_timeout = \"1s\"").with("max_restarts = 1");
        stead.run(&["start", &bad.file(&stead)]).fails();
        assert_eq!(pids(&stead, "web", 2), before);
        assert_eq!(stead.instance("web/0")["outdated"], true);
    }
    load.end().by_all("web", 2);
}
