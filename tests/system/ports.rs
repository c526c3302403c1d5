//! One port and many instances: who shares it, who must not, and how evenly.

use serde_json::json;

use crate::load::{App, Load, daemon, kinds, names, pids, printed, slow_machine};
use crate::support::{Stead, alive, eventually, free_port};

/// New connections, enough of them for a spread that says something.
fn many() -> u64 {
    if slow_machine() { 400 } else { 2000 }
}

#[test]
fn every_kind_of_server_shares_its_port_evenly_and_is_reloaded_without_a_loss() {
    let stead = Stead::new();
    let count = if slow_machine() { 2 } else { 3 };
    // One after the other: together they would only wait for each other's turn on the machine.
    for kind in 0..kinds(&stead, 1).len() {
        let port = free_port();
        let app = kinds(&stead, port).swap_remove(kind).instances(count);
        app.start(&stead);
        for name in names(app.name, count) {
            assert_eq!(stead.instance(&name)["ports"], json!([port]), "{name}");
        }
        Load::of(90, port, &["clients=3"]).evenly(app.name, count);
        let before = pids(&stead, app.name, count);
        let load = Load::begin("fresh", port, &[]);
        stead.run(&["reload", app.name]).ok();
        load.end().nothing_lost();
        assert!(!before.iter().any(|pid| alive(*pid)), "{}: a former instance is still there", app.name);
        stead.run(&["delete", app.name]).ok();
    }
}

#[test]
fn new_connections_are_spread_evenly_over_four_instances() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &[]).instances(4).start(&stead);
    Load::of(many(), port, &[]).evenly("web", 4);
}

#[test]
fn by_hash_or_by_the_kernels_own_choice_all_instances_answer_too_and_a_reload_loses_nothing() {
    let stead = Stead::new();
    for balance in ["hash", "off"] {
        let port = free_port();
        let app = App::server("web", port, &[]).instances(4).with(&format!("balance = \"{balance}\""));
        app.start(&stead);
        Load::of(400, port, &[]).by_all("web", 4);
        // What the kernel chooses by itself cannot be kept from an instance that is about to end.
        if balance == "hash" {
            let load = Load::begin("fresh", port, &[]);
            stead.run(&["reload", "web"]).ok();
            load.end().nothing_lost();
        }
        stead.run(&["delete", "web"]).ok();
    }
}

#[test]
fn an_app_on_ipv4_ipv6_both_or_loopback_only_is_shared_and_reloaded_without_a_loss() {
    let stead = Stead::new();
    for (at, hosts) in [
        ("any4", ["127.0.0.1"].as_slice()),
        ("any6", &["::1"]),
        ("dual", &["127.0.0.1", "::1"]),
        ("lo4", &["127.0.0.1"]),
        ("lo6", &["::1"]),
    ] {
        let port = free_port();
        App::server("web", port, &[&format!("at={at}")]).instances(2).start(&stead);
        let hosts: Vec<String> = hosts.iter().map(|host| format!("host={host}")).collect();
        for host in &hosts {
            Load::of(100, port, &[host]).evenly("web", 2);
        }
        let loads: Vec<Load> = hosts.iter().map(|host| Load::begin("fresh", port, &[host])).collect();
        stead.run(&["reload", "web"]).ok();
        for load in loads {
            load.end().nothing_lost();
        }
        stead.run(&["delete", "web"]).ok();
    }
}

#[test]
fn an_app_with_two_ports_shares_both_and_is_reloaded_without_a_loss_on_either() {
    let stead = Stead::new();
    let (one, two) = (free_port(), free_port());
    App::server("web", one, &[&format!("port={two}")]).instances(2).start(&stead);
    let mut both = [one, two];
    both.sort_unstable();
    assert_eq!(stead.instance("web/1")["ports"], json!(both));
    for port in both {
        Load::of(100, port, &[]).evenly("web", 2);
    }
    let loads = both.map(|port| Load::begin("fresh", port, &[]));
    stead.run(&["reload", "web"]).ok();
    for load in loads {
        load.end().nothing_lost();
    }
}

#[test]
fn a_server_that_opens_mptcp_is_shared_by_the_kernel_and_stead_says_so() {
    if !std::fs::read_to_string("/proc/sys/net/mptcp/enabled").is_ok_and(|text| text.trim() == "1") {
        // A kernel without it answers such a socket(2) with an error, so no server can open one.
        return;
    }
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &["likego"]).instances(2).start(&stead);
    Load::of(200, port, &[]).by_all("web", 2);
    let show = stead.run(&["show", "web"]).ok().out;
    assert!(show.to_lowercase().contains("mptcp"), "{show}");
}

