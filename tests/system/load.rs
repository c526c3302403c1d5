//! Servers of many kinds that listen on a port, and clients that ask them all the time and count what gets lost.
//! Owns: tests/apps/load (the client), tests/apps/server and the servers of other people as apps of a test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::support::{PATIENCE, Stead, app, eventually, program};

/// A user-mode kernel: one CPU, and each system call costs what a hundred cost elsewhere.
pub fn slow_machine() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("User Mode Linux")
}

/// Clients that ask until they are told to end.
pub struct Load {
    client: Child,
    lines: Receiver<String>,
    what: String,
}

/// What they found.
#[derive(Debug)]
pub struct Report {
    pub counts: Value,
    what: String,
}

/// As many as load a small server without keeping the machine from everything else.
pub const CLIENTS: u64 = 8;

impl Load {
    /// Starts clients; `words` are those of tests/apps/load.c.
    fn spawn(words: &[&str]) -> Self {
        let mut client = Command::new(program("load"));
        client.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(client.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { client, lines, what: words.join(" ") }
    }

    /// Starts clients that ask steadily, and returns once they are answered.
    #[track_caller]
    pub fn begin(mode: &str, port: u16, words: &[&str]) -> Self {
        let rate = if slow_machine() { "rate=100" } else { "rate=2000" };
        let (port, clients) = (format!("port={port}"), format!("clients={CLIENTS}"));
        let mut all = vec![mode, &port, &clients];
        // Those that pause have a rhythm of their own. At this rate no connection that is kept is ever idle for long.
        if !mode.starts_with("pause") {
            all.push(rate);
        }
        all.extend(words);
        let load = Self::spawn(&all);
        assert_eq!(load.line(), "answering", "{}: nobody answers", load.what);
        load
    }

    /// Asks `count` times, each time on a new connection.
    #[track_caller]
    pub fn of(count: u64, port: u16, words: &[&str]) -> Report {
        let (count, port) = (format!("count={count}"), format!("port={port}"));
        let mut all = vec!["fresh", &count, &port];
        all.extend(words);
        Self::spawn(&all).report()
    }

    #[track_caller]
    fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(_) => panic!("{}: the client says nothing", self.what),
        }
    }

    #[track_caller]
    pub fn end(mut self) -> Report {
        drop(self.client.stdin.take());
        self.report()
    }

    #[track_caller]
    fn report(self) -> Report {
        loop {
            let line = self.line();
            if line.starts_with('{') {
                let counts = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                return Report { counts, what: self.what.clone() };
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Report {
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.counts[name].as_u64().unwrap_or_else(|| panic!("no {name} in {self}"))
    }

    /// Answers by the instance that gave them.
    pub fn instances(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.counts["instances"].clone()).unwrap()
    }

    #[track_caller]
    pub fn nothing_lost(&self) -> &Self {
        assert_eq!(self.count("lost"), 0, "{self}");
        assert!(self.count("answered") > 0, "{self}");
        self
    }

    /// Every one of `count` instances of the app answered, and nobody else.
    #[track_caller]
    pub fn by_all(&self, app: &str, count: usize) -> &Self {
        assert!(self.nothing_lost().instances().keys().eq(names(app, count).iter()), "{self}");
        self
    }

    /// Each instance answered as often as the others. Only where nobody else asks meanwhile.
    #[track_caller]
    pub fn evenly(&self, app: &str, count: usize) -> &Self {
        let instances = self.by_all(app, count).instances();
        let (most, least) = (instances.values().max().unwrap(), instances.values().min().unwrap());
        assert!(*most as f64 / *least as f64 <= 1.02 || most - least <= 2, "{self}");
        self
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.counts)
    }
}

/// `web/0`, `web/1`, ...
pub fn names(app: &str, count: usize) -> Vec<String> {
    (0..count).map(|slot| format!("{app}/{slot}")).collect()
}

/// An app of a test, as its file has it.
#[derive(Clone, Debug)]
pub struct App {
    pub name: &'static str,
    pub run: Vec<String>,
    pub instances: usize,
    /// Further lines of its table.
    pub more: String,
}

impl App {
    /// tests/apps/server with these flags.
    pub fn server(name: &'static str, port: u16, flags: &[&str]) -> Self {
        Self::server_at(&program("server"), name, port, flags)
    }

    /// The same, from a copy that every user may read: the sources may be in somebody's home.
    pub fn server_for_all(stead: &Stead, name: &'static str, port: u16, flags: &[&str]) -> Self {
        let copy = stead.path("server");
        std::fs::copy(program("server"), &copy).unwrap();
        Self::server_at(&copy, name, port, flags)
    }

    fn server_at(path: &Path, name: &'static str, port: u16, flags: &[&str]) -> Self {
        let mut run = vec![text(path.to_owned()), format!("port={port}")];
        run.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self::new(name, run)
    }

    pub fn new(name: &'static str, run: Vec<String>) -> Self {
        // `auto` would take a server for ready that needs more than a second to listen, as on a slow machine.
        Self { name, run, instances: 1, more: "ready_on = \"listen\"\n".to_owned() }
    }

    pub fn instances(mut self, count: usize) -> Self {
        self.instances = count;
        self
    }

    /// One more line of its table, instead of an earlier one for the same key.
    pub fn with(mut self, line: &str) -> Self {
        let key = line.split('=').next().unwrap_or_default().trim();
        self.more = self.more.lines().filter(|l| l.split('=').next().unwrap_or_default().trim() != key).fold(
            String::new(),
            |mut all, line| {
                let _ = writeln!(all, "{line}");
                all
            },
        );
        let _ = writeln!(self.more, "{line}");
        self
    }

