//! What the core does, one behaviour at a time.

use std::time::Duration;

use stead::core::{Event, PlanAction};
use stead::model::exit::Reason;
use stead::model::ids::Id;
use stead::model::request::{InstanceResult, Request, ScaleTo, Whom};
use stead::model::selector::Generation;
use stead::model::signal::Signal;
use stead::model::spec::{Replace, Restart};
use stead::model::status::Status;

use crate::scenario::{Scenario, instance_id, ms, proc, secs, selectors, spec};

use InstanceResult::{Failed, Replaced, Started, Stopped, Superseded, Unchanged};

fn failed(why: &str) -> InstanceResult {
    Failed { why: why.to_owned() }
}

// Starting.

#[test]
fn a_new_app_starts_every_instance_and_the_job_is_done_when_all_are_ready() {
    let mut t = Scenario::app("web").instances(2);
    let job = t.deploy();
    t.expect(["spawn web/0@1 r1", "spawn web/1@2 r1"]);
    t.ready("web/0@1");
    assert!(t.is_open(job));
    t.ready("web/1@2");
    assert_eq!(t.results(job), [&Started, &Started]);
    assert_eq!(t.status("web/1"), Status::Running);
}

#[test]
fn starting_what_runs_changes_nothing() {
    let mut t = Scenario::app("web").up();
    let saves = t.saves();
    let (again, by_name) = (t.deploy(), t.start("web"));
    t.expect([]);
    assert_eq!((t.results(again), t.results(by_name)), (vec![&Unchanged], vec![&Unchanged]));
    assert_eq!(t.saves(), saves);
}

#[test]
fn two_starts_at_once_start_a_slot_once_and_both_are_told() {
    let mut t = Scenario::app("web").spawning_takes_time();
    let (first, second) = (t.deploy(), t.deploy());
    t.expect(["spawn web/0@1 r1"]);
    t.spawned("web/0@1").ready("web/0@1");
    assert_eq!((t.results(first), t.results(second)), (vec![&Started], vec![&Started]));
}

#[test]
fn readiness_that_overtakes_the_news_of_the_start_counts_once_that_has_come() {
    let mut t = Scenario::app("web").spawning_takes_time();
    let job = t.deploy();
    t.ready("web/0@1");
    assert_eq!(t.status("web/0"), Status::Starting);
    t.spawned("web/0@1");
    assert_eq!(t.results(job), [&Started]);
}

#[test]
fn a_first_start_that_fails_is_reported_at_once_and_tried_again_by_policy() {
    let mut t = Scenario::app("web").spawning_takes_time();
    let job = t.deploy();
    t.expect(["spawn web/0@1 r1"]).spawn_fails("web/0@1", "no such file: /bin/app");
    assert_eq!(t.results(job), [&failed("no such file: /bin/app")]);
    t.expect(["spawn web/0@2 r1"]);
    assert_eq!(t.view("web/0").last_exit.unwrap().reason, Reason::SpawnFailed);
}

#[test]
fn an_instance_that_is_not_ready_in_time_is_killed_and_tried_again() {
    let mut t = Scenario::app("web");
    let job = t.deploy();
    t.expect(["spawn web/0@1 r1"]).after(secs(30)).expect(["kill web/0@1"]);
    assert_eq!(t.status("web/0"), Status::Stopping);
    t.is_killed("web/0@1", false).expect(["spawn web/0@2 r1"]);
    assert_eq!(t.results(job), [&failed("not ready within 30s (start_timeout)")]);
    assert_eq!(t.view("web/0").last_exit.unwrap().reason, Reason::StartTimeout);
}

#[test]
fn ids_are_never_given_twice() {
    let mut t = Scenario::app("web").instances(2).up();
    assert_eq!([t.view("web/0").id, t.view("web/1").id], [Id(0), Id(1)]);
    t.stop("web");
    t.exits("web/0@1", 0).exits("web/1@2", 0);
    t.delete("web");
    t.deploy();
    assert_eq!([t.view("web/0").id, t.view("web/1").id], [Id(2), Id(3)]);
}

// Stopping.

#[test]
fn a_stop_asks_waits_and_then_kills_the_whole_cgroup() {
    let mut t = Scenario::app("web").up();
    let job = t.stop("web");
    t.expect(["SIGTERM web/0@1"]).after(secs(10)).expect(["kill web/0@1"]);
    t.is_killed("web/0@1", false).expect([]);
    assert_eq!(t.results(job), [&Stopped]);
    assert_eq!(t.status("web/0"), Status::Stopped);
    assert_eq!(t.view("web/0").last_exit.unwrap().reason, Reason::StopTimeout);
}

#[test]
fn a_stop_is_done_only_when_nothing_of_the_cgroup_is_left() {
    let mut t = Scenario::app("web").up();
    let job = t.stop("web");
    t.expect(["SIGTERM web/0@1"]).ends("web/0@1", 0);
    assert!(t.is_open(job));
    assert_eq!(t.status("web/0"), Status::Stopping);
    t.gone("web/0@1");
    assert_eq!(t.results(job), [&Stopped]);
}

