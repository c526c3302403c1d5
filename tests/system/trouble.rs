//! The host is in trouble: the disk takes no more, what was saved cannot be read, the daemon stands still. Apps go on.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::daemon;
use crate::support::{Stead, alive, eventually};

/// A file system of its own, of a megabyte.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Self {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).status().unwrap();
        assert!(mounted.success());
        Self(at)
    }

    fn fill(&self) {
        let filled = fs::write(self.0.join("ballast"), vec![0; 2 << 20]);
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_stops_no_app_and_a_command_that_could_not_be_remembered_is_refused() {
    let stead = Stead::new();
    let state = stead.path("state");
    let small = Small::mount(&state);
    stead.run(&["start", "sleep", "--name", "a", "--restart-delay", "0", "--", "1000"]).ok();
    let pid = stead.pid("a/0");
    small.fill();
    for refused in [&["start", "sleep", "--name", "b", "--", "1000"][..], &["stop", "a"], &["scale", "a", "3"]] {
        let text = stead.run(refused).fails().text();
        assert!(text.contains("could not be saved") && text.contains("No space left on device"), "{text}");
    }
    assert_eq!((stead.pid("a/0"), stead.list().len()), (pid, 1));
    // What changes nothing that is saved goes on, and so does the daemon's successor.
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    stead.wait("a/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    let pid = stead.pid("a/0");
    kill(Pid::from_raw(daemon(&stead).unwrap()), Signal::SIGKILL).unwrap();
    assert!(eventually(|| stead.run(&["list"]).code == Some(0)));
    assert_eq!(stead.pid("a/0"), pid);
    small.empty();
    stead.run(&["scale", "a", "2"]).ok();
    stead.run(&["delete", "a"]).ok();
    stead.run(&["shutdown"]).ok();
}

#[test]
fn a_saved_state_that_cannot_be_read_is_set_aside_and_the_one_before_it_counts() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a", "--", "1000"]).ok();
    stead.run(&["start", "sleep", "--name", "b", "--", "1000"]).ok();
    stead.run(&["scale", "b", "2"]).ok();
    let (pid, file) = (stead.pid("a/0"), stead.path("state/desired.json"));
    let before = fs::read(stead.path("state/desired.json.before")).unwrap();
    fs::write(&file, "{\"version\":1,\"des").unwrap();
    // The daemon's successor has all of it in memory, and puts the file right.
    kill(Pid::from_raw(daemon(&stead).unwrap()), Signal::SIGKILL).unwrap();
    assert!(eventually(|| stead.run(&["list"]).code == Some(0)));
    assert_eq!((stead.pid("a/0"), stead.list().len()), (pid, 3));
    assert!(stead.path("state/desired.json.unreadable").exists());
    stead.run(&["shutdown"]).ok();
    // After a boot there is but the disk.
    fs::write(&file, "garbage").unwrap();
    fs::write(stead.path("state/desired.json.before"), before).unwrap();
    stead.run(&["start", "sleep", "--name", "c", "--", "1000"]).ok();
    let names: Vec<String> = stead.list().iter().map(|row| row["instance"].as_str().unwrap().to_owned()).collect();
    assert!(names.contains(&"a/0".to_owned()) && names.contains(&"b/0".to_owned()), "{names:?}");
    assert!(stead.daemon_log().contains("what was saved before it counts"), "{}", stead.daemon_log());
}

#[test]
fn a_daemon_that_stands_still_for_too_long_is_replaced_and_nothing_is_lost() {
    let stead = Stead::new();
    let start = ["start", "sleep", "--name", "a", "-i", "2", "--restart-delay", "0", "--", "1000"];
    assert!(stead.command(&start).env("STEAD_HOLDER_PATIENCE_MS", "700").status().unwrap().success());
    let (first, second) = (stead.pid("a/0"), stead.pid("a/1"));
    let still = daemon(&stead).unwrap();
    kill(Pid::from_raw(still), Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    assert!(eventually(|| daemon(&stead).is_some_and(|pid| pid != still)), "nobody took its place");
    let row = stead.wait("a/0", "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    assert_eq!(row["last_exit"]["signal"], "SIGKILL");
    assert_eq!(stead.pid("a/1"), second);
    assert!(stead.daemon_log().contains("has not answered for 0.7 s"), "{}", stead.daemon_log());
}

#[test]
fn a_daemon_that_stood_still_for_a_while_catches_up_with_all_that_happened() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a", "-i", "3", "--restart-delay", "0", "--", "1000"]).ok();
    let pids: Vec<i32> = (0..3).map(|slot| stead.pid(&format!("a/{slot}"))).collect();
    let still = Pid::from_raw(daemon(&stead).unwrap());
    kill(still, Signal::SIGSTOP).unwrap();
    for pid in &pids {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
    }
    assert!(eventually(|| pids.iter().all(|pid| !alive(*pid))));
    kill(still, Signal::SIGCONT).unwrap();
    for slot in 0..3 {
        let name = format!("a/{slot}");
        stead.wait(&name, "running again", |row| row["status"] == "running" && row["restarts"] == 1);
    }
    assert_eq!(daemon(&stead), Some(still.as_raw()));
}
