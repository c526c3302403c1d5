//! The keys about times, ends, health and order: what is taken, what is refused and in which words.

use insta::assert_snapshot;
use stead::config::{diff, to_raw};
use stead::model::spec::Restart;

use crate::config::{app, comes_back, errors};

/// What is said of one app.
#[track_caller]
fn wrong(keys: &str) -> String {
    errors(&format!("[[app]]\nrun = \"server.js\"\n{keys}\n"))
}

#[track_caller]
fn with(keys: &str) -> stead::model::spec::AppSpec {
    app(&format!("run = \"server.js\"\n{keys}"))
}

// Times.

#[test]
fn a_time_is_a_pattern_or_a_list_of_them() {
    let spec = with("schedule = \"30  2 * * *\"\ntime_zone = \"Europe/Berlin\"");
    assert_eq!(spec.times.schedule[0].as_str(), "30 2 * * *");
    assert!(spec.is_job() && spec.restart == Restart::Never);
    let cron = with("cron_restart = [\"@daily\", \"0 0 12 * * mon-fri\"]");
    assert_eq!((cron.times.cron_restart.len(), cron.is_job(), cron.restart), (2, false, Restart::Always));
    for spec in [spec, cron] {
        comes_back(&spec);
    }
}

#[test]
fn a_job_that_fails_is_tried_again_only_if_that_is_asked_for() {
    let spec = with("schedule = \"@hourly\"\nrestart = \"on-failure\"");
    assert_eq!(spec.restart, Restart::OnFailure);
    comes_back(&spec);
    let written: Vec<_> = to_raw(&with("schedule = \"@hourly\"")).into_iter().map(|(key, _)| key).collect();
    assert!(!written.contains(&"restart".to_owned()), "{written:?}");
}

#[test]
fn what_is_no_time_is_refused_with_the_field_that_is_wrong() {
    assert_snapshot!(wrong("schedule = \"0 24 * * *\""), @r#"
    web.toml:3:12: `schedule`: "24" is no hour
      3 | schedule = "0 24 * * *"
        |            ^^^^^^^^^^^^ it is 0 to 23; "*", "1,2", "1-5" and "*/5" are possible, too
    "#);
    assert_snapshot!(wrong("cron_restart = [\"@daily\", \"* * * *\", \"0 0 30 2 *\", 5]"), @r#"
    web.toml:3:27: `cron_restart`: "* * * *" has 4 fields, not five or six
      3 | cron_restart = ["@daily", "* * * *", "0 0 30 2 *", 5]
        |                           ^^^^^^^^^ they are minute, hour, day of the month, month, day of the week, and the second before them if it matters
    web.toml:3:38: `cron_restart`: "0 0 30 2 *" never comes
      3 | cron_restart = ["@daily", "* * * *", "0 0 30 2 *", 5]
        |                                      ^^^^^^^^^^^^ no month has such a day: choose another
    web.toml:3:52: `cron_restart`: a list of patterns cannot hold a number
      3 | cron_restart = ["@daily", "* * * *", "0 0 30 2 *", 5]
        |                                                    ^ put it in quotes
    "#);
    assert_snapshot!(wrong("schedule = \"@reboot\"\ntime_zone = \"../etc/passwd\""), @r#"
    web.toml:3:12: `schedule`: there is no "@reboot"
      3 | schedule = "@reboot"
        |            ^^^^^^^^^ use @hourly, @daily, @weekly, @monthly, @yearly, or five fields as "0 * * * *"
    web.toml:4:13: `time_zone`: "../etc/passwd" is not the name of a time zone
      4 | time_zone = "../etc/passwd"
        |             ^^^^^^^^^^^^^^^ write it as "Europe/Berlin" or "UTC"
    "#);
}

#[test]
fn what_contradicts_a_job_is_refused() {
    let keys = "schedule = \"@daily\"\ncron_restart = \"@daily\"\nrestart = \"always\"\nreplace = \"new-first\"\n\
                max_memory_restart = \"64M\"";
    assert_snapshot!(wrong(keys), @r#"
    web.toml:4:16: `cron_restart`: an app with `schedule` does not run between its times
      4 | cron_restart = "@daily"
        |                ^^^^^^^^ use `schedule` for a job that ends, `cron_restart` for an app that stays
    web.toml:5:11: `restart`: a job with `schedule` ends, and would be started again each time
      5 | restart = "always"
        |           ^^^^^^^^ leave it out, or use "on-failure" to have a failed run tried again before its next time
    web.toml:6:11: `replace`: no two runs of a job with `schedule` are there at once
      6 | replace = "new-first"
        |           ^^^^^^^^^^^ leave it out
    web.toml:7:22: `max_memory_restart`: would end a run of the job half-way and begin it again
      7 | max_memory_restart = "64M"
        |                      ^^^^^ use `memory_max`, over which the run fails
    "#);
    assert_snapshot!(wrong("time_zone = \"UTC\""), @r#"
    web.toml:3:13: `time_zone`: nothing is done at any time
      3 | time_zone = "UTC"
        |             ^^^^^ set `schedule` or `cron_restart`, too
    "#);
}

#[test]
fn a_changed_time_is_a_change() {
    let changes = diff(&with("cron_restart = \"@daily\""), &with("cron_restart = [\"@daily\", \"@hourly\"]"));
    let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["cron_restart: \"@daily\" → [\"@daily\", \"@hourly\"]"]);
}

// Ends and beginnings.

#[test]
fn exit_codes_are_in_order_and_each_once() {
    assert_eq!(with("stop_exit_codes = [42, 0, 42]").stop_exit_codes, [0, 42]);
    assert_eq!(with("stop_exit_codes = 3").stop_exit_codes, [3]);
    comes_back(&with("exp_backoff_restart_delay = \"250ms\"\nautostart = false"));
}

#[test]
fn ends_that_cannot_be_are_refused() {
    let keys = "stop_exit_codes = [1, 256, -1, \"x\"]\nrestart_delay = 0\nexp_backoff_restart_delay = \"20s\"";
    assert_snapshot!(wrong(keys), @r#"
    web.toml:3:23: `stop_exit_codes`: no program ends with 256
      3 | stop_exit_codes = [1, 256, -1, "x"]
        |                       ^^^ exit codes are from 0 to 255
    web.toml:3:28: `stop_exit_codes`: no program ends with -1
      3 | stop_exit_codes = [1, 256, -1, "x"]
        |                            ^^ exit codes are from 0 to 255
    web.toml:3:32: `stop_exit_codes`: a list of exit codes cannot hold text
      3 | stop_exit_codes = [1, 256, -1, "x"]
        |                                ^^^ write a number
    web.toml:5:29: `exp_backoff_restart_delay`: delays grow to 15s and no further
      5 | exp_backoff_restart_delay = "20s"
        |                             ^^^^^ use less, or `restart_delay` for one that stays the same
    "#);
    assert_snapshot!(wrong("restart_delay = \"1s\"\nexp_backoff_restart_delay = \"1s\""), @r#"
    web.toml:4:29: `exp_backoff_restart_delay`: `restart_delay` says that the delay is always the same
      4 | exp_backoff_restart_delay = "1s"
        |                             ^^^^ leave one of the two out
    "#);
    assert_snapshot!(wrong("exp_backoff_restart_delay = 0"), @r#"
    web.toml:3:29: `exp_backoff_restart_delay`: nothing does not grow
      3 | exp_backoff_restart_delay = 0
        |                             ^ give it some time, as in "100ms", or leave the key out
    "#);
}