    /// Writes its file, over an earlier revision's.
    pub fn file(&self, stead: &Stead) -> String {
        let Self { name, run, instances, more } = self;
        let table = format!("[[app]]\nname = {name:?}\nrun = {run:?}\ninstances = {instances}\n{more}");
        text(stead.file(&format!("{name}.toml"), &table))
    }

    #[track_caller]
    pub fn start(&self, stead: &Stead) {
        stead.run(&["start", &self.file(stead)]).ok();
    }

    /// Starts it and does not wait: returns as soon as the daemon knows it.
    #[track_caller]
    pub fn start_behind(&self, stead: &Stead) -> Child {
        let start = stead.command(&["start", &self.file(stead)]).spawn().unwrap();
        assert!(eventually(|| stead.run(&["show", self.name]).code == Some(0)), "{} is not there", self.name);
        start
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

/// Servers that people have, unmodified: each with what it needs to listen on `port`.
pub fn kinds(stead: &Stead, port: u16) -> Vec<App> {
    let (js, py, nginx) = (text(app("web.js")), text(app("web.py")), text(app("nginx.sh")));
    let (apps, scratch, port_word) = (text(app("")), text(stead.dir.clone()), port.to_string());
    let node = |name, words: &[&str]| {
        let run = ["node", &js].iter().chain(words).map(|word| (*word).to_owned()).collect();
        App::new(name, run).with(&format!("env = {{ PORT = \"{port}\" }}"))
    };
    let python = |name, run: &[&str]| {
        let run = run.iter().map(|word| (*word).to_owned()).collect();
        // The sources are no place for what Python compiles them to.
        App::new(name, run).with("env = { PYTHONDONTWRITEBYTECODE = \"1\" }")
    };
    let [python3, gunicorn, uvicorn] =
        ["python3", "gunicorn", "uvicorn"].map(|name| text(python_env().join("bin").join(name)));
    let address = format!("127.0.0.1:{port}");
    vec![
        App::server("static-c", port, &[]),
        App::server("static-c-mute", port, &["signals=none"]),
        node("node", &[]),
        node("node-mute", &["plain"]),
        python("python", &[&python3, &py, &port_word]),
        python("gunicorn", &[&gunicorn, "--no-control-socket", "--chdir", &apps, "-b", &address, "web:wsgi"]),
        python("uvicorn", &[&uvicorn, "--no-access-log", "--app-dir", &apps, "--port", &port_word, "web:asgi"]),
        // Its workers end their connections at SIGQUIT; at SIGTERM they drop them.
        App::new("nginx", vec![nginx, scratch, port_word.clone()]).with("stop_signal = \"SIGQUIT\""),
    ]
}

/// gunicorn and uvicorn from PyPI, in an environment of their own that is made once for each target directory.
pub fn python_env() -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one = LOCK.lock().unwrap_or_else(|e| e.into_inner());
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let made = Command::new(app("python-env")).arg(&at).output().unwrap();
    assert!(made.status.success(), "tests/apps/python-env: {}", String::from_utf8_lossy(&made.stderr));
    at
}

/// The processes of an app's first `count` instances.
#[track_caller]
pub fn pids(stead: &Stead, app: &str, count: usize) -> Vec<i32> {
    names(app, count).iter().map(|name| stead.pid(name)).collect()
}

/// Whose process runs `steadd` for this stead.
pub fn daemon(stead: &Stead) -> Option<i32> {
    let mark = format!("STEAD_RUNTIME_DIR={}\0", stead.path("run").display());
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let exe = std::fs::read_link(entry.path().join("exe")).ok()?;
        let environ = std::fs::read(entry.path().join("environ")).ok()?;
        let ours = String::from_utf8_lossy(&environ).contains(&mark);
        (ours && exe.file_name()? == "steadd").then_some(pid)
    })
}

/// What `stats=DIR` of tests/apps/server has for a run: connections that it accepted, less those that it was done with.
pub fn unfinished(stead: &Stead, pid: i32) -> u64 {
    let mut counts = [0; 16];
    let mut file = std::fs::File::open(stead.path("stats").join(pid.to_string())).unwrap();
    file.read_exact(&mut counts).unwrap();
    let at = |from: usize| u64::from_ne_bytes(counts[from..from + 8].try_into().unwrap());
    at(0) - at(8)
}

/// Waits until an app has printed a line `count` times, in all its runs.
#[track_caller]
pub fn printed(stead: &Stead, app: &str, line: &str, count: usize) {
    let mut log = String::new();
    let done = eventually(|| {
        log = stead.run(&["logs", app, "--no-follow", "--raw", "--lines", "1000"]).out;
        log.lines().filter(|l| l.trim_end().ends_with(line)).count() >= count
    });
    assert!(done, "{app} never printed {line:?} {count} times:\n{log}");
}

/// A connection that waits in a queue, or is served: asked, not answered yet.
pub struct Asked(std::net::TcpStream);

impl Asked {
    pub fn new(port: u16) -> Self {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        Self(stream)
    }

    /// The whole answer; an error's words, if there is none.
    pub fn answer(mut self) -> String {
        let mut answer = String::new();
        match self.0.read_to_string(&mut answer) {
            Ok(_) => answer,
            Err(error) => format!("{error}, after {answer:?}"),
        }
    }
}