#[test]
fn what_will_not_die_is_killed_again_ever_more_rarely() {
    let mut t = Scenario::app("web").up();
    t.kill("web");
    t.expect(["kill web/0@1"]).after(secs(5)).expect(["kill web/0@1"]);
    t.after(secs(9)).expect([]).after(secs(1)).expect(["kill web/0@1"]);
    t.after(secs(3600));
    assert!(t.world.next_deadline().unwrap() <= t.time().mono + secs(300));
}

#[test]
fn connections_are_drained_before_the_signal_but_not_for_ever() {
    let mut t = Scenario::app("web").draining_takes_time().up();
    t.stop("web");
    t.expect(["drain web/0@1"]).after(secs(10)).expect(["SIGTERM web/0@1"]);
    t.event(Event::Drained { proc: proc("web/0@1") }).expect([]);
}

#[test]
fn a_stop_during_boot_waits_until_the_instance_is_ready() {
    let mut t = Scenario::app("web");
    let start = t.deploy();
    t.expect(["spawn web/0@1 r1"]);
    let stop = t.stop("web");
    t.expect([]);
    assert_eq!(t.results(start), [&Superseded]);
    assert_eq!(t.view("web/0").procs[0].generation, Generation::Marked);
    t.ready("web/0@1").expect(["SIGTERM web/0@1"]).exits("web/0@1", 0).expect([]);
    assert_eq!(t.results(stop), [&Stopped]);
}

#[test]
fn a_stop_during_a_boot_that_does_not_end_waits_no_longer_than_the_stop_timeout() {
    let mut t = Scenario::app("web");
    t.deploy();
    t.stop("web");
    t.expect(["spawn web/0@1 r1"]).after(secs(10)).expect(["SIGTERM web/0@1"]);
    t.after(secs(10)).expect(["kill web/0@1"]).is_killed("web/0@1", false).expect([]);
}

#[test]
fn a_stop_before_the_program_even_runs_reaches_it_once_it_does() {
    let mut t = Scenario::app("web").with(|s| s.stop_timeout = secs(1)).spawning_takes_time();
    t.deploy();
    t.stop("web");
    t.expect(["spawn web/0@1 r1"]).after(secs(1)).expect([]);
    t.spawned("web/0@1").expect(["SIGTERM web/0@1"]);
}

#[test]
fn a_kill_acts_at_once_even_in_boot() {
    let mut t = Scenario::app("web");
    t.deploy();
    let kill = t.kill("web");
    t.expect(["spawn web/0@1 r1", "kill web/0@1"]).is_killed("web/0@1", false).expect([]);
    assert_eq!(t.results(kill), [&Stopped]);
    assert_eq!(t.view("web/0").last_exit.unwrap().reason, Reason::Killed);
}

#[test]
fn a_kill_that_overtakes_the_start_is_sent_again_when_there_is_something_to_kill() {
    let mut t = Scenario::app("web").spawning_takes_time();
    t.deploy();
    t.kill("web");
    t.expect(["spawn web/0@1 r1", "kill web/0@1"]).spawned("web/0@1").expect(["kill web/0@1"]);
}

#[test]
fn a_kill_cuts_a_stop_short() {
    let mut t = Scenario::app("web").up();
    let (stop, kill) = (t.stop("web"), t.kill("web"));
    t.expect(["SIGTERM web/0@1", "kill web/0@1"]).is_killed("web/0@1", false);
    assert_eq!((t.results(stop), t.results(kill)), (vec![&Stopped], vec![&Stopped]));
}

#[test]
fn stopping_what_is_stopped_changes_nothing() {
    let mut t = Scenario::app("web").up();
    t.stop("web");
    t.exits("web/0@1", 0);
    let job = t.stop("web");
    assert_eq!(t.results(job), [&Unchanged]);
}

// Crashes.

#[test]
fn a_crash_is_followed_by_a_start_at_once_after_the_cgroup_is_gone() {
    let mut t = Scenario::app("web").up();
    let saves = t.saves();
    t.after(secs(5)).ends("web/0@1", 1).expect([]).gone("web/0@1").expect(["spawn web/0@2 r1"]);
    assert_eq!(t.saves(), saves, "a crash touches no disk");
    assert_eq!(t.view("web/0").restarts, 1);
}

#[test]
fn restarts_are_counted_by_what_they_followed_until_a_reset_and_what_a_person_starts_is_none() {
    let mut t = Scenario::app("web").with(|s| s.restart_delay = Some(Duration::ZERO)).up();
    t.after(secs(5)).exits("web/0@1", 1).ready("web/0@2");
    t.after(secs(5)).is_killed("web/0@2", true).ready("web/0@3");
    t.after(secs(40)).event(Event::OverMemory { proc: proc("web/0@3") }).ready("web/0@4").exits("web/0@3", 0);
    t.restart("web");
    t.ready("web/0@5").exits("web/0@4", 0);
    t.after(secs(5)).exits("web/0@5", 0).ready("web/0@6").daemon_dies();
    let view = t.view("web/0");
    let counted: Vec<_> = view.restart_reasons.into_iter().collect();
    assert_eq!((view.restarts, counted), (4, vec![(Reason::Exit, 2), (Reason::Oom, 1), (Reason::Memory, 1)]));
    t.reset("web");
    assert!(t.view("web/0").restart_reasons.is_empty());
}

