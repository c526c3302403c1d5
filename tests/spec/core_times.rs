//! What the core does at times of the calendar, one behaviour at a time.

use stead::core::PlanAction;
use stead::model::exit::Reason;
use stead::model::request::{InstanceResult, Request};
use stead::model::spec::{Replace, Restart};
use stead::model::status::Status;
use stead::model::times::Pattern;

use crate::scenario::{Scenario, secs, selectors};

use InstanceResult::{Failed, Replaced, Scheduled, Started, Stopped, Unchanged};

fn hourly() -> Vec<Pattern> {
    vec![Pattern::parse("0 * * * *").unwrap()]
}

/// An app that is restarted every hour.
fn cron(name: &str) -> Scenario {
    Scenario::app(name).with(|s| s.times.cron_restart = hourly())
}

/// A job that runs every hour.
fn job(name: &str) -> Scenario {
    let job = |s: &mut stead::model::spec::AppSpec| {
        s.times.schedule = hourly();
        s.restart = Restart::Never;
    };
    Scenario::app(name).with(job)
}

/// The job, waiting for its first time.
fn armed(name: &str) -> Scenario {
    let mut t = job(name);
    t.deploy();
    t
}

// Restarts at times.

#[test]
fn at_its_time_an_app_is_replaced_as_by_a_restart_and_then_waits_for_the_next() {
    let mut t = cron("web").up();
    t.next_time().expect(["spawn web/0@2 r1"]).ready("web/0@2").expect(["SIGTERM web/0@1"]).exits("web/0@1", 0);
    let view = t.view("web/0");
    assert_eq!((view.last_exit.unwrap().reason, view.restarts), (Reason::Cron, 1));
    assert!(t.has_news("web/0 its time has come"));
    t.next_time().expect(["spawn web/0@3 r1"]);
}

#[test]
fn instances_are_restarted_a_few_at_a_time_and_none_is_stopped_before_its_replacement_is_ready() {
    let mut t = cron("web").instances(3).up();
    t.next_time().expect(["spawn web/0@4 r1"]).ready("web/0@4").expect(["SIGTERM web/0@1"]);
    t.exits("web/0@1", 0).expect(["spawn web/1@5 r1"]);
}

#[test]
fn what_a_person_has_stopped_is_not_restarted_and_an_app_of_which_nothing_is_up_waits_for_no_time() {
    let mut t = cron("web").instances(2).up();
    t.stop("web/0");
    t.exits("web/0@1", 0).expect(["SIGTERM web/0@1"]);
    t.next_time().expect(["spawn web/1@3 r1"]).ready("web/1@3").exits("web/1@2", 0).expect(["SIGTERM web/1@2"]);
    t.stop("web");
    t.exits("web/1@3", 0).expect(["SIGTERM web/1@3"]);
    assert_eq!((t.world.next_time(), t.world.snapshot().apps[0].next_time), (None, None));
    t.after(secs(86_400)).expect([]);
    t.start("web/1");
    assert!(t.world.next_time().is_some());
}

#[test]
fn what_gave_up_stays_as_it_is_and_what_ended_by_itself_is_started() {
    let mut t = cron("web").with(|s| s.max_restarts = 1);
    t.deploy();
    t.exits("web/0@1", 1).expect(["spawn web/0@1 r1"]);
    t.next_time().expect([]);
    assert_eq!(t.status("web/0"), Status::Errored);
    let mut t = cron("once").with(|s| s.restart = Restart::OnFailure).up();
    t.exits("once/0@1", 0).expect([]).next_time().expect(["spawn once/0@2 r1"]);
}

#[test]
fn a_time_that_comes_during_a_roll_is_left_out_and_said() {
    let mut t = cron("slow").with(|s| s.start_timeout = secs(7200)).up();
    t.restart("slow");
    t.expect(["spawn slow/0@2 r1"]).next_time().expect([]);
    assert!(t.has_news("slow/0 a time is left out"));
}

#[test]
fn a_replacement_at_its_time_keeps_the_settings_that_run() {
    let mut t = cron("web").up();
    t.deploy_changed(|s| s.cwd = "/srv".into());
    t.exits("web/0@2", 1).expect(["spawn web/0@2 r2"]);
    t.next_time().expect(["spawn web/0@3 r1"]);
}

#[test]
fn a_replacement_that_fails_leaves_the_rest_alone_until_the_next_time() {
    let mut t = cron("web").instances(3).up();
    t.next_time().expect(["spawn web/0@4 r1"]).exits("web/0@4", 1).expect([]);
    for slot in ["web/0", "web/1", "web/2"] {
        assert_eq!(t.status(slot), Status::Running);
    }
    t.after(secs(3000)).expect([]).next_time().expect(["spawn web/0@7 r1"]);
}

