//! Replacing what runs: never the old before the new is ready, unless it cannot be.

use crate::support::{Stead, alive, program};

#[test]
fn a_roll_whose_new_version_never_gets_ready_leaves_the_old_one_running() {
    let stead = Stead::new();
    let script = stead.file("s.sh", "exec sleep 1000\n");
    let toml = |ready: &str| {
        format!(
            "[[app]]\nname = \"s\"\nrun = {script:?}\nready_on = \"{ready}\"\nstart_timeout = \"1s\"\nmax_restarts = 1\ninstances = 2\n"
        )
    };
    let file = stead.file("s.toml", &toml("instant"));
    stead.run(&["start", file.to_str().unwrap()]).ok();
    let pids = [stead.pid("s/0"), stead.pid("s/1")];
    stead.file("s.toml", &toml("notify"));
    let said = stead.run(&["start", file.to_str().unwrap()]).fails();
    assert!(said.text().contains("start_timeout"), "{}", said.text());
    assert_eq!([stead.pid("s/0"), stead.pid("s/1")], pids);
    assert_eq!(stead.instance("s/0")["outdated"], true);
}

#[test]
fn a_restart_starts_the_new_one_first_and_then_stops_the_old_one() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead.run(&["start", sleeper.to_str().unwrap(), "--name", "s", "-i", "4", "--ready-on", "instant"]).ok();
    let before: Vec<i32> = (0..4).map(|n| stead.pid(&format!("s/{n}"))).collect();
    stead.run(&["restart", "s"]).ok();
    for (n, old) in before.iter().enumerate() {
        assert_ne!(stead.pid(&format!("s/{n}")), *old);
        assert!(!alive(*old));
    }
    let logs = stead.run(&["logs", "s/0", "--no-follow", "--lines", "50"]).out;
    let ready = logs.rfind("ready after").unwrap_or_else(|| panic!("{logs}"));
    let stopping = logs.rfind("stopping").unwrap_or_else(|| panic!("{logs}"));
    assert!(ready < stopping, "the old one was stopped first:\n{logs}");
}

#[test]
fn a_broken_new_version_of_an_old_first_app_brings_the_previous_one_back() {
    let stead = Stead::new();
    let good = stead.file("good.sh", "exec sleep 1000\n");
    let bad = stead.file("bad.sh", "exit 7\n");
    let toml = |script: &std::path::Path| {
        format!("[[app]]\nname = \"s\"\nrun = {script:?}\nreplace = \"old-first\"\nmax_restarts = 2\n")
    };
    let file = stead.file("s.toml", &toml(&good));
    stead.run(&["start", file.to_str().unwrap()]).ok();
    stead.file("s.toml", &toml(&bad));
    stead.run(&["start", file.to_str().unwrap()]).fails();
    let row = stead.wait("s/0", "brought back", |row| row["status"] == "running");
    assert_eq!(row["outdated"], true);
}

#[test]
fn plan_says_what_start_would_do_and_does_nothing() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    let toml = |more: &str| format!("[[app]]\nname = \"s\"\nrun = [{sleeper:?}]\nready_on = \"instant\"\n{more}");
    let file = stead.file("s.toml", &toml(""));
    let plan = stead.run(&["plan", file.to_str().unwrap()]).ok().out;
    assert!(plan.contains("start"), "{plan}");
    stead.run(&["start", file.to_str().unwrap()]).ok();
    let pid = stead.pid("s/0");
    assert!(stead.run(&["plan", file.to_str().unwrap()]).ok().out.contains("unchanged"));
    stead.file("s.toml", &toml("nice = 3\n"));
    let plan = stead.run(&["plan", file.to_str().unwrap()]).ok().out;
    assert!(plan.contains("nice"), "{plan}");
    assert_eq!(stead.pid("s/0"), pid);
}