#[test]
fn crashes_in_a_row_wait_longer_each_time_and_thirty_seconds_up_forgive() {
    let mut t = Scenario::app("web").up();
    t.exits("web/0@1", 1).expect(["spawn web/0@2 r1"]);
    t.ready("web/0@2").exits("web/0@2", 1).expect([]);
    assert_eq!(t.status("web/0"), Status::Waiting);
    t.after(ms(79)).expect([]).after(ms(41)).expect(["spawn web/0@3 r1"]);
    t.ready("web/0@3").exits("web/0@3", 1).after(ms(119)).expect([]).after(ms(61)).expect(["spawn web/0@4 r1"]);
    t.ready("web/0@4").after(secs(30)).exits("web/0@4", 1).expect(["spawn web/0@5 r1"]);
}

#[test]
fn a_restart_delay_is_kept_exactly() {
    let mut t = Scenario::app("web").with(|s| s.restart_delay = Some(secs(2))).up();
    for run in 1..5 {
        t.exits(&format!("web/0@{run}"), 1).after(ms(1999)).expect([]);
        assert_eq!(t.view("web/0").due, Some(t.time().mono + ms(1)));
        let next = format!("web/0@{}", run + 1);
        t.after(ms(1)).expect([&format!("spawn {next} r1")]).ready(&next);
    }
}

#[test]
fn a_stop_in_back_off_leaves_nothing_behind() {
    let mut t = Scenario::app("web").with(|s| s.restart_delay = Some(secs(1))).up();
    t.exits("web/0@1", 1);
    let job = t.stop("web");
    assert_eq!(t.results(job), [&Stopped]);
    t.after(secs(60)).expect([]);
    assert_eq!(t.status("web/0"), Status::Stopped);
    assert!(t.view("web/0").procs.is_empty());
}

#[test]
fn a_start_in_back_off_does_not_wait_for_the_delay() {
    let mut t = Scenario::app("web").with(|s| s.restart_delay = Some(secs(60))).up();
    t.exits("web/0@1", 1).expect([]);
    let job = t.start("web/0");
    t.expect(["spawn web/0@2 r1"]).ready("web/0@2");
    assert_eq!(t.results(job), [&Started]);
}

#[test]
fn max_restarts_deaths_in_a_row_end_in_errored_until_a_person_acts() {
    let mut t = Scenario::app("web").with(|s| {
        s.max_restarts = 3;
        s.restart_delay = Some(Duration::ZERO);
    });
    t.deploy();
    t.exits("web/0@1", 1).exits("web/0@2", 1).exits("web/0@3", 1);
    t.expect(["spawn web/0@1 r1", "spawn web/0@2 r1", "spawn web/0@3 r1"]);
    assert_eq!(t.status("web/0"), Status::Errored);
    assert!(t.has_news("errored: died 3 times in a row"));
    t.after(secs(3600)).expect([]);
    let job = t.start("web");
    t.expect(["spawn web/0@4 r1"]).ready("web/0@4");
    assert_eq!(t.results(job), [&Started]);
}

#[test]
fn deaths_after_min_uptime_are_never_too_many() {
    let mut t = Scenario::app("web").with(|s| {
        s.max_restarts = 2;
        s.restart_delay = Some(Duration::ZERO);
    });
    t.deploy();
    for run in 1..10 {
        let run = format!("web/0@{run}");
        t.ready(&run).after(secs(1)).exits(&run, 1);
    }
    assert_eq!(t.status("web/0"), Status::Starting);
}

#[test]
fn a_reset_takes_an_instance_out_of_errored_and_leaves_it_down() {
    let mut t = Scenario::app("web").with(|s| s.max_restarts = 1);
    t.deploy();
    t.exits("web/0@1", 1).expect(["spawn web/0@1 r1"]);
    assert_eq!(t.status("web/0"), Status::Errored);
    let job = t.reset("web");
    assert_eq!(t.results(job), [&InstanceResult::Reset]);
    t.expect([]);
    assert_eq!(t.status("web/0"), Status::Stopped);
}

#[test]
fn on_failure_rests_after_success_and_comes_back_after_failure() {
    let mut t = Scenario::app("job").with(|s| s.restart = Restart::OnFailure).up();
    t.exits("job/0@1", 3).expect(["spawn job/0@2 r1"]).ready("job/0@2").exits("job/0@2", 0).expect([]);
    assert_eq!(t.status("job/0"), Status::Stopped);
    t.start("job");
    t.expect(["spawn job/0@3 r1"]);
}

