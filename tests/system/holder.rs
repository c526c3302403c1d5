//! The holder, alone: real programs, started and watched by a test in the daemon's place.
//! Owns: a stand-in for the daemon, which hands its end of the holder's socket to the test.
//! Never: uses the daemon. What is tested here must hold whatever the daemon does.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use stead::holder::plan::{Failure, Identity, Passed, Plan, Sink, Stage, Step};
use stead::holder::protocol::{Ends, Exit, Message, NOTIFY, Refusal, Request, Row, RowState, Stream, VERSION};
use stead::sys::cgroup::{Base, Controller, Host, Layout, Limits, RunCgroup};
use stead::sys::pidfd;
use stead::sys::socket;

/// Where the stand-in finds the test.
const MEETING: &str = "STEAD_TEST_MEETING";
/// How long any answer may take.
const PATIENCE: u16 = 20_000;

/// The stand-in for the daemon: it sends fd 3 to the test and lives until it is killed or the test is gone.
#[test]
fn stand_in() {
    let Some(meeting) = std::env::var_os(MEETING) else { return };
    let link = socket::inherited(3).unwrap();
    let to_test = UnixStream::connect(meeting).unwrap();
    let pid = std::process::id().to_string();
    socket::send(to_test.as_fd(), pid.as_bytes(), &[link.as_fd()]).unwrap();
    drop(link);
    readable(to_test.as_fd(), PollTimeout::NONE);
}

fn readable(fd: BorrowedFd<'_>, timeout: PollTimeout) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout).unwrap() > 0
}

/// A holder of its own, and the daemon's end of its socket.
struct Harness {
    dir: PathBuf,
    holder: Child,
    listener: UnixListener,
    link: OwnedFd,
    daemon_pid: i32,
    _to_stand_in: UnixStream,
    /// What would be systemd's socket.
    systemd: OwnedFd,
    next_token: u64,
}

