//! An instance that others can stand in for is told to stop when its connections are idle; one that nobody can, at once.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::support::{PATIENCE, Stead, eventually, free_port, program};

/// A connection that is kept alive, and who is at the other end.
struct Client {
    stream: BufReader<TcpStream>,
    pid: i32,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), pid: 0 };
        client.ask(0);
        client.pid = client.answer().expect("no answer");
        client
    }

    /// One to this instance. The kernel chooses, so it may take several attempts.
    fn of(port: u16, pid: i32) -> Self {
        let mut found = None;
        assert!(eventually(|| {
            let client = Client::connect(port);
            let right = client.pid == pid;
            found = Some(client);
            right
        }));
        found.unwrap()
    }

    /// To be answered after so many milliseconds.
    fn ask(&mut self, after: u32) {
        self.stream.get_mut().write_all(format!("{after}\n").as_bytes()).unwrap();
    }

    /// None if the connection was cut off.
    fn answer(&mut self) -> Option<i32> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }
}

/// Instances that share a port.
fn start(stead: &Stead, instances: &str, drain_timeout: &str) -> u16 {
    let (keeper, port) = (program("keeper"), free_port());
    let started = [
        "start",
        keeper.to_str().unwrap(),
        "--name",
        "web",
        "--instances",
        instances,
        "--ready-on",
        "listen",
        "--drain-timeout",
        drain_timeout,
        "--",
        &port.to_string(),
    ];
    stead.run(&started).ok();
    port
}

fn stop(stead: &Stead, what: &str) -> std::process::Child {
    stead.command(&["stop", what]).stdout(std::process::Stdio::null()).spawn().unwrap()
}

fn draining(stead: &Stead, instance: &str) -> serde_json::Value {
    let shown = stead.run(&["show", "web", "--json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    let instances = shown[0]["instances"].as_array().unwrap();
    instances.iter().find(|detail| detail["status"]["instance"] == instance).unwrap()["draining"].clone()
}

#[test]
fn an_app_that_is_stopped_as_a_whole_waits_for_nobody() {
    for instances in ["1", "3"] {
        let stead = Stead::new();
        let port = start(&stead, instances, "1h");
        let mut clients: Vec<Client> = (0..9).map(|_| Client::connect(port)).collect();
        clients.iter_mut().for_each(|client| client.ask(3_600_000));
        stead.run(&["stop", "web"]).ok();
        assert!(clients.iter_mut().all(|client| client.answer().is_none()));
    }
}

#[test]
fn a_question_that_is_being_answered_is_answered_before_the_instance_is_stopped() {
    let stead = Stead::new();
    let port = start(&stead, "2", "1h");
    let pid = stead.pid("web/0");
    let mut client = Client::of(port, pid);
    // Right after an answer, as a busy client does.
    client.ask(0);
    client.answer();
    client.ask(2500);
    let mut stopping = stop(&stead, "web/0");
    let mut waits = serde_json::Value::Null;
    assert!(
        eventually(|| {
            waits = draining(&stead, "web/0");
            waits["busy"] == 1
        }),
        "{waits:#}"
    );
    assert!(waits["until_ms"].as_u64().is_some_and(|left| left > 3_000_000), "{waits:#}");
    let said = stead.run(&["show", "web"]).ok().out;
    assert!(said.contains("waits for 1 connection (1 being answered), 0 queued; at most 59m"), "{said}");
    assert!(draining(&stead, "web/1").is_null());
    assert_eq!(client.answer(), Some(pid), "it was cut off");
    // The connection stays open, and idle.
    assert!(stopping.wait().unwrap().success());
    assert_eq!(client.answer(), None);
    assert_eq!(stead.instance("web/0")["last_exit"]["signal"], "SIGTERM");
}

#[test]
fn a_drain_ends_with_the_instance_or_with_the_last_that_could_stand_in() {
    let stead = Stead::new();
    let port = start(&stead, "3", "1h");
    let mut clients: Vec<Client> =
        ["web/0", "web/1"].iter().map(|instance| Client::of(port, stead.pid(instance))).collect();
    clients.iter_mut().for_each(|client| client.ask(3_600_000));
    let stopping = ["web/0", "web/1"].map(|instance| {
        let stopping = stop(&stead, instance);
        assert!(eventually(|| draining(&stead, instance)["busy"] == 1));
        stopping
    });
    stead.run(&["kill", "web/0"]).ok();
    assert!(clients[0].answer().is_none());
    assert_eq!(draining(&stead, "web/1")["busy"], 1);
    stead.run(&["stop", "web/2"]).ok();
    assert!(clients[1].answer().is_none());
    for mut stopping in stopping {
        stopping.wait().unwrap();
    }
    assert!(stead.list().iter().all(|row| row["status"] == "stopped"));
}

#[test]
fn drain_timeout_ends_the_patience_with_a_connection_that_is_never_idle() {
    let stead = Stead::new();
    let port = start(&stead, "2", "700ms");
    let mut client = Client::of(port, stead.pid("web/0"));
    client.ask(3_600_000);
    stead.run(&["stop", "web/0"]).ok();
    assert_eq!(client.answer(), None);
    assert_eq!(stead.instance("web/1")["status"], "running");
}
