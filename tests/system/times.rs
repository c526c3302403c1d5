//! Times of the calendar, on the host's own clock.

use std::fs;

use crate::adoption::replace_daemon;
use crate::support::{Stead, alive, eventually, program};

const EACH_SECOND: &str = "* * * * * *";

/// How often a job that adds a line to this file has run.
fn runs(stead: &Stead, file: &str) -> usize {
    fs::read_to_string(stead.path(file)).unwrap_or_default().lines().count()
}

/// Has a job run each second that counts.
fn count_seconds(stead: &Stead, name: &str) {
    let script = format!("echo x >> {}", stead.path(name).display());
    stead.run(&["start", "/bin/sh", "--name", name, "--schedule", EACH_SECOND, "--", "-c", &script]).ok();
}

/// Waits until that job has run so often more.
#[track_caller]
fn seconds_pass(stead: &Stead, name: &str, more: usize) {
    let before = runs(stead, name);
    assert!(eventually(|| runs(stead, name) >= before + more), "{name} does not run\n{}", stead.run(&["list"]).text());
}

#[test]
fn an_app_is_restarted_at_its_times_and_a_stop_ends_that() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    let args =
        ["start", sleeper.to_str().unwrap(), "--name", "s", "--ready-on", "instant", "--cron-restart", EACH_SECOND];
    stead.run(&args).ok();
    let first = stead.pid("s/0");
    let row = stead.wait("s/0", "restarted twice", |row| row["restarts"].as_u64() >= Some(2));
    assert_eq!((row["status"].as_str(), row["last_exit"]["reason"].as_str()), (Some("running"), Some("cron")));
    assert!(row["next_time"].as_u64() > row["last_exit"]["at"].as_u64(), "{row:#}");
    assert!(!alive(first));
    let log = stead.run(&["logs", "s", "--no-follow"]).out;
    assert!(log.contains("its time has come"), "{log}");
    // New before old, each time.
    let ready = log.find("s/0@2: ready").unwrap();
    assert!(ready < log.find("s/0@1: stopping").unwrap(), "{log}");
    count_seconds(&stead, "clock");
    stead.run(&["stop", "s"]).ok();
    seconds_pass(&stead, "clock", 3);
    let row = stead.instance("s/0");
    assert_eq!((row["status"].as_str(), row["next_time"].as_u64()), (Some("stopped"), None), "{row:#}");
}

#[test]
fn a_job_waits_runs_at_its_times_and_never_twice_at_once() {
    let stead = Stead::new();
    let (count, lock, twice) = (stead.path("count"), stead.path("lock"), stead.path("twice"));
    let script = format!(
        "mkdir {lock} || echo x >> {twice}\necho x >> {count}\nsleep 2.5\nrmdir {lock}\nexit 3\n",
        lock = lock.display(),
        twice = twice.display(),
        count = count.display()
    );
    let said = stead.run(&["start", "/bin/sh", "--name", "job", "--schedule", EACH_SECOND, "--", "-c", &script]).ok();
    assert!(said.out.contains("waiting") || said.out.contains("running"), "{}", said.text());
    assert!(eventually(|| runs(&stead, "count") >= 3));
    assert_eq!(runs(&stead, "twice"), 0);
    let log = stead.run(&["logs", "job", "--no-follow", "--lines", "1000"]).out;
    assert!(log.contains("a time is left out") && log.contains("exited (exit, code 3)"), "{log}");
    let row = stead.wait("job/0", "waiting", |row| row["status"] == "waiting");
    assert_eq!((row["restarts"].as_u64(), row["last_exit"]["code"].as_i64()), (Some(0), Some(3)));
    assert!(row["waits_for"].as_str().unwrap().starts_with("its next time, in "), "{row:#}");
}

#[test]
fn a_job_goes_on_when_the_daemon_dies_and_after_a_boot_and_a_stopped_one_does_not() {
    let stead = Stead::new();
    count_seconds(&stead, "count");
    count_seconds(&stead, "stopped");
    stead.run(&["stop", "stopped"]).ok();
    let stopped = runs(&stead, "stopped");
    seconds_pass(&stead, "count", 1);
    replace_daemon(&stead);
    seconds_pass(&stead, "count", 2);
    stead.run(&["shutdown"]).ok();
    stead.run(&["start", "sleep", "--name", "other", "--", "1000"]).ok();
    seconds_pass(&stead, "count", 2);
    assert_eq!(runs(&stead, "stopped"), stopped);
    assert_eq!(stead.instance("stopped/0")["status"], "stopped");
}

#[test]
fn a_far_time_is_shown_in_every_view_and_a_restart_runs_a_job_now() {
    let stead = Stead::new();
    let done = stead.path("done");
    let file = stead.file(
        "job.toml",
        &format!(
            "[[app]]\nname = \"job\"\nrun = [\"/bin/sh\", \"-c\", \"echo x >> {}\"]\nschedule = \"0 0 1 1 *\"\ntime_zone = \"Asia/Kathmandu\"\n",
            done.display()
        ),
    );
    let file = file.to_str().unwrap();
    let plan = stead.run(&["plan", file]).ok().out;
    assert!(plan.contains("schedule"), "{plan}");
    let said = stead.run(&["start", file]).ok();
    assert!(said.out.contains("waiting") && said.out.contains("its next time, in "), "{}", said.text());
    assert!(stead.run(&["start", file]).ok().err.contains("nothing to do"));
    let row = stead.instance("job/0");
    // Nepal's new year is 45 minutes off everybody's hour.
    assert_eq!(row["next_time"].as_u64().unwrap() % 3_600_000, 900_000, "{row:#}");
    let show = stead.run(&["show", "job"]).ok().out;
    assert!(show.contains("next time") && show.contains("Asia/Kathmandu"), "{show}");
    stead.run(&["restart", "job"]).ok();
    assert!(eventually(|| runs(&stead, "done") == 1));
    stead.wait("job/0", "waiting again", |row| row["status"] == "waiting");
}

#[test]
fn what_is_no_time_or_no_zone_is_refused_before_anything_is_touched() {
    let stead = Stead::new();
    let bad = stead.run(&["start", "sleep", "--name", "s", "--schedule", "0 25 * * *", "--", "1"]).fails();
    assert!(bad.err.contains("\"25\" is no hour"), "{}", bad.err);
    let args = ["start", "sleep", "--name", "s", "--schedule", "@daily", "--time-zone", "Mars/Olympus", "--", "1"];
    let zone = stead.run(&args).fails();
    assert!(zone.err.contains("no time zone \"Mars/Olympus\""), "{}", zone.err);
    assert!(!stead.path("run/private").exists() || stead.list().is_empty());
}
