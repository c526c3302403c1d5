//! Each kind of `ready_on`, with programs that really do it, and with ones that lie or never do.

use crate::support::{Stead, app, eventually, free_port, program};

#[test]
fn a_message_over_nodes_channel_makes_ready() {
    let stead = Stead::new();
    let script = app("message-ready.js");
    stead.run(&["start", script.to_str().unwrap(), "--name", "m", "--ready-on", "message", "--", "300"]).ok();
    let row = stead.instance("m/0");
    assert_eq!((row["status"].as_str(), row["ready"].as_bool()), (Some("running"), Some(true)));
    assert!(stead.run(&["logs", "m", "--no-follow"]).out.contains("ready"));
}

#[test]
fn a_notification_counts_from_any_process_of_the_instance_and_from_nobody_else() {
    let stead = Stead::new();
    let notify = program("notify");
    let notify = notify.to_str().unwrap();
    stead.run(&["start", notify, "--name", "main", "--ready-on", "notify", "--", "100"]).ok();
    stead.run(&["start", notify, "--name", "child", "--ready-on", "notify", "--", "100", "child"]).ok();
    stead
        .run(&[
            "start",
            notify,
            "--name",
            "stranger",
            "--ready-on",
            "notify",
            "--start-timeout",
            "2s",
            "--max-restarts",
            "1",
            "--",
            "100",
            "stranger",
        ])
        .fails();
    assert_eq!(stead.instance("child/0")["status"], "running");
}

#[test]
fn listening_makes_ready_and_not_before() {
    let stead = Stead::new();
    let listener = program("listener");
    let port = free_port().to_string();
    for (name, how) in [("l", "listen"), ("a", "auto")] {
        let port = if name == "l" { port.clone() } else { free_port().to_string() };
        stead.run(&["start", listener.to_str().unwrap(), "--name", name, "--ready-on", how, "--", &port, "400"]).ok();
        let row = stead.instance(&format!("{name}/0"));
        assert_eq!(row["ports"][0].as_u64(), port.parse().ok(), "{row:#}");
    }
}

#[test]
fn http_and_tcp_probes_wait_for_an_answer() {
    let stead = Stead::new();
    let listener = program("listener");
    for name in ["http", "tcp"] {
        let port = free_port().to_string();
        let probe = match name {
            "http" => format!("http://127.0.0.1:{port}/health"),
            _ => format!("tcp://127.0.0.1:{port}"),
        };
        stead
            .run(&["start", listener.to_str().unwrap(), "--name", name, "--ready-on", &probe, "--", &port, "300"])
            .ok();
        assert_eq!(stead.instance(&format!("{name}/0"))["ready"], true);
    }
}

#[test]
fn an_exec_probe_runs_as_the_apps_user_until_it_succeeds() {
    let stead = Stead::new();
    let flag = stead.path("flag");
    let who = stead.path("who");
    let file = stead.file(
        "s.toml",
        &format!(
            "[[app]]\nname = \"s\"\nrun = [\"/bin/sleep\", \"1000\"]\nuser = \"nobody\"\nready_on = [\"/bin/sh\", \"-c\", \"id -un > {who}; test -e {flag}\"]\n",
            who = who.display(),
            flag = flag.display()
        ),
    );
    std::fs::write(&who, "").unwrap();
    std::fs::set_permissions(&who, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let mut start = stead.command(&["start", file.to_str().unwrap()]).spawn().unwrap();
    assert!(eventually(|| std::fs::read_to_string(&who).is_ok_and(|t| t == "nobody\n")));
    assert_eq!(stead.instance("s/0")["status"], "starting");
    std::fs::write(&flag, "").unwrap();
    assert!(start.wait().unwrap().success());
    assert_eq!(stead.instance("s/0")["status"], "running");
}

#[test]
fn an_app_that_never_gets_ready_is_a_failed_start_with_its_last_lines() {
    let stead = Stead::new();
    let said = stead
        .run(&[
            "start",
            "sh",
            "--name",
            "s",
            "--ready-on",
            "notify",
            "--start-timeout",
            "1s",
            "--max-restarts",
            "1",
            "--",
            "-c",
            "echo i am stuck; exec sleep 1000",
        ])
        .fails();
    assert_eq!(said.code, Some(1));
    assert!(said.text().contains("start_timeout"), "{}", said.text());
    assert!(said.text().contains("i am stuck"), "{}", said.text());
    let row = stead.wait("s/0", "errored", |row| row["status"] == "errored");
    assert_eq!(row["last_exit"]["reason"], "start-timeout");
}