#[test]
fn a_short_job_that_succeeds_before_it_was_ready_has_started() {
    let mut t = Scenario::app("job").with(|s| s.restart = Restart::Never);
    let job = t.deploy();
    t.exits("job/0@1", 0).expect(["spawn job/0@1 r1"]);
    assert_eq!(t.results(job), [&Started]);
    assert_eq!(t.status("job/0"), Status::Stopped);
}

#[test]
fn never_means_never_even_after_a_failure() {
    let mut t = Scenario::app("job").with(|s| s.restart = Restart::Never).up();
    t.exits("job/0@1", 1).after(secs(60)).expect([]);
    assert_eq!(t.status("job/0"), Status::Stopped);
}

#[test]
fn an_oom_kill_is_named_and_followed_by_a_start_at_once() {
    let mut t = Scenario::app("web").up();
    t.is_killed("web/0@1", true).expect(["spawn web/0@2 r1"]);
    assert_eq!(t.view("web/0").last_exit.unwrap().reason, Reason::Oom);
}

// Rolls, new first.

#[test]
fn a_restart_stops_nothing_before_its_replacement_is_ready() {
    let mut t = Scenario::app("web").up();
    let job = t.restart("web");
    t.expect(["spawn web/0@2 r1"]).ready("web/0@2").expect(["SIGTERM web/0@1"]);
    assert!(t.is_open(job), "the old one is still there");
    t.exits("web/0@1", 0).expect([]);
    assert_eq!(t.results(job), [&Replaced]);
    assert_eq!(t.view("web/0").last_exit.unwrap().reason, Reason::Replaced);
}

#[test]
fn a_roll_goes_a_few_at_a_time() {
    let mut t = Scenario::app("web").instances(8).up();
    t.restart("web");
    t.expect(["spawn web/0@9 r1", "spawn web/1@10 r1"]);
    t.ready("web/0@9").expect(["SIGTERM web/0@1"]);
    t.exits("web/0@1", 0).expect(["spawn web/2@11 r1"]);
}

#[test]
fn with_room_for_one_more_the_third_start_waits_in_the_queue_until_one_is_killed() {
    let mut t = Scenario::app("web").instances(3).up();
    t.restart("web/0 web/1");
    t.expect(["spawn web/0@4 r1"]);
    assert_eq!(t.view("web/1").procs[1].generation, Generation::Queue);
    t.kill("new:web");
    t.expect(["kill web/0@4"]).is_killed("web/0@4", false).expect(["spawn web/1@5 r1"]);
    assert_eq!(t.status("web/0"), Status::Running);
}

#[test]
fn a_changed_spec_is_a_new_revision_and_old_instances_are_outdated_until_replaced() {
    let mut t = Scenario::app("web").instances(2).up();
    let job = t.deploy_changed(|s| s.cwd = "/srv".into());
    t.expect(["spawn web/0@3 r2"]);
    assert!(t.view("web/1").outdated);
    t.ready("web/0@3").exits("web/0@1", 0).ready("web/1@4").exits("web/1@2", 0);
    assert_eq!(t.results(job), [&Replaced, &Replaced]);
    assert!(!t.view("web/0").outdated && !t.view("web/1").outdated);
}

#[test]
fn a_replacement_that_fails_ends_the_roll_and_the_old_ones_stay() {
    let mut t = Scenario::app("web").instances(3).up();
    let job = t.deploy_changed(|s| s.cwd = "/srv".into());
    t.expect(["spawn web/0@4 r2"]).exits("web/0@4", 7).after(secs(60)).expect([]);
    let first = "ended before it was ready (exit, code 7)";
    let others = format!("not replaced, because web/0 failed: {first}");
    assert_eq!(t.results(job), [&failed(first), &failed(&others), &failed(&others)]);
    for slot in ["web/0", "web/1", "web/2"] {
        assert_eq!(t.status(slot), Status::Running);
        assert!(t.view(slot).outdated);
    }
    t.start("web");
    t.expect(["spawn web/0@7 r2"]);
}

#[test]
fn a_crash_during_a_failed_deployment_respawns_the_revision_that_was_running() {
    let mut t = Scenario::app("web").up();
    t.deploy_changed(|s| s.cwd = "/srv".into());
    t.exits("web/0@2", 1).expect(["spawn web/0@2 r2"]);
    t.exits("web/0@1", 1).expect(["spawn web/0@3 r1"]);
    assert!(t.view("web/0").outdated);
}

#[test]
fn a_crash_while_its_replacement_boots_leaves_the_slot_to_the_replacement() {
    let mut t = Scenario::app("web").up();
    let job = t.restart("web");
    t.expect(["spawn web/0@2 r1"]).exits("web/0@1", 1).expect([]).ready("web/0@2");
    assert_eq!(t.results(job), [&Replaced]);
}

