//! Figures for machines: what `stead metrics` says, what is scraped, by a real Prometheus too, and that whoever scrapes badly
//! does no harm.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{PATIENCE, Stead, app, eventually, free_port};

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One whose figures are served on both doors, with what runs in most tests here; and the port.
fn served() -> (Stead, u16) {
    let stead = Stead::new();
    let port = free_port();
    fs::create_dir_all(stead.path("etc")).unwrap();
    let settings = format!(
        "metrics_socket = \"{}\"\nmetrics_listen = \"127.0.0.1:{port}\"\n",
        stead.path("metrics.sock").display()
    );
    stead.file("etc/stead.toml", &settings);
    (stead, port)
}

/// The value of a series, given as it stands before the space.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// What the socket answers to these bytes, head and all.
fn answer(stream: &mut (impl Read + Write), bytes: &[u8]) -> String {
    let _ = stream.write_all(bytes);
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: stead\r\n\r\n";

#[test]
fn figures_of_apps_and_of_stead_itself_are_told() {
    let stead = Stead::new();
    let port = free_port();
    let env = format!("PORT={port}");
    let web = app("hello.js");
    let flags = ["-i", "2", "--memory-max", "256M", "--max-memory-restart", "128M", "--env", &env];
    stead.run(&[&["start", web.to_str().unwrap(), "--name", "web"], &flags[..]].concat()).ok();
    let crash = ["--restart-delay", "0", "--max-restarts", "3", "--ready-on", "instant", "--", "-c", "exit 7"];
    stead.run(&[&["start", "sh", "--name", "crash"], &crash[..]].concat());
    stead.wait("crash/0", "errored", |row| row["status"] == "errored");
    let _idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let connections = |text: &str| {
        [0, 1].map(|slot| value(text, &format!("stead_instance_connections{{app=\"web\",slot=\"{slot}\"}}")))
    };
    let mut text = String::new();
    let accepted = eventually(|| {
        text = stead.run(&["metrics"]).ok().out;
        connections(&text).into_iter().flatten().sum::<f64>() == 1.0
    });
    assert!(accepted, "{text}");
    let of = |series: &str| value(&text, series).unwrap_or_else(|| panic!("{series} is missing in\n{text}"));
    for slot in [0, 1] {
        let web = |name: &str| of(&format!("{name}{{app=\"web\",slot=\"{slot}\"}}"));
        assert_eq!((web("stead_instance_up"), web("stead_instance_ready")), (1.0, 1.0));
        assert_eq!(web("stead_instance_memory_limit_bytes"), f64::from(256 << 20));
        assert_eq!(web("stead_instance_memory_soft_limit_bytes"), f64::from(128 << 20));
        assert!(web("stead_instance_memory_bytes") > f64::from(1 << 20));
        assert!(web("stead_instance_memory_anon_bytes") > f64::from(1 << 20));
        assert!(web("stead_instance_memory_file_bytes") >= 0.0);
        assert!(web("stead_instance_memory_peak_bytes") >= web("stead_instance_memory_bytes"));
        assert!(web("stead_instance_cpu_seconds_total") > 0.0);
        assert!(web("stead_instance_tasks") >= 1.0 && web("stead_instance_open_fds") > 2.0);
        // Later than this test was written.
        assert!(web("stead_instance_start_time_seconds") > 1_700_000_000.0);
    }
    assert_eq!(of("stead_instance_up{app=\"crash\",slot=\"0\"}"), 0.0);
    assert_eq!(of("stead_instance_state{app=\"crash\",slot=\"0\",state=\"errored\"}"), 1.0);
    assert_eq!(of("stead_instance_restarts_total{app=\"crash\",slot=\"0\",reason=\"exit\"}"), 2.0);
    assert_eq!(of("stead_events_total{event=\"gave-up\"}"), 1.0);
    for process in ["steadd", "stead-holder"] {
        assert!(of(&format!("stead_process_resident_memory_bytes{{process=\"{process}\"}}")) > 0.0);
        assert!(of(&format!("stead_process_open_fds{{process=\"{process}\"}}")) > 2.0);
        assert!(of(&format!("stead_process_start_time_seconds{{process=\"{process}\"}}")) > 1_700_000_000.0);
    }
    assert!(text.ends_with("# EOF\n"));
    // A start does not move from one look to the next.
    let start = "stead_instance_start_time_seconds{app=\"web\",slot=\"0\"}";
    assert_eq!(value(&stead.run(&["metrics"]).ok().out, start), value(&text, start));
}

#[test]
fn promtool_finds_nothing_to_say_about_the_older_format() {
    let stead = Stead::new();
    stead
        .run(&["start", "sleep", "--name", "s", "--memory-max", "64M", "--max-memory-restart", "32M", "--", "1000"])
        .ok();
    let text = stead.run(&["metrics", "--format", "text"]).ok().out;
    let mut promtool = Command::new("promtool");
    let mut promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    promtool = promtool.stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

#[test]
fn a_real_prometheus_scrapes_what_runs_and_sees_its_restarts() {
    let (stead, port) = served();
    stead.run(&["start", "sleep", "--name", "s", "--restart-delay", "0", "--", "1000"]).ok();
    let own = free_port();
    let target = "scrape_configs:\n  - job_name: stead\n    scrape_interval: 500ms\n    scrape_timeout: 500ms\n    \
                  static_configs:\n      - targets: [\"127.0.0.1:PORT\"]\n";
    let config = stead.file("prometheus.yml", &target.replace("PORT", &port.to_string()));
    let log = fs::File::create(stead.path("prometheus.log")).unwrap();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", stead.path("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let _prometheus = Running(prometheus.unwrap());
    let query = |query: &str| -> Option<f64> {
        let url = format!("http://127.0.0.1:{own}/api/v1/query");
        let curl = ["-s", "--get", &url, "--data-urlencode", &format!("query={query}")].map(str::to_owned);
        let output = Command::new("curl").args(curl).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    };
    let log = || fs::read_to_string(stead.path("prometheus.log")).unwrap();
    let becomes = |what: &str, is: f64| assert!(eventually(|| query(what) == Some(is)), "{what}\n{}", log());
    becomes("up{job=\"stead\"}", 1.0);
    becomes("stead_instance_up{app=\"s\",slot=\"0\"}", 1.0);
    becomes("stead_instance_restarts_total{app=\"s\",reason=\"signal\"}", 0.0);
    assert!(query("stead_instance_memory_bytes{app=\"s\"}").is_some_and(|bytes| bytes > 0.0));
    let pid = stead.pid("s/0");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    becomes("stead_instance_restarts_total{app=\"s\",reason=\"signal\"}", 1.0);
    becomes("sum(increase(stead_instance_restarts_total[5m])) > bool 0", 1.0);
    // It knows what is a counter, and in what unit.
    let url = format!("http://127.0.0.1:{own}/api/v1/metadata?metric=stead_instance_cpu_seconds");
    let output = Command::new("curl").args(["-s", &url]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let about = &answer["data"]["stead_instance_cpu_seconds"][0];
    assert_eq!((&about["type"], &about["unit"]), (&Value::from("counter"), &Value::from("seconds")), "{answer}");
}

#[test]
fn the_socket_is_roots_and_its_groups_outlives_the_daemon_and_goes_with_it() {
    let (mut stead, _) = served();
    let path = stead.path("metrics.sock");
    stead.run(&["start", "sleep", "--name", "s", "--", "1000"]).ok();
    assert!(eventually(|| UnixStream::connect(&path).is_ok()), "{}", stead.daemon_log());
    let file = fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    let nobody = Command::new("runuser")
        .args(["-u", "nobody", "--", "curl", "-s", "--unix-socket"])
        .arg(&path)
        .arg("http://stead/metrics")
        .output()
        .unwrap();
    assert!(!nobody.status.success() && nobody.stdout.is_empty(), "{nobody:?}");
    let found = || answer(&mut connect(&path), GET);
    assert!(found().contains("stead_instance_up{app=\"s\",slot=\"0\"} 1"));
    let text = answer(&mut connect(&path), b"GET /metrics HTTP/1.0\r\nAccept: text/plain\r\n\r\n");
    assert!(text.contains("Content-Type: text/plain; version=0.0.4") && !text.contains("# EOF"), "{text}");
    let daemon = daemon_of(&stead);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon), nix::sys::signal::Signal::SIGKILL).unwrap();
    let back = eventually(|| {
        UnixStream::connect(&path).is_ok_and(|mut stream| answer(&mut stream, GET).starts_with("HTTP/1.1 200"))
    });
    assert!(back, "the next daemon takes the place\n{}", stead.daemon_log());
    stead.shutdown();
    assert!(!path.exists(), "it is left");
}

/// The process that answers on the socket.
fn daemon_of(stead: &Stead) -> i32 {
    let stream = connect(&stead.path("metrics.sock"));
    nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).unwrap().pid()
}

