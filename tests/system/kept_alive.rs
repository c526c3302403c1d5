//! Starting, crashing, coming back, giving up.

use serde_json::json;

use crate::support::{Stead, alive, app, program};

#[test]
fn a_real_node_app_and_a_python_worker_start_from_one_file_and_answer() {
    let mut stead = Stead::new();
    let port = crate::support::free_port();
    let (hello, worker) = (app("hello.js"), app("worker.py"));
    let file = stead.file(
        "apps.toml",
        &format!(
            "[[app]]\nname = \"hello\"\nrun = {hello:?}\nenv = {{ PORT = \"{port}\" }}\nmemory_max = \"256M\"\n\n[[app]]\nname = \"worker\"\nrun = {worker:?}\nmemory_max = \"64M\"\n"
        ),
    );
    let said = stead.run(&["start", file.to_str().unwrap()]).ok();
    assert!(said.out.contains("hello") && said.out.contains("running"), "{}", said.out);
    // A slow machine may take more than the second after which a program that does not listen counts as ready.
    let row = stead.wait("hello/0", "listening", |row| row["ports"] == json!([port]));
    assert_eq!(row["status"], "running");
    assert_eq!(row["ready"], true);
    assert!(row["memory_bytes"].as_u64().unwrap() > 1 << 20, "{row:#}");
    assert!(row["tasks"].as_u64().unwrap() >= 1);
    assert_eq!(http(port), 200);
    // Again: nothing to do, and nothing touched.
    let pid = stead.pid("hello/0");
    stead.run(&["start", file.to_str().unwrap()]).ok();
    assert_eq!(stead.pid("hello/0"), pid);
    stead.shutdown();
    assert!(!alive(pid));
}

fn http(port: u16) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_killed_instance_comes_back_and_says_how_it_died() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead.run(&["start", sleeper.to_str().unwrap(), "--name", "s", "--ready-on", "instant"]).ok();
    let pid = stead.pid("s/0");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let row = stead.wait("s/0", "running again", |row| row["status"] == "running" && row["pid"] != pid);
    assert_eq!(row["restarts"], 1);
    assert_eq!(row["last_exit"]["reason"], "signal");
    assert_eq!(row["last_exit"]["signal"], "SIGKILL");
}

#[test]
fn a_crash_loop_ends_in_errored_and_a_person_can_start_it_again() {
    let stead = Stead::new();
    let said = stead.run(&["start", "exit 3", "--name", "loop", "--restart-delay", "0", "--max-restarts", "5"]).fails();
    assert_eq!(said.code, Some(1));
    assert!(said.text().contains("loop/0"), "{}", said.text());
    let row = stead.wait("loop/0", "errored", |row| row["status"] == "errored");
    assert_eq!(row["last_exit"]["code"], 3);
    assert_eq!(row["last_exit"]["reason"], "exit");
    stead.run(&["start", "loop"]).fails();
    stead.wait("loop/0", "errored again", |row| row["status"] == "errored");
    stead.run(&["delete", "loop"]).ok();
    assert!(stead.list().is_empty());
}

#[test]
fn restart_on_failure_leaves_a_success_alone() {
    let stead = Stead::new();
    stead.run(&["start", "sleep 0.3", "--name", "once", "--restart", "on-failure", "--ready-on", "instant"]).ok();
    let row = stead.wait("once/0", "stopped", |row| row["status"] == "stopped");
    assert_eq!(row["restarts"], 0);
    assert_eq!(row["last_exit"]["code"], 0);
}

#[test]
fn children_of_a_crashed_leader_are_gone_before_its_successor_starts() {
    let stead = Stead::new();
    let escapee = program("escapee");
    let pids = stead.path("pids");
    let said = stead.run(&[
        "start",
        escapee.to_str().unwrap(),
        "--name",
        "e",
        "--ready-on",
        "instant",
        "--max-restarts",
        "3",
        "--restart-delay",
        "0",
        "--",
        pids.to_str().unwrap(),
        "exit",
    ]);
    drop(said);
    stead.wait("e/0", "errored", |row| row["status"] == "errored");
    let text = std::fs::read_to_string(&pids).unwrap();
    let left: Vec<i32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} still live");
}

#[test]
fn instances_scale_up_and_down_by_count_and_by_difference() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead.run(&["start", sleeper.to_str().unwrap(), "--name", "s", "-i", "2", "--ready-on", "instant"]).ok();
    let first = stead.pid("s/0");
    stead.run(&["scale", "s", "4"]).ok();
    assert_eq!(stead.list().len(), 4);
    stead.run(&["scale", "s", "-1"]).ok();
    stead.run(&["scale", "s", "+2"]).ok();
    assert_eq!(stead.list().len(), 5);
    stead.run(&["scale", "s"]).ok();
    assert_eq!(stead.list().len(), 2);
    assert_eq!(stead.pid("s/0"), first, "scaling touched what was to stay");
    stead.run(&["scale", "s", "0x"]).fails();
    assert_eq!(stead.list().len(), 2);
}

#[test]
fn json_rows_have_every_promised_field() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead.run(&["start", sleeper.to_str().unwrap(), "--name", "s", "--ready-on", "instant"]).ok();
    let row = stead.instance("s/0");
    let fields = "id app instance namespace pid status generation ready revision outdated uptime_ms restarts memory_bytes \
                  memory_peak_bytes cpu_percent tasks ports cgroup user last_exit";
    for field in fields.split_whitespace() {
        assert!(row.get(field).is_some(), "{field} is missing in {row:#}");
    }
    assert_eq!(row["user"], "root");
    assert_eq!(row["generation"], "running");
}