#[test]
fn old_first_at_its_time_does_not_take_the_whole_app_down_when_the_first_cannot_start() {
    let mut t = cron("bot").instances(3).with(|s| s.replace = Replace::OldFirst).up();
    t.next_time().expect(["SIGTERM bot/0@1"]).exits("bot/0@1", 0).expect(["spawn bot/0@4 r1"]);
    t.exits("bot/0@4", 1).expect(["spawn bot/0@7 r1"]);
    assert_eq!((t.status("bot/1"), t.status("bot/2")), (Status::Running, Status::Running));
    t.ready("bot/0@7").expect([]);
}

#[test]
fn a_changed_time_counts_at_once() {
    let mut t = cron("web").up();
    t.deploy_changed(|s| s.times = Default::default());
    t.ready("web/0@2").exits("web/0@1", 0);
    assert_eq!(t.world.next_time(), None);
    t.deploy_changed(|s| s.times.cron_restart = hourly());
    assert!(t.world.next_time().is_some());
}

// Jobs.

#[test]
fn a_job_is_registered_and_waits_for_its_time() {
    let mut t = job("backup");
    let start = t.deploy();
    t.expect([]);
    assert_eq!((t.results(start), t.status("backup/0")), (vec![&Scheduled], Status::Waiting));
    let again = t.deploy();
    assert_eq!(t.results(again), [&Unchanged]);
    assert_eq!(t.world.snapshot().apps[0].next_time, t.world.next_time());
    assert!(t.world.next_time().is_some());
}

#[test]
fn a_job_runs_at_its_time_and_waits_again_when_it_ends() {
    let mut t = armed("backup");
    t.next_time().expect(["spawn backup/0@1 r1"]).ready("backup/0@1").after(secs(60));
    assert_eq!(t.status("backup/0"), Status::Running);
    t.exits("backup/0@1", 0).expect([]);
    assert_eq!((t.status("backup/0"), t.view("backup/0").restarts), (Status::Waiting, 0));
    t.next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_job_that_ends_before_anything_could_call_it_ready_waits_as_well() {
    let mut t = armed("backup");
    t.next_time().expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 0).expect([]);
    assert_eq!(t.status("backup/0"), Status::Waiting);
}

#[test]
fn a_job_that_fails_says_so_and_is_not_tried_before_its_next_time() {
    let mut t = armed("backup");
    t.next_time().expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 3).after(secs(3500)).expect([]);
    assert!(t.has_news("backup/0@1 exited (exit, code 3)"));
    assert_eq!(t.status("backup/0"), Status::Waiting);
    t.next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_job_that_is_to_be_tried_again_is_until_it_has_failed_too_often_and_then_waits_all_the_same() {
    let retry = |s: &mut stead::model::spec::AppSpec| {
        s.restart = Restart::OnFailure;
        s.restart_delay = Some(secs(10));
        s.max_restarts = 2;
    };
    let mut t = job("backup").with(retry);
    t.deploy();
    t.next_time().expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 1).after(secs(10));
    t.expect(["spawn backup/0@2 r1"]).exits("backup/0@2", 1).after(secs(60)).expect([]);
    assert!(t.has_news("failed 2 times in a row, waits for its next time"));
    assert_eq!(t.status("backup/0"), Status::Waiting);
    t.next_time().expect(["spawn backup/0@3 r1"]).exits("backup/0@3", 1).after(secs(10));
    t.expect(["spawn backup/0@4 r1"]);
}

