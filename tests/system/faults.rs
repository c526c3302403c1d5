//! The kernel says no: no space, no descriptors, no processes, no way to remove a cgroup. Apps go on, it is said, and when
//! the trouble is over all is as it was.
//! Owns: the trouble, all of it real, and of this test alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::Resource;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::adoption::holder;
use crate::load::daemon;
use crate::support::{Stead, alive, eventually, program};

#[track_caller]
fn sh(command: &str) {
    let done = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A mount that is gone with the test.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A disk of its own, which can be made to fail: an ext4 file system in a sparse file, on a file system that gets full.
struct Disk {
    below: PathBuf,
    _mounts: [Mount; 2],
}

impl Disk {
    /// None: this host has no loop devices.
    fn mount(below: PathBuf, at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        fs::create_dir_all(&below).unwrap();
        let (file, dir) = (below.join("image"), below.display());
        sh(&format!("mount -t tmpfs -o size=16m tmpfs {dir}; truncate -s 64M {dir}/image; mkfs.ext4 -q {dir}/image"));
        let lower = Mount(below.clone());
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&file, at]).output().unwrap();
        mounted.status.success().then(|| Self { below, _mounts: [Mount(at.to_owned()), lower] })
    }

    /// From now on it takes no block that it has not had: EIO, when it is to be written for good.
    fn fail(&self) {
        let full = fs::write(self.below.join("ballast"), vec![0; 32 << 20]);
        assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }
}

/// How many lines the logger has written is in its own file; it must get on whatever becomes of its log.
fn start_logger(stead: &Stead) -> i32 {
    let logger = program("logger");
    let args = ["start", logger.to_str().unwrap(), "--name", "l", "--ready-on", "instant", "--", "100000000", "100"];
    stead.run(&[&args[..], &["rate=3000"]].concat()).ok();
    stead.pid("l/0")
}