#[test]
fn a_replacement_that_fails_after_the_old_one_crashed_brings_the_old_revision_back() {
    let mut t = Scenario::app("web").up();
    t.deploy_changed(|s| s.cwd = "/srv".into());
    t.expect(["spawn web/0@2 r2"]).exits("web/0@1", 1).expect([]);
    t.exits("web/0@2", 1).expect(["spawn web/0@3 r1"]);
    assert!(t.has_news("brought back revision 1"));
}

#[test]
fn a_newer_deployment_supersedes_one_that_is_still_booting() {
    let mut t = Scenario::app("web").up();
    let second = t.deploy_changed(|s| s.cwd = "/a".into());
    t.expect(["spawn web/0@2 r2"]);
    let third = t.deploy_changed(|s| s.cwd = "/b".into());
    assert_eq!(t.results(second), [&Superseded]);
    t.expect([]).ready("web/0@2").expect(["SIGTERM web/0@2"]).exits("web/0@2", 0).expect(["spawn web/0@3 r3"]);
    t.ready("web/0@3").expect(["SIGTERM web/0@1"]).exits("web/0@1", 0);
    assert_eq!(t.results(third), [&Replaced]);
}

#[test]
fn a_stop_ends_a_roll() {
    let mut t = Scenario::app("web").instances(2).up();
    let roll = t.restart("web");
    t.expect(["spawn web/0@3 r1"]);
    let stop = t.stop("web");
    t.expect(["SIGTERM web/0@1", "SIGTERM web/1@2"]);
    assert_eq!(t.results(roll), [&Superseded, &Superseded]);
    t.exits("web/0@1", 0).exits("web/1@2", 0).ready("web/0@3").expect(["SIGTERM web/0@3"]).exits("web/0@3", 0);
    assert_eq!(t.results(stop), [&Stopped, &Stopped]);
}

#[test]
fn a_start_while_stopping_supersedes_the_stop() {
    let mut t = Scenario::app("web").up();
    let stop = t.stop("web");
    t.expect(["SIGTERM web/0@1"]);
    let start = t.start("web");
    t.expect(["spawn web/0@2 r1"]).ready("web/0@2").exits("web/0@1", 0);
    assert_eq!((t.results(stop), t.results(start)), (vec![&Superseded], vec![&Started]));
}

#[test]
fn restarting_one_instance_replaces_only_that_one() {
    let mut t = Scenario::app("web").instances(3).up();
    let job = t.restart("web/1");
    t.expect(["spawn web/1@4 r1"]).ready("web/1@4").expect(["SIGTERM web/1@2"]).exits("web/1@2", 0);
    assert_eq!(t.results(job), [&Replaced]);
    assert_eq!(t.world.snapshot().apps[0].slots.len(), 3);
}

// Rolls, old first.

#[test]
fn old_first_stops_waits_until_it_is_gone_and_starts() {
    let mut t = Scenario::app("bot").with(|s| s.replace = Replace::OldFirst).up();
    let job = t.restart("bot");
    t.expect(["SIGTERM bot/0@1"]).ends("bot/0@1", 0).expect([]).gone("bot/0@1").expect(["spawn bot/0@2 r1"]);
    t.ready("bot/0@2");
    assert_eq!(t.results(job), [&Replaced]);
    assert!(t.outcome(job).notes.is_empty(), "it was asked for");
}

#[test]
fn old_first_goes_a_few_at_a_time_too() {
    let mut t = Scenario::app("bot").instances(3).with(|s| s.replace = Replace::OldFirst).up();
    t.restart("bot");
    t.expect(["SIGTERM bot/0@1"]).exits("bot/0@1", 0).expect(["spawn bot/0@4 r1"]);
    t.ready("bot/0@4").expect(["SIGTERM bot/1@2"]);
}

#[test]
fn an_app_that_listens_where_ports_cannot_be_shared_is_replaced_old_first_and_that_is_said_once() {
    let mut t = Scenario::app("web").instances(2).up();
    t.event(Event::Listens { proc: proc("web/0@1") });
    let job = t.restart("web");
    t.expect(["SIGTERM web/0@1"]).exits("web/0@1", 0).ready("web/0@3").exits("web/1@2", 0).ready("web/1@4");
    assert_eq!(t.results(job), [&Replaced, &Replaced]);
    let note = "web is replaced old-first: it listens on a port that two runs cannot share on this host";
    assert_eq!(t.outcome(job).notes, [note]);
    assert_eq!(t.count_news("replaced old-first"), 1);
}

#[test]
fn a_changed_user_is_replaced_old_first_by_itself() {
    let mut t = Scenario::app("web").up();
    let job = t.deploy_changed(|s| s.identity.user = "other".into());
    t.expect(["SIGTERM web/0@1"]).exits("web/0@1", 0).ready("web/0@2");
    assert_eq!(t.outcome(job).notes, ["web is replaced old-first: its user changes from app to other"]);
}

