//! A stead of its own for each test: real holder, daemon, cgroups and bus, in directories that nobody else uses.
//! Owns: starting it, talking to it through the real CLI, and proving at the end that nothing of it is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test is called failed. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Stead {
    pub dir: PathBuf,
    /// Checked and taken down by `drop`.
    up: bool,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "failed:\n{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "should have failed:\n{}\n{}", self.out, self.err);
        self
    }

    /// Everything printed, for a look at its words.
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Stead {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// Where a stead in use has its sockets: an app with a /tmp of its own cannot see the host's.
    pub fn in_run() -> Self {
        Self::below(Path::new("/run"))
    }

    fn below(parent: &Path) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("stead-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        // Apps of other users read their files here.
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir, up: true }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .current_dir(&self.dir)
            .env("STEAD_RUNTIME_DIR", self.path("run"))
            .env("STEAD_STATE_DIR", self.path("state"))
            .env("STEAD_LOG_DIR", self.path("log"))
            .env("STEAD_CONFIG_DIR", self.path("etc"))
            .env("STEAD_LOG", "info,stead::daemon::executor=debug")
            .env_remove("SUDO_UID")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    /// Gives another program the environment that `command` gives to `stead`.
    pub fn settle_environment(&self, other: &mut Command) {
        for (name, value) in self.command(&[]).get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().unwrap())
    }

    /// Every instance as `list --json` has it.
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        let said = self.run(&["list", "--json"]).ok();
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out))
    }

    #[track_caller]
    pub fn instance(&self, name: &str) -> Value {
        self.list()
            .into_iter()
            .find(|row| row["instance"] == name)
            .unwrap_or_else(|| panic!("no instance {name} in {:#?}", self.list()))
    }

    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let row = self.instance(name);
        row["pid"].as_i64().unwrap_or_else(|| panic!("no pid: {row:#}")) as i32
    }

    /// Waits until `check` holds for the instance.
    #[track_caller]
    pub fn wait(&self, name: &str, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let done = eventually(|| {
            last = self.list().into_iter().find(|row| row["instance"] == name).unwrap_or(Value::Null);
            !last.is_null() && check(&last)
        });
        assert!(done, "{name} never became: {what}; last seen {last:#}\n{}", self.run(&["logs", "--no-follow"]).text());
        last
    }

    /// The base cgroup's name, as the daemon makes it for a directory of its own.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let hash = self
            .path("run")
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        let name = format!("stead-{hash:016x}");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(' ').skip(1);
                let (path, kind) = (fields.next()?, fields.next()?);
                kind.starts_with("cgroup").then(|| Path::new(path).join(&name))
            })
            .filter(|path| path.exists())
            .collect()
    }

    /// Takes everything down as a person would, and checks that nothing is left.
    #[track_caller]
    pub fn shutdown(&mut self) {
        if !std::mem::take(&mut self.up) {
            return;
        }
        if self.path("run/private").exists() {
            self.run(&["shutdown"]).ok();
        }
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new(), "cgroups are left");
    }

    pub fn daemon_log(&self) -> String {
        fs::read_to_string(self.path("log/stead.log")).unwrap_or_default()
    }
}

impl Drop for Stead {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon's log:\n{}", self.daemon_log());
            let _ = self.run(&["shutdown"]);
        } else {
            self.shutdown();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The `stead` to test: the one of STEAD_BIN_DIR, as `tests/run` sets it, else the one built with these tests.
fn binary() -> PathBuf {
    let dir = std::env::var_os("STEAD_BIN_DIR").map(|dir| Path::new(&dir).join("stead"));
    dir.unwrap_or_else(|| env!("CARGO_BIN_EXE_stead").into())
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Looks again and again until `check` holds; false if it never does. The only wait in these tests.
#[expect(clippy::disallowed_methods, reason = "a deadline for the test itself")]
pub fn eventually(mut check: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        if check() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A C program of tests/apps, compiled once for each test run, statically, as Go programs are.
pub fn program(name: &str) -> PathBuf {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = LOCK.lock().unwrap_or_else(|e| e.into_inner());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = app(&format!("{name}.c"));
    let header = app(&format!("{name}.h"));
    let newer = |than: &Path| Some(out.metadata().ok()?.modified().ok()? > than.metadata().ok()?.modified().ok()?);
    if newer(&source) != Some(true) || newer(&header) == Some(false) {
        let status = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&out).arg(&source).status().unwrap();
        assert!(status.success(), "cannot compile {}", source.display());
    }
    out
}

/// A file of tests/apps.
pub fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(name)
}

/// Whether a process exists and is not a zombie.
pub fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// A port that nobody has, nor will any other test be given. Below those that the kernel hands out by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 100) as u16 * 200;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("::", port)).or_else(|_| std::net::TcpListener::bind(("0.0.0.0", port))).is_ok()
        {
            return port;
        }
    }
}
