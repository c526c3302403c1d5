//! The control interface as scripts use it: `busctl` on the private socket. The system bus, and others than root, are in
//! `tests/vm`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Stead, eventually};

/// What follows `busctl call`, for the manager.
const MANAGER: [&str; 3] = ["org.stead.Stead1", "/org/stead/Stead1", "org.stead.Stead1.Manager"];

fn busctl(stead: &Stead, args: &[&str]) -> Output {
    let address = format!("--address=unix:path={}", stead.path("run/private").display());
    Command::new("busctl").arg(address).args(args).output().unwrap()
}

#[track_caller]
fn call(stead: &Stead, method: &str, args: &[&str]) -> Value {
    let said = busctl(stead, &[&["--json=short", "call"], &MANAGER[..], &[method], args].concat());
    assert!(said.status.success(), "{method}: {}", String::from_utf8_lossy(&said.stderr));
    match said.stdout.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&said.stdout).unwrap(),
    }
}

#[track_caller]
fn refused(stead: &Stead, method: &str, args: &[&str]) -> String {
    let said = busctl(stead, &[&["call"], &MANAGER[..], &[method], args].concat());
    assert!(!said.status.success(), "{method} was taken");
    String::from_utf8_lossy(&said.stderr).into_owned()
}

#[test]
fn an_app_is_managed_from_its_text_to_its_end() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "first", "--", "1000"]).ok();
    let file = "[[app]]\nname = \"b\"\nrun = [\"/bin/sleep\", \"1000\"]\ninstances = 2";
    assert_eq!(call(&stead, "Check", &["sa{sv}", file, "0"])["data"][0].as_array().unwrap().len(), 0);
    call(&stead, "StartFile", &["sa{sv}", file, "1", "wait", "b", "true"]);
    assert_eq!(stead.instance("b/1")["status"], "running");
    let stats = call(&stead, "GetStats", &["asa{sv}", "1", "b", "0"]);
    assert!(stats["data"][0]["b/0"]["memory_bytes"]["data"].as_u64().unwrap() > 0, "{stats}");
    call(&stead, "Scale", &["ssa{sv}", "b", "1", "1", "wait", "b", "true"]);
    let before = stead.pid("b/0");
    call(&stead, "Restart", &["asa{sv}", "1", "b", "1", "wait", "b", "true"]);
    assert_ne!(stead.pid("b/0"), before);
    call(&stead, "Delete", &["asa{sv}", "1", "b", "1", "wait", "b", "true"]);
    assert!(stead.list().iter().all(|row| row["app"] != "b"));
    let app = ["2", "name", "s", "c", "run", "as", "2", "/bin/sleep", "1000"];
    call(&stead, "StartApp", &[&["a{sv}a{sv}"], &app[..], &["1", "wait", "b", "true"]].concat());
    assert_eq!(stead.instance("c/0")["status"], "running");
}

#[test]
fn a_job_that_fails_is_an_error_for_who_waits_and_wrong_arguments_are_named() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "first", "--", "1000"]).ok();
    let file = "[[app]]\nname = \"b\"\nrun = [\"/bin/false\"]\nrestart = \"never\"";
    let said = refused(&stead, "StartFile", &["sa{sv}", file, "1", "wait", "b", "true"]);
    assert!(said.contains("b/0: ended before it was ready (exit, code 1)"), "{said}");
    let said = refused(&stead, "StartFile", &["sa{sv}", "[[app]]\nrnu = 1", "1", "name", "s", "my.toml"]);
    assert!(said.contains("my.toml:2:1: `rnu`: unknown key"), "{said}");
    let said = refused(&stead, "StartFile", &["sa{sv}", file, "1", "base_dir", "s", "here"]);
    assert!(said.contains("base_dir = \"here\": it must be an absolute path"), "{said}");
    assert!(refused(&stead, "Stop", &["asa{sv}", "1", "nobody", "0"]).contains("no app is named \"nobody\""));
    assert!(refused(&stead, "Stop", &["asa{sv}", "0", "0"]).contains("no selector is given"));
    assert!(refused(&stead, "Stop", &["asa{sv}", "1", "all", "1", "wiat", "b", "true"]).contains("unknown option"));
    assert!(refused(&stead, "GetInstance", &["s", "first"]).contains("write it as in \"api/2\""));
    assert_eq!(stead.instance("first/0")["restarts"], 0);
}