#[test]
fn by_port_an_app_that_listens_is_replaced_new_first_and_any_other_old_first() {
    let mut t = Scenario::app("worker").instances(2).with(|s| s.replace = Replace::ByPort).up();
    let job = t.restart("worker");
    t.expect(["SIGTERM worker/0@1"]).exits("worker/0@1", 0).ready("worker/0@3").exits("worker/1@2", 0);
    t.ready("worker/1@4");
    let note = "worker is replaced old-first: it listens on no port, so the old and the new one would do the same work at once";
    assert_eq!(t.outcome(job).notes, [note]);
    t.expect(["spawn worker/0@3 r1", "SIGTERM worker/1@2", "spawn worker/1@4 r1"]);
    t.event(Event::Serves { proc: proc("worker/1@4") }).daemon_dies();
    t.restart("worker");
    t.expect(["spawn worker/0@5 r1"]);
}

#[test]
fn by_port_an_app_that_is_given_its_sockets_listens() {
    let listen = vec![stead::model::listen::Listen::parse("8080").unwrap()];
    let mut t = Scenario::app("web").with(|s| (s.replace, s.listen) = (Replace::ByPort, listen)).up();
    t.restart("web");
    t.expect(["spawn web/0@2 r1"]);
}

#[test]
fn by_port_a_crash_is_followed_by_the_next_run_and_nothing_waits() {
    let mut t = Scenario::app("worker").with(|s| s.replace = Replace::ByPort).up();
    t.exits("worker/0@1", 1).expect(["spawn worker/0@2 r1"]);
}

#[test]
fn new_first_is_obeyed_when_a_person_asked_for_it() {
    let mut t = Scenario::app("web").with(|s| s.replace = Replace::NewFirst).up();
    t.event(Event::Listens { proc: proc("web/0@1") });
    t.restart("web");
    t.expect(["spawn web/0@2 r1"]);
}

#[test]
fn old_first_brings_the_previous_revision_back_when_the_new_one_fails() {
    let mut t = Scenario::app("bot").instances(2).with(|s| s.replace = Replace::OldFirst).up();
    let job = t.deploy_changed(|s| s.cwd = "/srv".into());
    t.expect(["SIGTERM bot/0@1"]).exits("bot/0@1", 0).expect(["spawn bot/0@3 r2"]);
    t.exits("bot/0@3", 1).expect(["spawn bot/0@5 r1"]).ready("bot/0@5").expect([]);
    assert!(t.outcome(job).failed());
    assert!(t.has_news("bot/0 brought back revision 1"));
    assert!(t.view("bot/0").outdated && t.view("bot/1").outdated);
}

// Memory.

#[test]
fn an_instance_over_its_soft_limit_is_replaced_and_then_stopped() {
    let mut t = Scenario::app("web").up();
    t.event(Event::OverMemory { proc: proc("web/0@1") }).expect(["spawn web/0@2 r1"]);
    t.event(Event::OverMemory { proc: proc("web/0@1") }).expect([]);
    t.ready("web/0@2").expect(["SIGTERM web/0@1"]).exits("web/0@1", 0);
    let view = t.view("web/0");
    assert_eq!((view.last_exit.unwrap().reason, view.restarts), (Reason::Memory, 1));
}

#[test]
fn a_failing_replacement_for_memory_is_tried_again_while_the_old_one_runs() {
    let mut t = Scenario::app("web").with(|s| s.restart_delay = Some(secs(1))).up();
    t.event(Event::OverMemory { proc: proc("web/0@1") }).expect(["spawn web/0@2 r1"]);
    t.exits("web/0@2", 1).expect([]);
    assert_eq!(t.status("web/0"), Status::Running);
    t.after(secs(1)).expect(["spawn web/0@3 r1"]).ready("web/0@3").expect(["SIGTERM web/0@1"]);
}

#[test]
fn an_app_that_is_always_over_its_soft_limit_is_replaced_ever_more_rarely() {
    let mut t = Scenario::app("web").up();
    t.event(Event::OverMemory { proc: proc("web/0@1") }).expect(["spawn web/0@2 r1"]);
    t.ready("web/0@2").expect(["SIGTERM web/0@1"]).exits("web/0@1", 0).expect([]);
    t.event(Event::OverMemory { proc: proc("web/0@2") }).expect([]);
    assert_eq!(t.status("web/0"), Status::Running);
    t.after(secs(1)).expect(["spawn web/0@3 r1"]);
    // One that lasted starts the delays over.
    t.ready("web/0@3").expect(["SIGTERM web/0@2"]).exits("web/0@2", 0).expect([]);
    t.after(secs(60)).event(Event::OverMemory { proc: proc("web/0@3") }).expect(["spawn web/0@4 r1"]);
}

// Scaling.

