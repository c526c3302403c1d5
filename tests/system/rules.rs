//! How apps end, come back and begin, as their keys say.

use crate::boot::boot;
use crate::support::Stead;

#[test]
fn an_exit_code_of_the_list_is_an_end_and_another_is_followed_by_a_restart() {
    let stead = Stead::new();
    let start = |name: &str, code: u8| {
        let script = format!("sleep 0.2; exit {code}");
        stead.run(&["start", &script, "--name", name, "--stop-exit-codes", "0,7", "--ready-on", "instant"]).ok();
    };
    start("seven", 7);
    start("eight", 8);
    let row = stead.wait("seven/0", "stopped", |row| row["status"] == "stopped");
    assert_eq!((row["restarts"].as_u64(), row["last_exit"]["code"].as_i64()), (Some(0), Some(7)));
    stead.wait("eight/0", "restarted", |row| row["restarts"].as_u64() > Some(0));
}

#[test]
fn delays_between_restarts_begin_with_the_one_that_is_given() {
    let stead = Stead::new();
    let delay = ["--exp-backoff-restart-delay", "100ms", "--max-restarts", "5"];
    stead.run(&[&["start", "exit 3", "--name", "loop"], &delay[..]].concat()).fails();
    stead.wait("loop/0", "errored", |row| row["status"] == "errored");
    let log = stead.run(&["logs", "loop", "--no-follow"]).out;
    assert!(log.contains("restarting in 100 ms (death 1 in a row)"), "{log}");
    assert!(!log.contains("restarting at once"), "{log}");
}

#[test]
fn without_autostart_neither_a_file_nor_a_boot_starts_an_app_that_nobody_has_named() {
    let stead = Stead::new();
    let app = |name: &str| format!("[[app]]\nname = \"{name}\"\nrun = [\"sleep\", \"1000\"]\nautostart = false\n");
    let file = stead.file("two.toml", &format!("{}{}", app("one"), app("two")));
    let said = stead.run(&["start", file.to_str().unwrap()]).ok();
    assert!(said.err.contains("one has autostart = false: to start it: stead start one"), "{}", said.text());
    let states = || ["one/0", "two/0"].map(|name| stead.instance(name)["status"].as_str().unwrap().to_owned());
    assert_eq!(states(), ["stopped", "stopped"]);
    stead.run(&["start", "all"]).ok();
    assert_eq!(states(), ["stopped", "stopped"]);
    stead.run(&["start", "two"]).ok();
    stead.run(&["save", "now"]).ok();
    stead.run(&["shutdown"]).ok();
    boot(&stead);
    stead.wait("two/0", "running", |row| row["status"] == "running");
    assert_eq!(states(), ["stopped", "running"]);
    stead.run(&["delete", "all"]).ok();
    stead.run(&["resurrect", "now"]).ok();
    assert_eq!(stead.instance("two/0")["status"], "running");
    assert_eq!(stead.list().len(), 1);
}