/// The CPU time that a process has had, in ticks: one whose pipe is full gets none.
fn worked(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[track_caller]
fn goes_on(pid: i32) {
    let before = worked(pid);
    assert!(eventually(|| worked(pid) > before), "the app stands still");
}

#[test]
fn a_log_disk_that_is_full_holds_no_app_up_and_the_log_tells_what_it_lost() {
    let stead = Stead::new();
    let log = stead.path("log");
    fs::create_dir_all(&log).unwrap();
    sh(&format!("mount -t tmpfs -o size=4m tmpfs {}", log.display()));
    let _mount = Mount(log.clone());
    let ballast = log.join("ballast");
    let pid = start_logger(&stead);
    let _ = fs::write(&ballast, vec![0; 8 << 20]);
    let told = || stead.run(&["logs", "l", "--no-follow", "-n", "100000"]).ok().out;
    // It hears of it by whatever the daemon could still write, and by the log once there is room.
    goes_on(pid);
    goes_on(pid);
    stead.run(&["list"]).ok();
    fs::remove_file(&ballast).unwrap();
    assert!(eventually(|| told().contains("were lost here: No space left on device")), "{}", stead.daemon_log());
    assert_eq!(stead.pid("l/0"), pid);
    stead.run(&["shutdown"]).ok();
}

#[test]
fn a_disk_that_gives_errors_stops_no_app_and_refuses_what_could_not_be_remembered() {
    let stead = Stead::new();
    let logs = Disk::mount(stead.path("below-logs"), &stead.path("log"));
    let state = Disk::mount(stead.path("below-state"), &stead.path("state"));
    let (Some(logs), Some(state)) = (logs, state) else {
        return eprintln!("no loop devices here: a disk that gives errors is not tried");
    };
    let pid = start_logger(&stead);
    stead.run(&["start", "sleep", "--name", "a", "--restart-delay", "0", "--", "1000"]).ok();
    state.fail();
    logs.fail();
    let text = stead.run(&["start", "sleep", "--name", "b", "--", "1000"]).fails().text();
    assert!(text.contains("could not be saved"), "{text}");
    goes_on(pid);
    // Crashes are dealt with as ever, and a daemon that comes after this one has all of it in memory.
    let a = stead.pid("a/0");
    kill(Pid::from_raw(a), Signal::SIGKILL).unwrap();
    stead.wait("a/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    let a = stead.pid("a/0");
    kill(Pid::from_raw(daemon(&stead).unwrap()), Signal::SIGKILL).unwrap();
    assert!(eventually(|| stead.run(&["list"]).code == Some(0)), "no daemon came back");
    assert_eq!((stead.pid("l/0"), stead.pid("a/0")), (pid, a));
    goes_on(pid);
    stead.run(&["shutdown"]).ok();
    assert!(!alive(pid) && !alive(a));
}

/// Has a process run out of descriptors, but for a few.
fn few_descriptors(pid: i32, spare: u64) {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    limit(pid, open + spare);
}

fn limit(pid: i32, files: u64) {
    let (soft, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    sh(&format!("prlimit --pid {pid} --nofile={}:{}", files.min(hard), hard.max(soft)));
}

#[test]
fn without_descriptors_nothing_new_starts_and_what_runs_is_kept_running() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a", "-i", "3", "--restart-delay", "0", "--", "1000"]).ok();
    let before: Vec<i32> = (0..3).map(|slot| stead.pid(&format!("a/{slot}"))).collect();
    for who in ["daemon", "holder"] {
        let pid = if who == "daemon" { daemon(&stead).unwrap() } else { holder(&stead) };
        few_descriptors(pid, if who == "daemon" { 3 } else { 1 });
        let said = stead.run(&["start", "sleep", "--name", who, "-i", "20", "--start-timeout", "2s", "--", "1000"]);
        let text = said.fails().text();
        assert!(text.contains("open files"), "{who}: {text}");
        assert!(alive(pid), "{who}: it is gone");
        for (slot, pid) in before.iter().enumerate() {
            assert!(alive(*pid), "{who}: a/{slot} is gone");
        }
        limit(pid, 4096);
        assert!(eventually(|| stead.run(&["list"]).code == Some(0)), "{who}: it answers no more");
        stead.run(&["delete", who]);
        stead.run(&["start", "sleep", "--name", "after", "-i", "5", "--", "1000"]).ok();
        stead.run(&["delete", "after"]).ok();
        assert_eq!((0..3).map(|slot| stead.pid(&format!("a/{slot}"))).collect::<Vec<_>>(), before, "{who}");
    }
}

/// Has the holder unable to fork: a cgroup of its own whose tasks are all taken. Dropping it lets it go.
struct NoFork {
    dir: PathBuf,
    home: PathBuf,
    pid: i32,
}

impl NoFork {
    fn hold(pid: i32) -> Self {
        let v1 = Path::new("/sys/fs/cgroup/pids");
        let root = if v1.is_dir() { v1.to_owned() } else { PathBuf::from("/sys/fs/cgroup") };
        let (home, dir) = (root.clone(), root.join(format!("stead-test-nofork-{pid}")));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(dir.join("pids.max"), "1").unwrap();
        Self { dir, home, pid }
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        let _ = fs::write(self.dir.join("pids.max"), "max");
        let _ = fs::write(self.home.join("cgroup.procs"), self.pid.to_string());
        // What it started meanwhile is in here, too, on a v1 host.
        for pid in fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(self.home.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.dir);
    }
}

#[test]
fn a_fork_that_fails_is_a_failed_start_that_is_tried_again() {
    // Where the pids controller is on v2, a child is counted where it is born, which is its own cgroup: the base's limit.
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a", "--restart-delay", "100ms", "--max-restarts", "0", "--", "1000"]).ok();
    let pid = stead.pid("a/0");
    let v2_only = !Path::new("/sys/fs/cgroup/pids").is_dir();
    let base = stead.cgroups().into_iter().find(|dir| dir.join("cgroup.events").exists()).unwrap();
    let held = if v2_only {
        fs::write(base.join("pids.max"), "0").unwrap();
        None
    } else {
        Some(NoFork::hold(holder(&stead)))
    };
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let said = |row: &serde_json::Value| row["last_exit"]["message"].as_str().unwrap_or_default().to_owned();
    let row = stead.wait("a/0", "not started", |row| said(row).contains("no more processes are allowed"));
    assert_eq!(row["last_exit"]["reason"], "spawn-failed", "{row:#}");
    let text = stead.run(&["start", "sleep", "--name", "b", "--", "1000"]).fails().text();
    assert!(text.contains("no more processes are allowed"), "{text}");
    match held {
        Some(held) => drop(held),
        None => fs::write(base.join("pids.max"), "max").unwrap(),
    }
    stead.wait("a/0", "running again", |row| row["status"] == "running");
}

#[test]
fn a_cgroup_that_cannot_be_removed_is_in_nobodys_way() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a", "--restart-delay", "0", "--", "1000"]).ok();
    let base = stead.cgroups().into_iter().find(|dir| dir.join("cgroup.procs").exists()).unwrap();
    let app = base.join("app-a");
    let run = fs::read_dir(&app).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let stuck = run.join("stuck");
    fs::create_dir(&stuck).unwrap();
    // A directory that something is mounted on cannot be removed (rmdir(2), EBUSY).
    sh(&format!("mount -t tmpfs tmpfs {}", stuck.display()));
    let mount = Mount(stuck.clone());
    kill(Pid::from_raw(stead.pid("a/0")), Signal::SIGKILL).unwrap();
    stead.wait("a/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    stead.run(&["restart", "a"]).ok();
    stead.run(&["stop", "a"]).ok();
    assert!(stuck.is_dir());
    drop(mount);
    // It goes with the next thing that happens.
    stead.run(&["start", "a"]).ok();
    stead.run(&["restart", "a"]).ok();
    assert!(eventually(|| !run.exists()), "{} stays", run.display());
}