#[test]
fn go_programs_are_told_to_listen_with_plain_tcp_unless_the_app_says_otherwise() {
    let stead = Stead::new();
    let print = ["sh", "-c", "echo go=$GODEBUG; exec sleep 1000"].map(str::to_owned).to_vec();
    App::new("plain", print.clone()).with("ready_on = \"instant\"").start(&stead);
    let own = App::new("own", print).with("ready_on = \"instant\"");
    own.with("env = { GODEBUG = \"x509sha1=1\" }").start(&stead);
    printed(&stead, "plain", "go=multipathtcp=0", 1);
    printed(&stead, "own", "go=x509sha1=1", 1);
}

/// Starts an app that wants the port of another, and wants everybody told who has it.
#[track_caller]
fn is_told_who_has_it(stead: &Stead, rival: App, port: u16, owner: &str) {
    let rival = rival.with("max_restarts = 2").with("restart_delay = 0");
    let said = stead.run(&["start", &rival.file(stead)]).fails();
    assert!(said.text().contains("Address already in use"), "{}", said.text());
    assert!(said.text().contains(&format!("port {port} belongs to app {owner}")), "{}", said.text());
    let show = stead.run(&["show", rival.name]).ok().out;
    assert!(show.contains(owner), "{show}");
    let logs = stead.run(&["logs", rival.name, "--no-follow"]).ok().out + &stead.daemon_log();
    assert!(logs.lines().any(|line| line.contains(owner) && line.contains(&port.to_string())), "{logs}");
    stead.run(&["delete", rival.name]).ok();
}

#[test]
fn two_apps_of_one_user_never_share_a_port_and_the_second_is_told_who_has_it() {
    let stead = Stead::new();
    let port = free_port();
    App::server("grocer", port, &[]).instances(2).start(&stead);
    is_told_who_has_it(&stead, App::server("rival", port, &[]), port, "grocer");
    // One that asks for SO_REUSEPORT by itself must not get in either.
    is_told_who_has_it(&stead, App::server("rival", port, &["reuseport"]), port, "grocer");
    Load::of(100, port, &[]).evenly("grocer", 2);
}

#[test]
fn an_app_of_another_user_does_not_get_the_port_either_and_is_told_who_has_it() {
    let stead = Stead::new();
    let port = free_port();
    App::server("grocer", port, &[]).start(&stead);
    let rival = App::server_for_all(&stead, "rival", port, &["reuseport"]).with("user = \"nobody\"");
    is_told_who_has_it(&stead, rival, port, "grocer");
    Load::of(20, port, &[]).evenly("grocer", 1);
}

#[test]
fn the_kernel_shares_a_port_within_one_user_only_so_a_changed_user_is_rolled_old_first() {
    let stead = Stead::new();
    let port = free_port();
    let app = App::server_for_all(&stead, "web", port, &[]).instances(2);
    app.start(&stead);
    let before = pids(&stead, "web", 2);
    let said = stead.run(&["start", &app.with("user = \"nobody\"").file(&stead)]).ok();
    assert!(said.text().contains("old-first"), "{}", said.text());
    assert!(!before.iter().any(|pid| alive(*pid)));
    assert_eq!(stead.instance("web/1")["user"], "nobody");
    Load::of(100, port, &[]).evenly("web", 2);
}

#[test]
fn a_port_that_its_app_has_left_is_free_for_the_next_app() {
    let stead = Stead::new();
    let port = free_port();
    let (a, b) = (App::server("a", port, &[]).instances(2), App::server("b", port, &[]).instances(2));
    a.start(&stead);
    Load::of(100, port, &[]).evenly("a", 2);
    // An app that is stopped has its port no longer, and one that is gone neither.
    for how in ["stop", "delete"] {
        stead.run(&[how, "a"]).ok();
        b.start(&stead);
        Load::of(100, port, &[]).evenly("b", 2);
        stead.run(&["delete", "b"]).ok();
        if how == "stop" {
            stead.run(&["start", "a"]).ok();
            Load::of(100, port, &[]).evenly("a", 2);
        }
    }
}