#[test]
fn who_asks_slowly_too_much_or_nonsense_is_turned_away_and_everybody_else_is_served() {
    let (stead, port) = served();
    let path = stead.path("metrics.sock");
    stead.run(&["start", "sleep", "--name", "s", "-i", "20", "--", "1000"]).ok();
    assert!(eventually(|| UnixStream::connect(&path).is_ok()), "{}", stead.daemon_log());
    // More than are talked to, of every bad kind: they say nothing, half of a question, or do not take the answer.
    let mut bad: Vec<UnixStream> = Vec::new();
    for number in 0..200 {
        let mut stream = connect(&path);
        let _ = match number % 3 {
            0 => Ok(()),
            1 => stream.write_all(b"GET /metr"),
            _ => stream.write_all(GET),
        };
        bad.push(stream);
    }
    assert!(answer(&mut connect(&path), GET).starts_with("HTTP/1.1 200 OK"));
    let mut remote = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(answer(&mut remote, GET).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(stead.list().len(), 20);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(answer(&mut connect(&path), long.as_bytes()).starts_with("HTTP/1.1 431"));
    assert!(answer(&mut connect(&path), b"\0\0\0\0\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(answer(&mut connect(&path), b"DELETE /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(answer(&mut connect(&path), b"GET /etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    // Nothing more comes: it is told so, and hung up on.
    assert!(answer(&mut connect(&path), b"GET /metr").starts_with("HTTP/1.1 408"));
}

#[test]
fn what_cannot_be_served_is_said_and_keeps_the_daemon_from_nothing() {
    let stead = Stead::new();
    fs::create_dir_all(stead.path("etc")).unwrap();
    let file = stead.file("precious", "data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = format!("metrics_socket = \"{}\"\nmetrics_listen = \"127.0.0.1:{port}\"\n", file.display());
    stead.file("etc/stead.toml", &settings);
    stead.run(&["start", "sleep", "--name", "s", "--", "1000"]).ok();
    let said = |words: &str| assert!(eventually(|| stead.daemon_log().contains(words)), "{}", stead.daemon_log());
    said("precious is there, and is no socket: move it away");
    said(&format!(
        "metrics_listen = \"127.0.0.1:{port}\" of stead.toml: metrics are not served there: Address already in use"
    ));
    assert_eq!(fs::read_to_string(file).unwrap(), "data");
    assert!(stead.run(&["metrics"]).ok().out.contains("stead_instance_up{app=\"s\",slot=\"0\"} 1"));
}
