//! How apps end, come back and begin, as their keys say, one behaviour at a time.

use stead::core::PlanAction;
use stead::model::request::{InstanceResult, Request, Whom};
use stead::model::spec::Restart;
use stead::model::status::Status;

use crate::scenario::{Scenario, ms, secs};

use InstanceResult::{Registered, Started, Unchanged};

// Ends.

#[test]
fn an_exit_code_of_the_list_is_an_end_whatever_the_policy_says() {
    let mut t = Scenario::app("web").with(|s| s.stop_exit_codes = vec![0, 42]).up();
    t.exits("web/0@1", 42).after(secs(60)).expect([]);
    assert_eq!(t.status("web/0"), Status::Stopped);
    t.start("web");
    t.ready("web/0@2").expect(["spawn web/0@2 r1"]).exits("web/0@2", 1).expect(["spawn web/0@3 r1"]);
    // Before it was ready, too.
    t.exits("web/0@3", 0).after(secs(60)).expect([]);
    assert_eq!(t.status("web/0"), Status::Stopped);
}

#[test]
fn a_signal_is_no_exit_code_of_the_list() {
    let mut t = Scenario::app("web").with(|s| s.stop_exit_codes = vec![137]).up();
    t.is_killed("web/0@1", false).expect(["spawn web/0@2 r1"]);
}

#[test]
fn an_exit_code_of_the_list_is_no_failure_to_be_tried_again() {
    let mut t = Scenario::app("job").with(|s| (s.restart, s.stop_exit_codes) = (Restart::OnFailure, vec![3])).up();
    t.exits("job/0@1", 3).expect([]);
    assert_eq!(t.status("job/0"), Status::Stopped);
}

#[test]
fn a_first_delay_is_kept_and_grows_until_a_run_lasts() {
    let mut t = Scenario::app("web").with(|s| s.exp_backoff_restart_delay = Some(ms(1000))).up();
    t.exits("web/0@1", 1).after(ms(999)).expect([]).after(ms(1)).expect(["spawn web/0@2 r1"]);
    t.ready("web/0@2").exits("web/0@2", 1).after(ms(1199)).expect([]).after(ms(601)).expect(["spawn web/0@3 r1"]);
    t.ready("web/0@3").after(secs(30)).exits("web/0@3", 1).after(ms(999)).expect([]);
    t.after(ms(1)).expect(["spawn web/0@4 r1"]);
}

// Beginnings.

#[test]
fn without_autostart_a_file_only_registers_an_app_until_somebody_names_it() {
    let mut t = Scenario::app("web").instances(2).with(|s| s.autostart = false);
    let first = t.deploy();
    t.expect([]);
    assert_eq!((t.results(first), t.status("web/1")), (vec![&Registered; 2], Status::Stopped));
    assert_eq!(t.outcome(first).notes, ["web has autostart = false: to start it: stead start web"]);
    let again = t.deploy();
    assert_eq!(t.results(again), vec![&Unchanged; 2]);
    let all = t.start("all");
    assert!(t.outcome(all).instances.is_empty());
    t.restart("all");
    t.expect([]).reboot().expect([]);
    let named = t.start("all web/0");
    t.expect(["spawn web/0@1 r1"]).ready("web/0@1");
    assert_eq!((t.results(named), t.status("web/1")), (vec![&Started], Status::Stopped));
}

#[test]
fn once_started_an_app_without_autostart_is_like_any_other() {
    let mut t = Scenario::app("web").with(|s| s.autostart = false);
    t.deploy();
    t.start("web");
    t.expect(["spawn web/0@1 r1"]).ready("web/0@1").exits("web/0@1", 1).expect(["spawn web/0@2 r1"]).ready("web/0@2");
    t.deploy_changed(|s| s.cwd = "/srv".into());
    t.expect(["spawn web/0@3 r2"]).ready("web/0@3").exits("web/0@2", 0).expect(["SIGTERM web/0@2"]);
    t.reboot().expect(["spawn web/0@1025 r2"]);
}

#[test]
fn a_file_does_not_start_again_what_was_stopped_without_autostart() {
    let mut t = Scenario::app("web").instances(2).with(|s| s.autostart = false);
    t.deploy();
    t.start("web");
    t.ready("web/0@1").ready("web/1@2").expect(["spawn web/0@1 r1", "spawn web/1@2 r1"]);
    t.stop("web/0");
    t.exits("web/0@1", 0).expect(["SIGTERM web/0@1"]);
    let changed = t.deploy_changed(|s| s.cwd = "/srv".into());
    t.expect(["spawn web/1@3 r2"]).ready("web/1@3").exits("web/1@2", 0);
    assert_eq!(t.results(changed), [&Registered, &InstanceResult::Replaced]);
    assert_eq!(t.status("web/0"), Status::Stopped);
}

#[test]
fn what_was_up_when_it_was_saved_comes_up_without_autostart_too() {
    let mut t = Scenario::app("web").with(|s| s.autostart = false);
    let specs = vec![t.spec.clone()];
    t.request(Request::Deploy { specs, whom: Whom::All });
    t.expect(["spawn web/0@1 r1"]);
}

#[test]
fn a_plan_says_that_an_app_is_only_registered() {
    let mut t = Scenario::app("web").with(|s| s.autostart = false);
    let plan = |t: &Scenario, spec| t.world.plan(&[spec]).unwrap()[0].action.clone();
    assert_eq!(plan(&t, t.spec.clone()), PlanAction::Register);
    t.deploy();
    assert_eq!(plan(&t, t.spec.clone()), PlanAction::Unchanged);
    let mut changed = t.spec.clone();
    changed.cwd = "/srv".into();
    assert_eq!(plan(&t, changed), PlanAction::Register);
}