#[test]
fn scaling_up_starts_the_missing_lowest_slots_and_down_stops_the_highest() {
    let mut t = Scenario::app("web").instances(2).up();
    let up = t.scale(ScaleTo::Count(4));
    t.expect(["spawn web/2@3 r1", "spawn web/3@4 r1"]).ready("web/2@3").ready("web/3@4");
    assert_eq!(t.results(up), [&Started, &Started]);
    let down = t.scale(ScaleTo::By(-3));
    t.expect(["SIGTERM web/1@2", "SIGTERM web/2@3", "SIGTERM web/3@4"]);
    t.exits("web/1@2", 0).exits("web/2@3", 0).exits("web/3@4", 0);
    assert_eq!(t.results(down), [&Stopped, &Stopped, &Stopped]);
    assert_eq!(t.world.snapshot().apps[0].slots.len(), 1);
}

#[test]
fn a_scaled_count_is_kept_until_the_file_changes_its_own_or_it_is_undone() {
    let mut t = Scenario::app("web").up();
    t.scale(ScaleTo::Count(3));
    t.deploy_changed(|s| s.cwd = "/srv".into());
    assert_eq!(t.world.snapshot().apps[0].instances, 3);
    t.deploy_changed(|s| s.instances = 2);
    assert_eq!(t.world.snapshot().apps[0].instances, 2);
    t.scale(ScaleTo::Count(5));
    t.scale(ScaleTo::Configured);
    assert_eq!(t.world.snapshot().apps[0].instances, 2);
}

#[test]
fn a_change_of_the_count_alone_rolls_nothing() {
    let mut t = Scenario::app("web").up();
    let job = t.deploy_changed(|s| s.instances = 2);
    t.expect(["spawn web/1@2 r1"]).ready("web/1@2");
    assert_eq!(t.results(job), [&Unchanged, &Started]);
    assert_eq!(t.world.snapshot().apps[0].revision.0, 1);
}

#[test]
fn an_impossible_count_is_refused() {
    let mut t = Scenario::app("web").up();
    t.scale(ScaleTo::By(-1));
    t.scale(ScaleTo::Count(1001));
    t.expect([
        "deny: app \"web\" can have from 1 to 1000 instances, not 0; to have none of it run: stead stop web",
        "deny: app \"web\" can have from 1 to 1000 instances, not 1001",
    ]);
}

// Selecting, signalling, deleting.

#[test]
fn a_signal_goes_to_the_main_procs_that_live() {
    let mut t = Scenario::app("web").instances(2).up();
    t.stop("web/1");
    t.exits("web/1@2", 0).expect(["SIGTERM web/1@2"]);
    let selectors = selectors("all");
    let job = t.request(Request::Signal { selectors, signal: Signal::HUP });
    t.expect(["SIGHUP web/0@1"]);
    assert_eq!(t.results(job), [&InstanceResult::Signalled]);
}

#[test]
fn an_instance_is_found_by_name_id_pid_pattern_and_namespace() {
    for selector in ["web/1", "1", "pid=1002"] {
        let mut t = Scenario::app("web").instances(2).up();
        t.stop(selector);
        t.expect(["SIGTERM web/1@2"]);
    }
    for selector in ["web", "all", "/^w/", "@default"] {
        let mut t = Scenario::app("web").instances(2).up();
        t.stop(selector);
        t.expect(["SIGTERM web/0@1", "SIGTERM web/1@2"]);
    }
}

#[test]
fn a_selector_that_means_nothing_here_is_refused_and_nothing_is_touched() {
    let mut t = Scenario::app("web").up();
    t.stop("nope");
    t.stop("web old:web");
    t.stop("pid=1 web");
    t.restart("new:web");
    t.restart("/(/");
    t.delete("web/0");
    t.expect([
        "deny: no app is named \"nope\"",
        "deny: nothing matches \"old:web\"",
        "deny: nothing matches \"pid=1\"",
        "deny: this command takes whole instances, not a generation of them: write \"web\"",
        "deny: bad pattern \"/(/\": found open group without closing ')': write a regular expression between the slashes, as in \"/^api/\"",
        "deny: \"web/0\" names one instance, and only whole apps can be deleted; to stop it: stead stop web/0",
    ]);
}

#[test]
fn specs_are_deployed_all_or_none() {
    let mut t = Scenario::app("web");
    let specs = vec![spec("a"), spec("b"), spec("a")];
    t.request(Request::Deploy { specs, whom: Whom::OfTheirFile });
    t.expect(["deny: \"a\" is given twice"]);
    assert!(t.world.snapshot().apps.is_empty());
}

#[test]
fn stopping_by_generation_leaves_the_rest_of_the_instance_alone() {
    let mut t = Scenario::app("web").up();
    let roll = t.restart("web");
    let stop = t.stop("new:web");
    t.expect(["spawn web/0@2 r1"]).ready("web/0@2").expect(["SIGTERM web/0@2"]).exits("web/0@2", 0).expect([]);
    assert_eq!((t.results(roll), t.results(stop)), (vec![&Superseded], vec![&Stopped]));
    assert_eq!(t.status("web/0"), Status::Running);
}

