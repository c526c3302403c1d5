//! What comes up when the machine does: what ran before, and the files of apps.d; and what was saved under a name.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::support::{Stead, eventually};

/// Every instance and its state, in words.
fn states(stead: &Stead) -> Vec<String> {
    let words =
        |row: &serde_json::Value| format!("{} {}", row["instance"].as_str().unwrap(), row["status"].as_str().unwrap());
    let mut states: Vec<String> = stead.list().iter().map(words).collect();
    states.sort();
    states
}

/// A start of the daemon without anything being asked of it, as after a boot.
#[track_caller]
pub fn boot(stead: &Stead) {
    stead.run(&["resurrect", "nothing-at-all"]).fails();
}

fn put(stead: &Stead, name: &str, text: &str) -> std::path::PathBuf {
    fs::create_dir_all(stead.path("etc/apps.d")).unwrap();
    stead.file(&format!("etc/apps.d/{name}"), text)
}

#[test]
fn files_of_apps_d_run_from_boot_on_and_what_a_person_stopped_stays_stopped() {
    let stead = Stead::new();
    let app = |name: &str, seconds: u32| {
        format!("[[app]]\nname = \"{name}\"\nuser = \"nobody\"\nrun = [\"sleep\", \"{seconds}\"]\n")
    };
    put(&stead, "10-web.toml", &app("web", 1000));
    put(&stead, "20-two.toml", &format!("{}{}", app("one", 1000), app("two", 1000)));
    put(&stead, "30-rootless.toml", &app("rootless", 1000).replace("user = \"nobody\"\n", ""));
    put(&stead, "40-again.toml", &app("web", 5));
    put(&stead, "50-wrong.toml", "[[app]]\nname = \"wrong\"\nrunn = \"x\"\n");
    put(&stead, "60-nobody.toml", &app("nobody-there", 1000).replace("nobody\"\nrun", "no-such-user\"\nrun"));
    put(&stead, "note.toml~", "not a file of ours");
    let open = put(&stead, "70-open.toml", &app("open", 1000));
    fs::set_permissions(open, fs::Permissions::from_mode(0o666)).unwrap();
    let foreign = put(&stead, "80-foreign.toml", &app("foreign", 1000));
    chown(foreign, Some(65534), None).unwrap();
    boot(&stead);
    let all = ["one/0 running", "two/0 running", "web/0 running"];
    assert!(eventually(|| states(&stead) == all), "{:?}\n{}", states(&stead), stead.daemon_log());
    assert_eq!(stead.instance("web/0")["user"], "nobody");
    let log = stead.daemon_log();
    for said in [
        "30-rootless.toml:1:",
        "`user`",
        "40-again.toml: app web stands in",
        "unknown key",
        "no-such-user",
        "others than root may write it",
        "it is not root's",
    ] {
        assert!(log.contains(said), "{said} is not in:\n{log}");
    }
    stead.run(&["stop", "two"]).ok();
    stead.run(&["scale", "one", "2"]).ok();
    stead.run(&["shutdown"]).ok();
    // A file that has changed counts at the next boot; one that is gone takes no app with it.
    put(&stead, "10-web.toml", &app("web", 2000));
    put(&stead, "20-two.toml", &app("two", 2000));
    boot(&stead);
    let all = ["one/0 running", "one/1 running", "two/0 stopped", "web/0 running"];
    assert!(eventually(|| states(&stead) == all), "{:?}\n{}", states(&stead), stead.daemon_log());
    let command = fs::read_to_string(format!("/proc/{}/cmdline", stead.pid("web/0"))).unwrap();
    assert!(command.contains("2000"), "{command}");
}

#[test]
fn what_was_saved_under_a_name_comes_up_again_and_touches_nothing_that_runs() {
    let stead = Stead::new();
    for name in ["a", "b", "c", "d"] {
        stead.run(&["start", "sleep", "--name", name, "--", "1000"]).ok();
    }
    stead.run(&["scale", "a", "2"]).ok();
    stead.run(&["stop", "d"]).ok();
    let said = stead.run(&["save"]).ok().text();
    assert!(said.contains("saved as \"default\": 4 apps"), "{said}");
    stead.run(&["dump", "noon"]).ok();
    let before = stead.pid("c/0");
    stead.run(&["delete", "a"]).ok();
    stead.run(&["delete", "d"]).ok();
    stead.run(&["stop", "b"]).ok();
    stead.run(&["resurrect"]).ok();
    assert_eq!(states(&stead), ["a/0 running", "a/1 running", "b/0 running", "c/0 running"]);
    assert_eq!(stead.pid("c/0"), before);
    let said = stead.run(&["resurrect", "noon"]).ok().text();
    assert!(said.contains("nothing to do"), "{said}");
    let said = stead.run(&["resurrect", "noo"]).fails().text();
    assert!(said.contains("nothing is saved as \"noo\": there is default, noon"), "{said}");
    let said = stead.run(&["save", "../../etc/passwd"]).fails().text();
    assert!(said.contains("bad name"), "{said}");
    stead.run(&["delete", "all"]).ok();
    stead.run(&["shutdown"]).ok();
    // On another day.
    stead.run(&["resurrect", "noon"]).ok();
    assert_eq!(states(&stead).len(), 4);
}
