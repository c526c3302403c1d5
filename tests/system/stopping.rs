//! Stop, kill, delete, signal: nothing survives, nobody else is harmed.

use crate::support::{Stead, alive, eventually, program};

#[test]
fn a_grandchild_that_left_its_session_and_ignores_every_signal_is_gone_when_stop_returns() {
    let stead = Stead::new();
    let escapee = program("escapee");
    let pids = stead.path("pids");
    stead
        .run(&[
            "start",
            escapee.to_str().unwrap(),
            "--name",
            "e",
            "--ready-on",
            "instant",
            "--",
            pids.to_str().unwrap(),
        ])
        .ok();
    let mut grandchild = 0;
    assert!(eventually(|| {
        grandchild = std::fs::read_to_string(&pids).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        grandchild != 0
    }));
    assert!(alive(grandchild));
    stead.run(&["stop", "e"]).ok();
    assert!(!alive(grandchild));
    let row = stead.instance("e/0");
    assert_eq!(row["status"], "stopped");
    assert!(row["pid"].is_null());
}

#[test]
fn an_app_that_ignores_its_stop_signal_is_killed_at_its_deadline_and_delays_nobody() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    let sleeper = sleeper.to_str().unwrap();
    stead
        .run(&["start", sleeper, "--name", "deaf", "--ready-on", "instant", "--stop-timeout", "3s", "--", "stubborn"])
        .ok();
    stead.run(&["start", sleeper, "--name", "good", "--ready-on", "instant"]).ok();
    let good = stead.pid("good/0");
    let mut stopping = stead.command(&["stop", "deaf"]).spawn().unwrap();
    stead.wait("deaf/0", "stopping", |row| row["status"] == "stopping");
    stead.run(&["restart", "good"]).ok();
    assert_ne!(stead.pid("good/0"), good);
    assert_eq!(stead.instance("deaf/0")["status"], "stopping", "the other's restart waited for this stop");
    assert!(stopping.wait().unwrap().success());
    let row = stead.instance("deaf/0");
    assert_eq!(row["last_exit"]["reason"], "stop-timeout");
}

#[test]
fn kill_does_not_wait_and_kill_without_a_selector_asks_what_was_meant() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead
        .run(&[
            "start",
            sleeper.to_str().unwrap(),
            "--name",
            "deaf",
            "--ready-on",
            "instant",
            "--stop-timeout",
            "1h",
            "--",
            "stubborn",
        ])
        .ok();
    let said = stead.run(&["kill"]).fails();
    assert!(said.text().contains("shutdown"), "{}", said.text());
    stead.run(&["kill", "deaf"]).ok();
    let row = stead.instance("deaf/0");
    assert_eq!((row["status"].as_str(), row["last_exit"]["reason"].as_str()), (Some("stopped"), Some("killed")));
}

#[test]
fn a_fork_bomb_is_held_by_tasks_max_and_ended_by_stop() {
    let stead = Stead::new();
    let forker = program("forker");
    stead
        .run(&[
            "start",
            forker.to_str().unwrap(),
            "--name",
            "bomb",
            "--ready-on",
            "instant",
            "--tasks-max",
            "50",
            "--",
            "10000",
            "keep",
        ])
        .ok();
    stead.wait("bomb/0", "at its limit", |row| row["tasks"].as_u64() == Some(50));
    stead.run(&["stop", "bomb"]).ok();
    assert_eq!(stead.instance("bomb/0")["status"], "stopped");
}

#[test]
fn ten_thousand_children_are_gone_when_stop_returns() {
    let stead = Stead::new();
    // A user-mode kernel forks a hundred times a second.
    let children: u64 =
        if std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("User Mode Linux") { 500 } else { 10_000 };
    let forker = program("forker");
    stead
        .run(&[
            "start",
            forker.to_str().unwrap(),
            "--name",
            "many",
            "--ready-on",
            "instant",
            "--",
            &children.to_string(),
        ])
        .ok();
    stead.wait("many/0", "all of them", |row| row["tasks"].as_u64() == Some(children + 1));
    stead.run(&["stop", "many"]).ok();
    assert_eq!(stead.instance("many/0")["status"], "stopped");
}

#[test]
fn a_signal_reaches_the_main_process() {
    let stead = Stead::new();
    stead
        .run(&[
            "start",
            "sh",
            "--name",
            "s",
            "--ready-on",
            "instant",
            "--",
            "-c",
            "trap 'echo got it' USR1; echo set; while :; do sleep 0.05; done",
        ])
        .ok();
    assert!(eventually(|| stead.run(&["logs", "s", "--no-follow"]).out.contains("set")));
    stead.run(&["signal", "USR1", "s"]).ok();
    assert!(eventually(|| stead.run(&["logs", "s", "--no-follow"]).out.contains("got it")));
    stead.run(&["signal", "NOPE", "s"]).fails();
}

#[test]
fn stopped_apps_stay_stopped_until_started_and_a_deleted_one_is_unknown() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead.run(&["start", sleeper.to_str().unwrap(), "--name", "s", "--ready-on", "instant"]).ok();
    stead.run(&["stop", "s"]).ok();
    stead.run(&["start", "s"]).ok();
    assert_eq!(stead.instance("s/0")["status"], "running");
    stead.run(&["delete", "s"]).ok();
    assert!(stead.run(&["stop", "s"]).fails().text().contains("s"));
    // Its logs stay.
    assert!(stead.path("log/s/0.log").exists());
}

#[test]
fn generations_and_ids_and_pids_select() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead.run(&["start", sleeper.to_str().unwrap(), "--name", "s", "-i", "3", "--ready-on", "instant"]).ok();
    let pids: Vec<i32> = (0..3).map(|n| stead.pid(&format!("s/{n}"))).collect();
    let id = stead.instance("s/1")["id"].to_string();
    stead.run(&["restart", &id]).ok();
    assert_eq!(stead.pid("s/0"), pids[0]);
    assert_ne!(stead.pid("s/1"), pids[1]);
    stead.run(&["stop", &format!("pid={}", pids[2])]).ok();
    assert_eq!(stead.instance("s/2")["status"], "stopped");
    stead.run(&["stop", "/^s$/"]).ok();
    assert!(stead.list().iter().all(|row| row["status"] == "stopped"));
    for nothing in ["nope", "99", "pid=1", "/zzz/", "@nope", "old:s"] {
        stead.run(&["stop", nothing]).fails();
    }
}