impl Harness {
    fn start(name: &str) -> Harness {
        let dir = std::env::temp_dir().join(format!("stead-holder-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let daemon = dir.join("daemon");
        let exe = std::env::current_exe().unwrap();
        fs::write(&daemon, format!("#!/bin/sh\nexec {} --exact holder::stand_in --nocapture\n", exe.display()))
            .unwrap();
        fs::set_permissions(&daemon, fs::Permissions::from_mode(0o755)).unwrap();
        let listener = UnixListener::bind(dir.join("meeting")).unwrap();
        let systemd = socket::bind_datagram(&dir.join("systemd")).unwrap();
        let holder = Command::new(env!("CARGO_BIN_EXE_stead-holder"))
            .arg("--daemon")
            .arg(&daemon)
            .env("STEAD_RUNTIME_DIR", dir.join("run"))
            .env(MEETING, dir.join("meeting"))
            .env("NOTIFY_SOCKET", dir.join("systemd"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (link, daemon_pid, to_stand_in) = meet(&listener);
        let (_to_stand_in, next_token) = (to_stand_in, 1);
        let mut harness = Harness { dir, holder, listener, link, daemon_pid, _to_stand_in, systemd, next_token };
        assert!(matches!(harness.hear().0, Message::Hello { version: VERSION }));
        harness
    }

    /// `kill -9` for the daemon, and the link of the one that the holder starts in its place.
    fn lose_the_daemon(&mut self) {
        self.lose_the_daemon_while(|| ());
    }

    fn lose_the_daemon_while(&mut self, meanwhile: impl FnOnce()) {
        kill(Pid::from_raw(self.daemon_pid), Signal::SIGKILL).unwrap();
        meanwhile();
        let (link, daemon_pid, to_stand_in) = meet(&self.listener);
        assert_ne!(daemon_pid, self.daemon_pid);
        (self.link, self.daemon_pid, self._to_stand_in) = (link, daemon_pid, to_stand_in);
        assert!(matches!(self.hear().0, Message::Hello { .. }));
    }

    fn ask(&self, request: &Request) {
        socket::send(self.link.as_fd(), &request.encode(), &[]).unwrap();
    }

    fn hear(&mut self) -> (Message, Vec<OwnedFd>) {
        assert!(readable(self.link.as_fd(), PollTimeout::from(PATIENCE)), "the holder says nothing");
        let mut buffer = vec![0; 1 << 20];
        let received = socket::receive(self.link.as_fd(), &mut buffer).unwrap();
        assert!(received.len > 0, "the holder has hung up");
        (Message::decode(&buffer[..received.len]).unwrap(), received.fds)
    }

    fn spawn(&mut self, plan: Plan) -> (u64, i32, Ends) {
        let token = self.send_spawn(plan);
        match self.hear() {
            (Message::Spawned { token: heard, pid, fds }, received) => {
                assert_eq!(heard, token);
                (token, pid, Ends::sort(fds, received).unwrap())
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    fn send_spawn(&mut self, plan: Plan) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.ask(&Request::Spawn { token, plan: Box::new(plan) });
        token
    }

    fn failure(&mut self, plan: Plan) -> Failure {
        let token = self.send_spawn(plan);
        match self.hear().0 {
            Message::SpawnFailed { token: heard, failure } if heard == token => failure,
            other => panic!("{other:?}"),
        }
    }

    fn exit_of(&mut self, token: u64) -> Exit {
        match self.hear().0 {
            Message::Exited { token: heard, exit } if heard == token => exit,
            other => panic!("{other:?}"),
        }
    }

    /// An exit may be told beside the inventory that has it already.
    fn inventory(&mut self) -> Vec<Row> {
        self.ask(&Request::Inventory);
        loop {
            match self.hear().0 {
                Message::Inventory { rows, last: true, .. } => return rows,
                Message::Exited { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next that is not about descriptors.
    fn systemd_hears(&self) -> String {
        loop {
            assert!(readable(self.systemd.as_fd(), PollTimeout::from(PATIENCE)));
            let mut buffer = [0; 512];
            let received = socket::receive(self.systemd.as_fd(), &mut buffer).unwrap();
            let text = String::from_utf8(buffer[..received.len].to_vec()).unwrap();
            if !text.starts_with("FDSTORE") {
                return text;
            }
        }
    }

    /// Runs a shell script to its end and returns what it printed.
    fn output(&mut self, script: &str, steps: Vec<Step>) -> String {
        let (token, _, ends) = self.spawn(Plan { steps, ..shell(script) });
        let mut text = String::new();
        fs::File::from(ends.stdout.unwrap()).read_to_string(&mut text).unwrap();
        self.exit_of(token);
        self.ask(&Request::Forget { token });
        text
    }

    fn finish(mut self) {
        self.ask(&Request::Quit);
        kill(Pid::from_raw(self.daemon_pid), Signal::SIGKILL).unwrap();
        assert!(self.holder.wait().unwrap().success());
    }
}

impl Drop for Harness {
    /// What a failed test has left running would outlive the holder: that is what the holder is for.
    fn drop(&mut self) {
        let holder = self.holder.id();
        let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = pidfd::open(pid).and_then(|pidfd| pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL));
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = kill(Pid::from_raw(self.daemon_pid), Signal::SIGKILL);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The next stand-in to come: the daemon's end of the link, its pid, and the line to it.
fn meet(listener: &UnixListener) -> (OwnedFd, i32, UnixStream) {
    assert!(readable(listener.as_fd(), PollTimeout::from(PATIENCE)), "no daemon was started");
    let (to_stand_in, _) = listener.accept().unwrap();
    assert!(readable(to_stand_in.as_fd(), PollTimeout::from(PATIENCE)));
    let mut buffer = [0; 32];
    let mut received = socket::receive(to_stand_in.as_fd(), &mut buffer).unwrap();
    let pid = std::str::from_utf8(&buffer[..received.len]).unwrap().parse().unwrap();
    (received.fds.remove(0), pid, to_stand_in)
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn shell(script: &str) -> Plan {
    Plan {
        program: c("/bin/sh"),
        args: vec![c("sh"), c("-c"), c(script)],
        env: vec![c("PATH=/usr/bin:/bin")],
        stdout: Sink::Pipe,
        ..Plan::default()
    }
}

/// Until it reads what is expected. Reading /proc is the only way to see it, so this polls, with a deadline in rounds.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let (never, _write) = nix::unistd::pipe().unwrap();
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        readable(never.as_fd(), PollTimeout::from(5u16));
    }
    panic!("never seen: {what}");
}

/// The processes of a cgroup that have come to their last command, so nothing of it is still being set up.
fn sleepers(cgroup: &RunCgroup) -> usize {
    let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    cgroup.procs().unwrap().iter().filter(|pid| name(pid).trim() == "sleep").count()
}

fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    let mut t = Harness::start("exits");
    let (token, _, _) = t.spawn(shell("exit 7"));
    assert_eq!(t.exit_of(token), Exit::Code(7));
    let (token, _, _) = t.spawn(shell("kill -KILL $$"));
    assert_eq!(t.exit_of(token), Exit::Signal { signal: 9, core_dumped: false });
    let core = Step::Rlimit { resource: libc::RLIMIT_CORE, soft: 1 << 20, hard: 1 << 20 };
    let chdir = Step::Chdir(c(t.dir.to_str().unwrap()));
    let (token, _, _) = t.spawn(Plan { steps: vec![core, chdir], ..shell("kill -ABRT $$") });
    // Whether there is a core depends on core_pattern; the bit must be the kernel's.
    assert!(matches!(t.exit_of(token), Exit::Signal { signal: libc::SIGABRT, .. }));
    let (token, _, _) = t.spawn(shell("exec sleep 1000"));
    t.ask(&Request::Signal { token, signal: libc::SIGRTMIN() });
    assert_eq!(t.exit_of(token), Exit::Signal { signal: libc::SIGRTMIN(), core_dumped: false });
    t.finish();
}

#[test]
fn what_fails_before_exec_is_said_with_stage_reason_and_argument() {
    let mut t = Harness::start("failures");
    let plan = Plan { steps: vec![Step::Setsid, Step::Chdir(c("/srv/x-is-not-there"))], ..shell("true") };
    let failure = t.failure(plan.clone());
    let said = "cannot change to directory /srv/x-is-not-there: No such file or directory";
    assert_eq!(failure.sentence(&plan), said);
    let missing = Plan { program: c("/nowhere/run"), ..shell("true") };
    assert_eq!(t.failure(missing), Failure { stage: Stage::Exec, errno: libc::ENOENT, step: None });
    let nobodys = Plan { cgroup: Some(c("/sys/fs/cgroup/unified/not/there")), ..shell("true") };
    assert_eq!(t.failure(nobodys).stage, Stage::Cgroup);
    let nothing_stored = Plan { passed: vec![Passed::Stored("web".into())], ..shell("true") };
    assert_eq!(t.failure(nothing_stored).stage, Stage::Plan);
    // Forbidden to the user that the step before has made of it.
    let identity =
        Identity { uid: 65534, gid: 65534, groups: vec![], capabilities: 0, bounding: Some(0), no_new_privs: true };
    let private = t.dir.join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let mut steps = identity.steps();
    steps.push(Step::Chdir(c(private.to_str().unwrap())));
    let failure = t.failure(Plan { steps, ..shell("true") });
    assert_eq!((failure.stage, failure.errno), (Stage::Chdir, libc::EACCES));
    assert_eq!(t.inventory(), []);
    t.finish();
}

#[test]
fn a_tree_that_was_kept_is_put_back_over_itself_and_over_nothing_else() {
    let mut t = Harness::start("trees");
    let (kept, other) = (t.dir.join("kept"), t.dir.join("other"));
    for directory in [&kept, &other] {
        fs::create_dir(directory).unwrap();
    }
    let path = |path: &std::path::Path| c(path.to_str().unwrap());
    let all = Step::ReadOnly { path: c("/"), must_exist: true };
    let steps = |back: &std::path::Path| {
        vec![Step::MountNamespace, Step::Keep(path(&kept)), all.clone(), Step::PutBack(path(back))]
    };
    let try_both = format!("cd {}; touch kept/x && echo kept; touch other/x || echo not", t.dir.display());
    assert_eq!(t.output(&try_both, steps(&kept)), "kept\nnot\n");
    let failure = t.failure(Plan { steps: steps(&other), ..shell("true") });
    assert_eq!((failure.stage, failure.errno, failure.step), (Stage::PutBack, libc::ESTALE, Some(3)));
    let failure = t.failure(Plan { steps: vec![Step::PutBack(path(&kept))], ..shell("true") });
    assert_eq!((failure.stage, failure.errno), (Stage::PutBack, libc::EINVAL), "nothing was kept");
    let twice = [Step::WalkAs(65534), Step::WalkAs(0), Step::Seccomp(vec![])];
    let failure = t.failure(Plan { steps: twice.to_vec(), ..shell("true") });
    assert_eq!((failure.stage, failure.errno), (Stage::Seccomp, libc::EINVAL), "a program without an instruction");
    t.finish();
}

#[test]
fn a_plan_that_the_holder_cannot_read_is_refused_by_its_token() {
    let mut t = Harness::start("newer");
    let mut bytes =
        Request::Spawn { token: 9, plan: Box::new(Plan { steps: vec![Step::Setsid], ..shell("true") }) }.encode();
    // The step's number, before two sinks and the count of passed fds.
    let step = bytes.len() - 1 - 2 - 4;
    bytes[step] = 250;
    socket::send(t.link.as_fd(), &bytes, &[]).unwrap();
    assert_eq!(t.hear().0, Message::Refused { token: Some(9), why: Refusal::Malformed });
    t.finish();
}

#[test]
fn a_program_gets_the_identity_limits_and_environment_of_its_plan() {
    let mut t = Harness::start("plan");
    let capabilities = 1 << 10;
    let identity = Identity {
        uid: 65534,
        gid: 65533,
        groups: vec![65533, 4711],
        capabilities,
        bounding: Some(capabilities),
        no_new_privs: true,
    };
    let mut steps = vec![
        Step::Setsid,
        Step::Umask(0o027),
        Step::Rlimit { resource: libc::RLIMIT_NOFILE, soft: 77, hard: 99 },
        Step::Nice(5),
        Step::OomScoreAdj(0),
    ];
    steps.extend(identity.steps());
    steps.push(Step::Chdir(c("/tmp")));
    let script = "id -u; id -g; id -G; umask; ulimit -Sn; ulimit -Hn; nice; cat /proc/self/oom_score_adj; pwd; \
                  grep -E 'CapAmb|CapBnd|NoNewPrivs|SigIgn|SigBlk' /proc/self/status; echo $X; ps -o sid= -p $$; echo $$; \
                  echo hello > /proc/self/fd/1; ls /proc/self/fd | tr '\\n' ' '";
    let mut plan = Plan { steps, ..shell(script) };
    plan.env.push(c("X=a value"));
    let (token, pid, ends) = t.spawn(plan);
    let mut text = String::new();
    fs::File::from(ends.stdout.unwrap()).read_to_string(&mut text).unwrap();
    t.exit_of(token);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let expected = ["65534", "65533", "65533 4711", "0027", "77", "99", "5", "0", "/tmp"];
    assert_eq!(lines[..9], expected, "{text}");
    let zero = "0000000000000000";
    assert!(text.contains(&format!("SigBlk:\t{zero}")) && text.contains(&format!("SigIgn:\t{zero}")), "{text}");
    assert!(text.contains("CapAmb:\t0000000000000400") && text.contains("CapBnd:\t0000000000000400"), "{text}");
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("a value"), "{text}");
    assert!(lines.iter().filter(|line| **line == pid.to_string()).count() == 2, "its own session: {text}");
    assert!(text.contains("hello"), "its stdout can be opened again: {text}");
    // ls itself opens the directory as 3.
    assert_eq!(lines.last(), Some(&"0 1 2 3"), "nothing of ours is left open: {text}");
    t.ask(&Request::Forget { token });
    t.finish();
}

#[test]
fn a_plan_without_a_limit_of_open_files_gets_the_one_the_holder_was_started_with() {
    let mut t = Harness::start("nofile");
    let (soft, hard) = stead::sys::rlimit::nofile().unwrap();
    let ours = t.output("ulimit -Sn; ulimit -Hn", vec![]);
    let number =
        |limit: u64| if limit == stead::sys::rlimit::INFINITY { "unlimited".into() } else { limit.to_string() };
    assert_eq!(ours, format!("{}\n{}\n", number(soft), number(hard)));
    t.finish();
}

#[test]
fn fds_are_passed_in_order_and_the_holder_keeps_the_other_end_of_the_channel() {
    let mut t = Harness::start("fds");
    let file = t.dir.join("passed");
    fs::write(&file, "stored\n").unwrap();
    let fd = fs::File::open(&file).unwrap();
    let store = Request::Store { name: "file".into() }.encode();
    socket::send(t.link.as_fd(), &store, &[fd.as_fd()]).unwrap();
    let passed = vec![Passed::Stored("file".into()), Passed::Ipc];
    let plan = Plan { passed, ..shell("cat <&3; echo over the channel >&4; read line <&4; echo $line") };
    let (token, _, ends) = t.spawn(plan);
    let channel = ends.ipc.unwrap();
    assert!(readable(channel.as_fd(), PollTimeout::from(PATIENCE)));
    let mut buffer = [0; 64];
    let len = nix::unistd::read(&channel, &mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"over the channel\n");
    // A daemon that dies closes its copies; the channel stays open all the same.
    drop(channel);
    t.lose_the_daemon();
    t.ask(&Request::Take { token });
    let (message, fds) = t.hear();
    let Message::Taken { fds: kinds, .. } = message else { panic!("{message:?}") };
    let ends = Ends::sort(kinds, fds).unwrap();
    nix::unistd::write(ends.ipc.as_ref().unwrap(), b"back\n").unwrap();
    assert_eq!(t.exit_of(token), Exit::Code(0));
    let mut text = String::new();
    fs::File::from(ends.stdout.unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "stored\nback\n");
    t.ask(&Request::Forget { token });
    t.finish();
}

#[test]
fn a_dead_proc_is_a_zombie_until_it_is_reaped_and_a_row_until_it_is_forgotten() {
    let mut t = Harness::start("zombie");
    let (token, pid, _ends) = t.spawn(shell("exit 3"));
    t.exit_of(token);
    assert_eq!(state(pid), Some('Z'));
    t.ask(&Request::Reap { token });
    let rows = t.inventory();
    assert_eq!(state(pid), None);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].fds.pidfd, rows[0].fds.stdout), (RowState::Reaped(Exit::Code(3)), false, true));
    t.ask(&Request::DropStream { token, stream: Stream::Stdout });
    assert!(!t.inventory()[0].fds.stdout);
    t.ask(&Request::Forget { token });
    assert_eq!(t.inventory(), []);
    t.finish();
}

#[test]
fn the_daemon_dies_and_no_app_notices_and_no_exit_is_lost() {
    let mut t = Harness::start("daemon");
    let (stays, pid, _) = t.spawn(shell("echo before; exec sleep 1000"));
    let fifo = t.dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (dies, other, _) = t.spawn(shell(&format!("read line < {}; exit 5", fifo.display())));
    let go = t.send_spawn(Plan { stdout: Sink::Null, steps: vec![Step::Setsid], ..shell("exec sleep 1000") });
    assert!(matches!(t.hear().0, Message::Spawned { .. }));
    t.lose_the_daemon_while(|| {
        fs::write(&fifo, "go\n").unwrap();
        eventually("the second has ended", || state(other) == Some('Z'));
    });
    let rows = t.inventory();
    let row = |token: u64| rows.iter().find(|row| row.token == token).unwrap();
    assert_eq!((row(stays).pid, row(stays).state), (pid, RowState::Running));
    assert_eq!(row(dies).state, RowState::Dead(Exit::Code(5)));
    t.ask(&Request::Take { token: stays });
    let (message, fds) = t.hear();
    let Message::Taken { fds: kinds, .. } = message else { panic!("{message:?}") };
    let ends = Ends::sort(kinds, fds).unwrap();
    t.ask(&Request::Signal { token: stays, signal: libc::SIGTERM });
    assert_eq!(t.exit_of(stays), Exit::Signal { signal: libc::SIGTERM, core_dumped: false });
    let mut text = String::new();
    fs::File::from(ends.stdout.unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "before\n", "what was printed to the daemon before is still there");
    t.ask(&Request::SignalGroup { token: go, signal: libc::SIGKILL });
    t.ask(&Request::Quit);
    loop {
        match t.hear().0 {
            Message::Exited { token, .. } if token == go => break,
            Message::Refused { why: Refusal::Alive, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    t.finish();
}

#[test]
fn orphans_are_reaped_even_behind_a_zombie_that_is_kept() {
    let mut t = Harness::start("orphans");
    let (token, _, ends) = t.spawn(shell("(sleep 0.2 & echo $!); exit 0"));
    let mut text = String::new();
    let mut stdout = fs::File::from(ends.stdout.unwrap());
    stdout.read_to_string(&mut text).unwrap();
    t.exit_of(token);
    let orphan: i32 = text.trim().parse().unwrap();
    eventually("the orphan has ended", || !matches!(state(orphan), Some('S' | 'R')));
    t.ask(&Request::Reap { token });
    eventually("the orphan is reaped", || state(orphan).is_none());
    let (token, _, _) = t.spawn(shell("(sleep 0.1 &) ; exec sleep 1000"));
    let holder = t.holder.id();
    let children = || fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap();
    eventually("only the daemon and the sleeper are left", || children().split_whitespace().count() == 2);
    t.ask(&Request::Signal { token, signal: libc::SIGKILL });
    t.exit_of(token);
    t.finish();
}

#[test]
fn garbage_and_requests_that_make_no_sense_are_refused_without_harm() {
    let mut t = Harness::start("garbage");
    for garbage in [&b"\xff\xff\xff"[..], &[1], &[6, 0, 0], &vec![3; 1 << 18]] {
        socket::send(t.link.as_fd(), garbage, &[]).unwrap();
        assert_eq!(t.hear().0, Message::Refused { token: None, why: Refusal::Malformed });
    }
    t.ask(&Request::Signal { token: 99, signal: 9 });
    assert_eq!(t.hear().0, Message::Refused { token: Some(99), why: Refusal::UnknownToken });
    t.ask(&Request::Store { name: "nothing".into() });
    assert_eq!(t.hear().0, Message::Refused { token: None, why: Refusal::NoFd });
    let (token, _, _) = t.spawn(shell("exec sleep 1000"));
    t.ask(&Request::Spawn { token, plan: Box::new(shell("true")) });
    assert_eq!(t.hear().0, Message::Refused { token: Some(token), why: Refusal::TokenTaken });
    t.ask(&Request::Forget { token });
    assert_eq!(t.hear().0, Message::Refused { token: Some(token), why: Refusal::Alive });
    t.ask(&Request::Signal { token, signal: 4711 });
    assert_eq!(t.hear().0, Message::Refused { token: Some(token), why: Refusal::Errno(libc::EINVAL) });
    t.ask(&Request::Signal { token, signal: libc::SIGKILL });
    t.exit_of(token);
    t.finish();
}

#[test]
fn stored_fds_outlive_the_daemon_and_the_notify_socket_is_among_them() {
    let mut t = Harness::start("store");
    let memfd = stead::sys::memfd::create("runtime", 4096).unwrap();
    let file = File::from(memfd.try_clone().unwrap());
    file.write_all_at(b"written before", 0).unwrap();
    socket::send(t.link.as_fd(), &Request::Store { name: "runtime".into() }.encode(), &[memfd.as_fd()]).unwrap();
    drop((file, memfd));
    t.lose_the_daemon();
    t.ask(&Request::Fetch { name: "runtime".into() });
    let (message, mut fds) = t.hear();
    assert_eq!(message, Message::Fetched { name: "runtime".into(), found: true });
    let mut text = [0; 14];
    File::from(fds.remove(0)).read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"written before");
    t.ask(&Request::Drop { name: "runtime".into() });
    t.ask(&Request::Fetch { name: "runtime".into() });
    assert_eq!(t.hear().0, Message::Fetched { name: "runtime".into(), found: false });
    t.ask(&Request::Fetch { name: NOTIFY.into() });
    let (_, fds) = t.hear();
    let notify = socket::connect_datagram(&t.dir.join("run/notify")).unwrap();
    socket::send(notify.as_fd(), b"READY=1", &[]).unwrap();
    let received = socket::receive(fds[0].as_fd(), &mut [0; 64]).unwrap();
    assert_eq!(received.sender.unwrap().pid, std::process::id() as i32);
    t.finish();
}

#[test]
fn a_second_holder_for_the_same_directory_is_refused() {
    let t = Harness::start("second");
    let second = Command::new(env!("CARGO_BIN_EXE_stead-holder"))
        .args(["--daemon", "/bin/true"])
        .env("STEAD_RUNTIME_DIR", t.dir.join("run"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("already running"), "{said}");
    t.finish();
}

#[test]
fn a_holder_that_becomes_a_newer_one_keeps_its_pid_its_children_and_every_fd() {
    let mut t = Harness::start("reexec");
    let (running, pid, _) = t.spawn(shell("sleep 1000"));
    let (dead, ..) = t.spawn(shell("exit 3"));
    let exit = t.exit_of(dead);
    let memfd = stead::sys::memfd::growing("kept").unwrap();
    stead::sys::memfd::write_all(memfd.as_fd(), b"kept").unwrap();
    socket::send(t.link.as_fd(), &Request::Store { name: "kept".into() }.encode(), &[memfd.as_fd()]).unwrap();
    drop(memfd);
    for way in ["SIGHUP", "Upgrade"] {
        let holder = Pid::from_raw(t.holder.id() as i32);
        match way {
            "SIGHUP" => kill(holder, Signal::SIGHUP).unwrap(),
            _ => t.ask(&Request::Upgrade),
        }
        assert!(t.systemd_hears().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        let (link, daemon_pid, to_stand_in) = meet(&t.listener);
        assert_ne!(daemon_pid, t.daemon_pid);
        (t.link, t.daemon_pid, t._to_stand_in) = (link, daemon_pid, to_stand_in);
        assert!(matches!(t.hear().0, Message::Hello { .. }));
        t.ask(&Request::Serving);
        assert_eq!(t.systemd_hears(), "READY=1\nSTATUS=1 process kept running");
        t.ask(&Request::Inventory);
        let Message::Inventory { rows, stored, .. } = t.hear().0 else { panic!("no inventory") };
        let states: Vec<_> = rows.iter().map(|row| (row.token, row.state)).collect();
        assert_eq!(states, [(running, RowState::Running), (dead, RowState::Dead(exit))]);
        assert_eq!(stored, ["kept", NOTIFY], "{way}");
        t.ask(&Request::Fetch { name: "kept".into() });
        let fds = t.hear().1;
        assert_eq!(stead::sys::memfd::read_all(fds[0].as_fd()).unwrap(), b"kept");
    }
    // Nothing of ours is left open in a child that is started now.
    let (listing, _, ends) = t.spawn(shell("exec ls /proc/self/fd"));
    let mut text = String::new();
    File::from(ends.stdout.unwrap()).read_to_string(&mut text).unwrap();
    assert!(text.lines().count() <= 4, "{text}");
    t.exit_of(listing);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(t.exit_of(running), Exit::Signal { signal: libc::SIGKILL, core_dumped: false });
    t.finish();
}

#[test]
fn signals_to_the_holder_become_wishes_and_systemd_is_told() {
    let mut t = Harness::start("signals");
    let holder = Pid::from_raw(t.holder.id() as i32);
    t.ask(&Request::Serving);
    assert_eq!(t.systemd_hears(), "READY=1\nSTATUS=0 processes kept running");
    kill(holder, Signal::SIGTERM).unwrap();
    assert_eq!(t.hear().0, Message::Terminate);
    assert_eq!(t.systemd_hears(), "STOPPING=1");
    let environment = fs::read(format!("/proc/{}/environ", t.daemon_pid)).unwrap();
    let has = |name: &str| environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(name.as_bytes()));
    assert!(has("STEAD_HOLDER_FD=3") && !has("NOTIFY_SOCKET="));
    t.finish();
}

#[test]
fn a_daemon_that_fails_at_once_ends_the_holder_with_its_code() {
    let dir = std::env::temp_dir().join(format!("stead-holder-{}-fails", std::process::id()));
    let run = |daemon: &str| {
        Command::new(env!("CARGO_BIN_EXE_stead-holder"))
            .args(["--daemon", daemon])
            .env("STEAD_RUNTIME_DIR", &dir)
            .output()
            .unwrap()
    };
    assert_eq!(run("/bin/false").status.code(), Some(1));
    let missing = run("/nowhere/steadd");
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("cannot execute /nowhere/steadd: No such file or directory"), "{said}");
    fs::remove_dir_all(&dir).unwrap();
}

/// A base of this test's own, removed at its end.
struct TestBase(Base);

impl TestBase {
    /// None where there are no cgroups to be tested.
    fn create(name: &str) -> Option<TestBase> {
        let host = Host::detect();
        if host.layout == Layout::None {
            return None;
        }
        Some(TestBase(Base::create(&host, &format!("stead-test-{}-{name}", std::process::id())).unwrap()))
    }
}

impl Drop for TestBase {
    fn drop(&mut self) {
        for (app, run) in self.0.runs().unwrap_or_default() {
            let _ = self.0.find_run(&app, &run).kill();
        }
        eventually("the base is removed", || {
            self.0.remove();
            self.0.runs().is_err()
        });
    }
}

fn in_cgroup(plan: Plan, cgroup: &RunCgroup) -> Plan {
    let mut steps: Vec<Step> = cgroup.enter_also().into_iter().map(Step::EnterCgroup).collect();
    steps.push(Step::Setsid);
    steps.extend(plan.steps);
    Plan { cgroup: cgroup.clone_into(), steps, ..plan }
}

#[test]
fn a_proc_is_in_its_cgroups_before_its_first_instruction_and_nothing_survives_a_kill() {
    let Some(base) = TestBase::create("kill") else { return };
    let mut t = Harness::start("kill");
    let limits = Limits { tasks_max: Some(50), ..Limits::default() };
    let cgroup = base.0.make_run("app-api", "0@1", &limits.needs()).unwrap();
    cgroup.limit(&limits).unwrap();
    let script =
        "cat /proc/self/cgroup; (setsid sh -c 'trap \"\" TERM INT HUP; sleep 1000 & wait' &); echo; exec sleep 1000";
    let (token, pid, ends) = t.spawn(in_cgroup(shell(script), &cgroup));
    eventually("all of it runs", || sleepers(&cgroup) == 2);
    assert!(cgroup.procs().unwrap().contains(&pid) && cgroup.populated().unwrap());
    assert!(cgroup.id().is_none_or(|id| id > 1));
    if !limits.needs().is_empty() {
        assert_eq!(cgroup.tasks().unwrap().map(|tasks| tasks >= 3), Some(true));
    }
    assert!(cgroup.remove().is_err(), "a cgroup with processes in it cannot be removed");
    let again = base.0.find_run("app-api", "0@1");
    assert_eq!(again, cgroup);
    again.kill().unwrap();
    t.exit_of(token);
    eventually("it is empty", || !cgroup.populated().unwrap());
    let mut text = String::new();
    fs::File::from(ends.stdout.unwrap()).read_to_string(&mut text).unwrap();
    let entered = text.lines().filter(|line| line.ends_with("/app-api/0@1")).count();
    assert_eq!(entered, usize::from(cgroup.v2.is_some()) + cgroup.v1.len(), "{text}");
    t.ask(&Request::Forget { token });
    eventually("it is removed", || cgroup.remove().is_ok());
    base.0.remove_app("app-api");
    t.finish();
}

#[test]
fn killing_pid_by_pid_ends_everything_too() {
    let Some(base) = TestBase::create("each") else { return };
    let mut t = Harness::start("each");
    let cgroup = base.0.make_run("app-api", "0@1", &[]).unwrap();
    let script =
        "for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' &); done; exec sleep 1000";
    let (token, _, _) = t.spawn(in_cgroup(shell(script), &cgroup));
    eventually("all of it runs", || sleepers(&cgroup) == 9);
    assert!(cgroup.signal(libc::SIGTERM).unwrap() >= 17);
    t.exit_of(token);
    eventually("those that do not listen are left", || cgroup.procs().is_ok_and(|procs| !procs.is_empty()));
    cgroup.kill_each().unwrap();
    eventually("it is empty", || !cgroup.populated().unwrap());
    t.ask(&Request::Forget { token });
    t.finish();
}

#[test]
fn over_its_memory_limit_a_proc_is_killed_and_counted() {
    let Some(base) = TestBase::create("oom") else { return };
    let mut t = Harness::start("oom");
    let limits = Limits {
        memory_max: Some(32 << 20),
        memory_swap_max: Some(0),
        oom_group: true,
        cpu_quota_us: Some(90_000),
        cpu_weight: Some(50),
        ..Limits::default()
    };
    let cgroup = match base.0.make_run("app-fat", "0@1", &limits.needs()) {
        Ok(cgroup) => cgroup,
        // The controllers are somebody else's here, and that is said.
        Err(error) => return assert!(error.to_string().contains("cannot"), "{error}"),
    };
    cgroup.limit(&limits).unwrap();
    let eventfd = cgroup.oom_eventfd().unwrap();
    let (token, _, _) = t.spawn(in_cgroup(shell("tail /dev/zero"), &cgroup));
    t.exit_of(token);
    // With `oom_group` every process of the run is counted, the shell as well.
    eventually("the kill is counted", || cgroup.oom_kills().unwrap() >= 1);
    if let Some(eventfd) = eventfd {
        assert!(readable(eventfd.as_fd(), PollTimeout::from(PATIENCE)));
    }
    if cgroup.v1.is_empty() {
        assert!(cgroup.cpu().unwrap().unwrap().usage_us > 0);
        assert!(cgroup.memory_events_file().is_some());
        cgroup.set_memory_high(16 << 20).and_then(|()| cgroup.lift_memory_high()).unwrap();
    }
    let memory = cgroup.memory().unwrap().unwrap();
    assert!(memory.peak.is_none_or(|peak| peak <= 32 << 20), "{memory:?}");
    t.ask(&Request::Forget { token });
    t.finish();
}

#[test]
fn a_host_with_v1_only_is_tracked_and_killed_by_its_freezer() {
    let host = Host::detect();
    if host.layout != Layout::Hybrid {
        return;
    }
    let legacy = Host { layout: Layout::Legacy, v2: None, v2_controllers: vec![], ..host };
    let base = TestBase(Base::create(&legacy, &format!("stead-test-{}-legacy", std::process::id())).unwrap());
    let mut t = Harness::start("legacy");
    let limits = Limits { tasks_max: Some(20), ..Limits::default() };
    let cgroup = base.0.make_run("app-api", "0@1", &limits.needs()).unwrap();
    cgroup.limit(&limits).unwrap();
    let script = "(setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' &); exec sleep 1000";
    let (token, _, _) = t.spawn(in_cgroup(shell(script), &cgroup));
    eventually("all of it runs", || sleepers(&cgroup) == 2);
    assert_eq!(base.0.runs().unwrap(), [("app-api".to_owned(), "0@1".to_owned())]);
    cgroup.kill().unwrap();
    assert_eq!(t.exit_of(token), Exit::Signal { signal: libc::SIGKILL, core_dumped: false });
    eventually("it is empty", || !cgroup.populated().unwrap());
    t.ask(&Request::Forget { token });
    t.finish();
}

#[test]
fn usage_over_a_threshold_is_told_on_v1() {
    let host = Host::detect();
    if host.v1_mount(Controller::Memory).is_none() {
        return;
    }
    let base = TestBase::create("threshold").unwrap();
    let mut t = Harness::start("threshold");
    let cgroup = base.0.make_run("app-api", "0@1", &[Controller::Memory]).unwrap();
    let threshold = cgroup.threshold_eventfd(16 << 20).unwrap().unwrap();
    let (token, _, _) = t.spawn(in_cgroup(shell("head -c 40m /dev/zero | tail -c 40m | wc -c"), &cgroup));
    assert!(readable(threshold.as_fd(), PollTimeout::from(PATIENCE)));
    assert_eq!(t.exit_of(token), Exit::Code(0));
    assert!(cgroup.memory().unwrap().unwrap().peak.unwrap() > 16 << 20);
    t.ask(&Request::Forget { token });
    t.finish();
}
