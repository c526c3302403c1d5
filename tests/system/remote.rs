//! `-H`: commands on other hosts. ssh is a script here that runs its command on this one; what it is given is real.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::support::{Said, Stead};

/// Says where it was sent, goes nowhere, and fails as ssh does for the host "down".
const SSH: &str = r#"#!/bin/bash
options=
while [[ $1 != -- ]]; do options+=" $1"; shift; done
[[ $2 != down ]] || { echo "ssh: connect to host down port 22: No route to host" >&2; exit 255; }
[[ $2 != bare ]] || PATH=/nonexistent
[[ $options != *BatchMode=yes* ]] || echo "asks nobody" >&2
exec /bin/sh -c "$3"
"#;

/// The stead under test, in a directory of its own, reached by `-H`.
fn with_ssh() -> Stead {
    let t = Stead::new();
    fs::create_dir(t.path("bin")).unwrap();
    let ssh = t.file("bin/ssh", SSH);
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(t.command(&[]).get_program(), t.path("bin/stead")).unwrap();
    t
}

fn run(t: &Stead, args: &[&str]) -> Said {
    let path = format!("{}:{}", t.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    let output = t.command(args).env("PATH", path).stdin(Stdio::null()).output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_command_on_one_host_is_as_if_it_were_typed_there() {
    let t = with_ssh();
    // The holder is found beside the program that stands at the end of the link.
    t.run(&["start", "sleep", "--name", "work", "--", "1000"]).ok();
    let there = run(&t, &["-H", "root@one", "list", "--json"]).ok();
    let here = t.list();
    let there: serde_json::Value = serde_json::from_str(&there.out).unwrap_or_else(|e| panic!("{e}: {there:?}"));
    assert_eq!(there[0]["pid"], here[0]["pid"], "nothing is put before its lines");
    assert_eq!(run(&t, &["-H", "one", "stop", "nosuch"]).code, Some(3), "the code is the other side's");
    let quoted = run(&t, &["-H", "one", "show", "it's; $(touch gone)"]);
    assert_eq!(quoted.code, Some(2));
    assert!(quoted.err.contains("it's; $(touch gone)") && !t.path("gone").exists(), "{quoted:?}");
}

#[test]
fn several_hosts_are_told_apart_and_the_worst_of_them_counts() {
    let t = with_ssh();
    t.run(&["start", "sleep", "--name", "work", "--", "1000"]).ok();
    let said = run(&t, &["-H", "one,down", "-H", "three", "list"]);
    assert_eq!(said.code, Some(69), "{said:?}");
    for line in ["one   | ", "three | "] {
        assert!(said.out.lines().any(|l| l.starts_with(line) && l.contains("work/0")), "{said:?}");
        assert!(said.err.lines().any(|l| l.starts_with(line) && l.contains("asks nobody")), "{said:?}");
    }
    assert!(said.err.contains("down  | ssh: connect") && said.err.contains("down  | stead: ssh did not get through"));
    let bare = run(&t, &["-H", "bare", "list"]);
    assert!(bare.code == Some(69) && bare.err.contains("no stead in the PATH"), "{bare:?}");
}

#[test]
fn a_config_of_this_host_is_sent_and_a_script_is_not() {
    let t = with_ssh();
    t.file("work.toml", "[[app]]\nname = \"work\"\nrun = [\"sleep\", \"1000\"]\nuser = \"root\"\n");
    t.file("web.js", "");
    let said = run(&t, &["-H", "one,two", "check", "work.toml"]).ok();
    assert_eq!(said.out.matches("ok (work)").count(), 2, "{said:?}");
    run(&t, &["-H", "one", "start", "work.toml"]).ok();
    assert_eq!(t.instance("work/0")["status"], "running");
    t.file("wrong.toml", "[[app]]\nname = \"x\"\nrun = \"sleep 1\"\nmemory_mx = 1\n");
    let said = run(&t, &["-H", "one", "start", "wrong.toml"]);
    assert!(said.code == Some(78) && said.err.contains("<stdin>:4:1") && said.err.contains("memory_max"), "{said:?}");
    let said = run(&t, &["-H", "one", "start", "web.js"]);
    assert!(said.code == Some(2) && said.err.contains("the whole path that it has there"), "{said:?}");
    let said = run(&t, &["-H", "one", "init"]);
    assert!(said.code == Some(2) && said.err.contains("makes no sense with init"), "{said:?}");
}
