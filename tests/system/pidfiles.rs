//! `pid_file`: what serves is in it, and nobody's file is touched that its app's user could not touch.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::support::{Stead, alive, eventually};

#[test]
fn what_serves_is_named_until_it_is_gone() {
    let stead = Stead::new();
    let dir = stead.path("theirs");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(65534), Some(65534)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.join("a.pid");
    let says = |name: &str, pid: i32| fs::read_to_string(dir.join(name)).is_ok_and(|text| text == format!("{pid}\n"));
    let start = ["start", "/bin/sleep", "--name", "a", "--user", "nobody", "--ready-on", "instant", "--pid-file"];
    let start = |more: &[&str]| stead.run(&[&start[..], &[file.to_str().unwrap()], more, &["--", "1000"]].concat());

    start(&[]).ok();
    let first = stead.pid("a/0");
    assert!(eventually(|| says("a.pid", first)), "not written");
    stead.run(&["restart", "a"]).ok();
    let second = stead.pid("a/0");
    assert_ne!(first, second);
    assert!(eventually(|| says("a.pid", second)), "not written anew");
    // The end of the first must not take the file of the second: once the next word about it is out, that has passed.
    assert!(eventually(|| !alive(first)));
    stead.run(&["stop", "a"]).ok();
    assert!(eventually(|| !file.exists()), "not removed");

    start(&["-i", "2"]).ok();
    let pids = [stead.pid("a/0"), stead.pid("a/1")];
    assert!(eventually(|| says("a-0.pid", pids[0]) && says("a-1.pid", pids[1])), "not one for each");
    assert!(!file.exists());
    // What somebody else has written there stays.
    fs::write(dir.join("a-0.pid"), "1\n").unwrap();
    stead.run(&["delete", "a"]).ok();
    assert!(eventually(|| !dir.join("a-1.pid").exists()), "not removed");
    assert!(says("a-0.pid", 1));
}

#[test]
fn where_its_user_can_write_nothing_it_is_refused_before_anything_is_touched() {
    let stead = Stead::new();
    let dir = stead.path("roots");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.join("a.pid");
    let said = stead
        .run(&[
            "start",
            "/bin/sleep",
            "--name",
            "a",
            "--user",
            "nobody",
            "--pid-file",
            file.to_str().unwrap(),
            "--",
            "1000",
        ])
        .fails();
    let text = said.text();
    assert!(text.contains("`pid_file` cannot be made by nobody") && text.contains("Permission denied"), "{text}");
    assert!(stead.list().is_empty() && !file.exists());
}