#[test]
fn a_time_that_comes_while_a_run_still_goes_on_is_left_out_and_said() {
    let mut t = armed("backup");
    t.next_time().expect(["spawn backup/0@1 r1"]).ready("backup/0@1").next_time().expect([]);
    assert!(t.has_news("backup/0 a time is left out"));
    t.exits("backup/0@1", 0).next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_stopped_job_runs_at_no_time_until_it_is_started() {
    let mut t = armed("backup");
    t.stop("backup");
    assert_eq!((t.status("backup/0"), t.world.next_time()), (Status::Stopped, None));
    t.after(secs(86_400)).expect([]);
    let start = t.start("backup");
    assert_eq!((t.results(start), t.status("backup/0")), (vec![&Scheduled], Status::Waiting));
    t.next_time().expect(["spawn backup/0@1 r1"]).ready("backup/0@1");
    let stop = t.stop("backup");
    t.expect(["SIGTERM backup/0@1"]).exits("backup/0@1", 0).after(secs(86_400)).expect([]);
    assert_eq!(t.results(stop), [&Stopped]);
}

#[test]
fn a_restart_runs_a_job_at_once_and_a_start_does_not() {
    let mut t = armed("backup");
    let run = t.restart("backup");
    t.expect(["spawn backup/0@1 r1"]).ready("backup/0@1");
    assert_eq!(t.results(run), [&Started]);
    let again = t.restart("backup");
    t.expect(["SIGTERM backup/0@1"]).exits("backup/0@1", 0).expect(["spawn backup/0@2 r1"]).ready("backup/0@2");
    assert_eq!(t.results(again), [&Replaced]);
    t.exits("backup/0@2", 0).expect([]);
    let failing = t.restart("backup");
    t.exits("backup/0@3", 1).expect(["spawn backup/0@3 r1"]);
    let why = "ended before it was ready (exit, code 1)".to_owned();
    assert_eq!(t.results(failing), [&Failed { why }]);
    assert_eq!(t.status("backup/0"), Status::Waiting);
}

#[test]
fn new_settings_of_a_job_wait_for_the_run_that_goes_on() {
    let mut t = armed("backup");
    t.next_time().expect(["spawn backup/0@1 r1"]).ready("backup/0@1");
    let changed = t.deploy_changed(|s| s.cwd = "/srv".into());
    assert_eq!(t.results(changed), [&Scheduled]);
    t.expect([]);
    assert!(t.view("backup/0").outdated);
    t.exits("backup/0@1", 0).next_time().expect(["spawn backup/0@2 r2"]);
}

#[test]
fn a_service_that_becomes_a_job_is_stopped_and_one_that_ceases_to_be_one_is_started() {
    let mut t = Scenario::app("x").up();
    let armed = t.deploy_changed(|s| {
        s.times.schedule = hourly();
        s.restart = Restart::Never;
    });
    t.expect(["SIGTERM x/0@1"]).exits("x/0@1", 0).expect([]);
    assert_eq!((t.results(armed), t.status("x/0")), (vec![&Scheduled], Status::Waiting));
    let up = t.deploy_changed(|s| {
        s.times = Default::default();
        s.restart = Restart::Always;
    });
    t.expect(["spawn x/0@2 r3"]).ready("x/0@2");
    assert_eq!((t.results(up), t.world.next_time()), (vec![&Started], None));
}

#[test]
fn a_plan_says_that_a_job_is_only_scheduled() {
    let mut t = job("backup");
    let plan = |t: &Scenario, spec| t.world.plan(&[spec]).unwrap()[0].action.clone();
    assert_eq!(plan(&t, t.spec.clone()), PlanAction::Schedule);
    t.deploy();
    assert_eq!(plan(&t, t.spec.clone()), PlanAction::Unchanged);
    let mut changed = t.spec.clone();
    changed.cwd = "/srv".into();
    assert_eq!(plan(&t, changed), PlanAction::Schedule);
}

#[test]
fn a_shutdown_waits_for_no_time() {
    let mut t = armed("backup");
    t.request(Request::Shutdown);
    t.expect(["exit"]);
    assert_eq!(t.world.next_time(), None);
}

#[test]
fn a_deleted_job_is_gone_with_its_times() {
    let mut t = armed("backup");
    t.request(Request::Delete { selectors: selectors("backup") });
    t.expect(["forget backup"]);
    assert_eq!(t.world.next_time(), None);
}

// Clocks, and deaths.

#[test]
fn a_clock_that_is_set_back_a_little_repeats_no_time() {
    let mut t = armed("backup");
    t.next_time().expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 0);
    t.clock_set(false, secs(60)).after(secs(61)).expect([]);
    t.next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_clock_that_had_been_far_ahead_is_believed_when_it_is_set_right() {
    let mut t = armed("backup");
    t.clock_set(true, secs(86_400 * 365)).next_time().expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 0);
    t.clock_set(false, secs(86_400 * 365)).next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_time_that_a_clock_jumps_over_is_made_up_for_unless_it_is_long_past() {
    let mut t = armed("backup");
    t.clock_set(true, secs(3000)).expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 0);
    t.clock_set(true, secs(3600 * 5)).expect([]);
    assert!(t.has_news("backup/0 a time passed"), "{}", t.story());
    t.next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_time_that_passes_while_the_daemon_is_away_is_made_up_for_once() {
    let mut t = armed("backup");
    t.dies_for(secs(2600 + 60)).expect(["spawn backup/0@1 r1"]).exits("backup/0@1", 0);
    t.daemon_dies().expect([]);
    t.next_time().expect(["spawn backup/0@2 r1"]);
}

#[test]
fn a_question_that_was_not_answered_is_asked_again_by_the_next_daemon() {
    let mut t = armed("backup");
    let before = t.world.next_time();
    t.dies_with_its_questions();
    assert_eq!(t.world.next_time(), before);
    t.next_time().expect(["spawn backup/0@1 r1"]);
}

#[test]
fn after_a_reboot_a_job_waits_for_its_next_time_and_makes_up_for_none() {
    let mut t = armed("backup");
    t.after(secs(2599)).reboot().expect([]);
    assert_eq!(t.status("backup/0"), Status::Waiting);
    t.after(secs(1)).expect(["spawn backup/0@1 r1"]);
    let mut t = armed("backup");
    t.stop("backup");
    t.reboot();
    assert_eq!((t.status("backup/0"), t.world.next_time()), (Status::Stopped, None));
}