#[test]
fn two_apps_may_have_one_port_number_on_two_addresses() {
    let stead = Stead::new();
    let port = free_port();
    App::server("four", port, &["at=lo4"]).start(&stead);
    App::server("six", port, &["at=lo6"]).start(&stead);
    Load::of(20, port, &[]).evenly("four", 1);
    Load::of(20, port, &["host=::1"]).evenly("six", 1);
}

#[test]
fn an_app_that_shares_no_port_cannot_have_two_instances_on_it_and_is_replaced_old_first() {
    let stead = Stead::new();
    let port = free_port();
    let app =
        App::server("web", port, &[]).with("share_ports = false").with("max_restarts = 2").with("restart_delay = 0");
    app.start(&stead);
    let pid = stead.pid("web/0");
    let said = stead.run(&["reload", "web"]).ok();
    assert!(said.text().contains("old-first"), "{}", said.text());
    assert_ne!(stead.pid("web/0"), pid);
    let said = stead.run(&["scale", "web", "2"]).fails();
    assert!(said.text().contains("share_ports") || said.text().contains("Address already in use"), "{}", said.text());
    Load::of(20, port, &[]).evenly("web", 1);
}

#[test]
fn an_http_probe_asks_its_own_instance_and_one_that_fails_gets_no_connection() {
    let stead = Stead::new();
    let port = free_port();
    let app = App::server("web", port, &["sick=web/1"])
        .instances(3)
        .with(&format!("ready_on = \"http://127.0.0.1:{port}/health\""))
        .with("start_timeout = \"10s\"")
        .with("max_restarts = 1");
    let mut start = app.start_behind(&stead);
    for ready in ["web/0", "web/2"] {
        stead.wait(ready, "ready", |row| row["ready"] == true);
    }
    // It listens as the others do, and answers 500: to its probe, and to nobody else.
    printed(&stead, "web/1", "listening", 1);
    let report = Load::of(200, port, &[]);
    report.nothing_lost();
    assert_eq!(report.instances().into_keys().collect::<Vec<_>>(), ["web/0", "web/2"], "{report}");
    assert_eq!(stead.instance("web/1")["ready"], false);
    stead.run(&["delete", "web"]).ok();
    let _ = start.wait();
}

#[test]
fn an_instance_beside_one_that_listens_is_not_ready_before_it_listens_itself() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &[]).start(&stead);
    let deaf = App::server("web", port, &["deaf"]).with("start_timeout = \"1s\"").with("max_restarts = 1");
    let said = stead.run(&["start", &deaf.file(&stead)]).fails();
    assert!(said.text().contains("start_timeout"), "{}", said.text());
    Load::of(20, port, &[]).evenly("web", 1);
}

#[test]
fn a_daemon_that_was_killed_comes_back_to_apps_that_share_their_port() {
    let stead = Stead::new();
    let port = free_port();
    App::server("web", port, &[]).instances(4).start(&stead);
    let before = daemon(&stead).expect("a daemon");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(eventually(|| daemon(&stead).is_some_and(|pid| pid != before)));
    for name in names("web", 4) {
        stead.wait(&name, "running again", |row| row["ready"] == true && row["ports"] == json!([port]));
    }
    Load::of(200, port, &[]).evenly("web", 4);
    let load = Load::begin("fresh", port, &[]);
    stead.run(&["reload", "web"]).ok();
    load.end().nothing_lost();
}

#[test]
fn sockets_that_come_and_go_leave_nothing_behind() {
    let stead = Stead::new();
    let port = free_port();
    // More often than one address has places for sockets (route.bpf.c, MOST).
    let script = stead.file(
        "fickle.js",
        &format!(
            "const http = require('http');\n\
             const answer = (_, out) => {{ out.setHeader('X-Instance', process.env.STEAD_INSTANCE); out.end(); }};\n\
             let left = 600;\n\
             const next = () => {{\n\
                 const server = http.createServer(answer).listen({port}, () => {{\n\
                     if (left--) server.close(next); else console.log('settled');\n\
                 }});\n\
             }};\n\
             next();\n"
        ),
    );
    let run = ["/usr/bin/env", "node", script.to_str().unwrap()];
    App::new("fickle", run.map(str::to_owned).to_vec()).instances(2).start(&stead);
    printed(&stead, "fickle", "settled", 2);
    for name in names("fickle", 2) {
        assert_eq!(stead.instance(&name)["ports"], json!([port]));
    }
    Load::of(200, port, &["clients=2"]).evenly("fickle", 2);
}