#[test]
fn objects_have_what_the_description_says() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "a.b", "-i", "2", "--", "1000"]).ok();
    let xml = busctl(&stead, &["introspect", "--xml-interface", MANAGER[0], MANAGER[1]]);
    let served = String::from_utf8(xml.stdout).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("units/org.stead.Stead1.xml");
    let shipped = std::fs::read_to_string(path).unwrap();
    let manager = |text: &str| {
        let from = text.find("<interface name=\"org.stead.Stead1.Manager\">").unwrap();
        text[from..from + text[from..].find("</interface>").unwrap()].to_owned()
    };
    assert_eq!(manager(&served), manager(&shipped));
    let args = [MANAGER[0], MANAGER[1], "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"];
    let said = busctl(&stead, &[&["--json=short", "call"], &args[..]].concat());
    let objects: Value = serde_json::from_slice(&said.stdout).unwrap();
    let objects = objects["data"][0].as_object().unwrap();
    let app = &objects["/org/stead/Stead1/app/a_2eb"]["org.stead.Stead1.App"];
    assert_eq!(app["Name"]["data"], "a.b");
    let from = shipped.find("<interface name=\"org.stead.Stead1.App\">").unwrap();
    let text = &shipped[from..from + shipped[from..].find("</interface>").unwrap()];
    for name in app.as_object().unwrap().keys() {
        assert!(text.contains(&format!("<property name=\"{name}\"")), "{name}");
    }
    assert_eq!(text.matches("<property name=").count(), app.as_object().unwrap().len());
    let instance = &objects["/org/stead/Stead1/app/a_2eb/instance/1"]["org.stead.Stead1.Instance"];
    assert_eq!(instance["Status"]["data"], "running");
    assert_eq!(instance["Pid"]["data"], stead.pid("a.b/1"));
}

#[test]
fn apps_d_is_read_again_when_somebody_says_so_and_one_wrong_file_stops_all() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "first", "--", "1000"]).ok();
    let dir = stead.path("etc/apps.d");
    std::fs::create_dir_all(&dir).unwrap();
    let app = |name: &str| format!("[[app]]\nname = \"{name}\"\nuser = \"root\"\nrun = [\"/bin/sleep\", \"1000\"]\n");
    std::fs::write(dir.join("x.toml"), app("x")).unwrap();
    std::fs::write(dir.join("y.toml"), "[[app]]\nname = \"y\"\n").unwrap();
    let said = refused(&stead, "Reload", &["a{sv}", "1", "wait", "b", "true"]);
    assert!(said.contains("y.toml"), "{said}");
    assert!(stead.list().iter().all(|row| row["app"] != "x"));
    std::fs::write(dir.join("y.toml"), app("y")).unwrap();
    call(&stead, "Reload", &["a{sv}", "1", "wait", "b", "true"]);
    let (x, y) = (stead.pid("x/0"), stead.pid("y/0"));
    // Nothing is new, and nothing happens; then one is, and it alone is touched.
    call(&stead, "Reload", &["a{sv}", "1", "wait", "b", "true"]);
    assert_eq!((stead.pid("x/0"), stead.pid("y/0")), (x, y));
    std::fs::write(dir.join("y.toml"), app("y") + "nice = 1\n").unwrap();
    // An upgrade reads them, too: after it a package's files may be others.
    stead.run(&["upgrade"]).ok();
    assert!(eventually(|| stead.list().iter().any(|row| row["instance"] == "y/0" && row["pid"] != y)));
    assert_eq!(stead.pid("x/0"), x);
}

#[test]
fn the_log_level_is_changed_while_it_runs() {
    let stead = Stead::new();
    stead.run(&["start", "sleep", "--name", "first", "--", "1000"]).ok();
    let object = ["org.stead.Stead1", "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1", "LogLevel"];
    assert!(busctl(&stead, &[&["set-property"], &object[..], &["s", "debug"]].concat()).status.success());
    let level = || String::from_utf8(busctl(&stead, &[&["get-property"], &object[..]].concat()).stdout).unwrap();
    assert_eq!(level().trim(), "s \"debug\"");
    let said = busctl(&stead, &[&["set-property"], &object[..], &["s", "loud"]].concat());
    assert!(String::from_utf8_lossy(&said.stderr).contains("\"loud\" is no log level"));
}

/// Every command of the README's page for scripts, in a shell, as it stands there.
#[test]
fn the_commands_of_the_readme_work() {
    let stead = Stead::new();
    let asleep = "[\"/bin/sh\", \"-c\", \"trap : USR1; while :; do sleep 1000 & wait; done\"]";
    let api = stead.file("api.toml", &format!("[[app]]\nname = \"api\"\nrun = {asleep}\ninstances = 2\n"));
    stead.run(&["start", api.to_str().unwrap()]).ok();
    stead.file("worker.toml", "[[app]]\nname = \"worker\"\nrun = \"./work.sh\"\n");
    std::fs::write(stead.path("work.sh"), "exec sleep 1000\n").unwrap();
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let page =
        readme.split_once("## From scripts").unwrap().1.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let address = format!("busctl --address=unix:path={} ", stead.path("run/private").display());
    for command in page.lines() {
        let addressed = command.replacen("busctl ", &address, 1);
        let said = Command::new("bash").args(["-c", &addressed]).current_dir(&stead.dir).output().unwrap();
        assert!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
    }
    assert!(page.lines().count() > 8);
    assert_eq!(stead.list(), Vec::<Value>::new());
}