#[test]
fn deleting_stops_everything_and_then_forgets_the_app() {
    let mut t = Scenario::app("web").instances(2).up();
    let job = t.delete("web");
    t.expect(["SIGTERM web/0@1", "SIGTERM web/1@2"]).exits("web/0@1", 0).expect([]);
    t.exits("web/1@2", 0).expect(["forget web"]);
    assert_eq!(t.results(job), [&Stopped, &Stopped]);
    assert!(t.world.snapshot().apps.is_empty());
}

#[test]
fn a_deployment_takes_an_app_back_from_its_deletion() {
    let mut t = Scenario::app("web").up();
    let delete = t.delete("web");
    let deploy = t.deploy();
    t.expect(["SIGTERM web/0@1", "spawn web/0@2 r1"]).ready("web/0@2").exits("web/0@1", 0).expect([]);
    assert_eq!((t.results(delete), t.results(deploy)), (vec![&Superseded], vec![&Started]));
}

#[test]
fn a_shutdown_stops_everything_forgets_nothing_and_ends_in_exit() {
    let mut t = Scenario::app("web").instances(2).up();
    let job = t.request(Request::Shutdown);
    t.expect(["SIGTERM web/0@1", "SIGTERM web/1@2"]);
    t.start("web");
    t.expect(["deny: stead is shutting down"]);
    t.exits("web/0@1", 0).expect([]).exits("web/1@2", 0).expect(["exit"]);
    assert_eq!(t.results(job), [&Stopped, &Stopped]);
    t.reboot().expect(["spawn web/0@1025 r1", "spawn web/1@1026 r1"]);
}

#[test]
fn a_plan_says_what_a_deployment_would_do_and_does_nothing() {
    let mut t = Scenario::app("web").instances(2).up();
    t.stop("web/1");
    t.exits("web/1@2", 0).expect(["SIGTERM web/1@2"]);
    let mut changed = t.spec.clone();
    changed.instances = 3;
    let plan = |t: &Scenario, spec| t.world.plan(&[spec]).unwrap().into_iter().map(|l| l.action).collect::<Vec<_>>();
    assert_eq!(plan(&t, changed.clone()), [PlanAction::Unchanged, PlanAction::Start, PlanAction::Start]);
    changed.share_ports = false;
    let from = stead::model::ids::Revision(1);
    let why = Some("share_ports is off".to_owned());
    let roll = PlanAction::Roll { from, order: Replace::OldFirst, why };
    assert_eq!(plan(&t, changed), [roll, PlanAction::Start, PlanAction::Start]);
    assert_eq!(plan(&t, spec("new")), [PlanAction::Start]);
    t.expect([]);
}

// The daemon's and the machine's death.

#[test]
fn a_daemon_that_dies_during_a_roll_leaves_it_to_the_next_one() {
    let mut t = Scenario::app("web").instances(2).up();
    let job = t.restart("web");
    t.expect(["spawn web/0@3 r1"]).daemon_dies().ready("web/0@3").expect(["SIGTERM web/0@1"]);
    t.daemon_dies().exits("web/0@1", 0).expect(["spawn web/1@4 r1"]).ready("web/1@4").exits("web/1@2", 0);
    assert_eq!(t.results(job), [&Replaced, &Replaced]);
}

#[test]
fn after_a_reboot_what_was_up_starts_and_what_was_stopped_stays_down() {
    let mut t = Scenario::app("web").instances(2).up();
    t.stop("web/0");
    t.reboot().expect(["spawn web/1@1025 r1"]);
    assert_eq!(t.status("web/0"), Status::Stopped);
    assert_eq!(t.view("web/1").id, Id(1));
}

#[test]
fn a_run_number_is_never_given_twice_not_even_after_a_reboot() {
    for crashes in [0, 1022, 1023, 1024, 2500] {
        let mut t = Scenario::app("web").up();
        for run in 1..=crashes {
            t.after(secs(60)).exits(&format!("web/0@{run}"), 1).ready(&format!("web/0@{}", run + 1));
        }
        let highest = t.view("web/0").procs[0].proc.run;
        assert_eq!(highest.0, crashes + 1);
        t.reboot();
        assert!(t.view("web/0").procs[0].proc.run > highest);
    }
}

#[test]
fn a_deletion_that_the_machine_did_not_survive_is_complete() {
    let mut t = Scenario::app("web").up();
    t.delete("web");
    t.reboot().expect([]);
    assert!(t.world.snapshot().apps.is_empty());
}

#[test]
fn late_news_of_a_proc_that_is_gone_is_no_surprise() {
    let mut t = Scenario::app("web").up();
    t.stop("web");
    t.exits("web/0@1", 0).expect(["SIGTERM web/0@1"]);
    let proc = proc("web/0@1");
    t.ready("web/0@1");
    t.event(Event::Drained { proc: proc.clone() }).event(Event::OverMemory { proc: proc.clone() });
    t.event(Event::Listens { proc }).expect([]);
    assert_eq!(t.view("web/0").instance, instance_id("web/0"));
}
