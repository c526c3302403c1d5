//! What a program finds when it begins: who it is, where it is, what it may.

use crate::support::{Stead, eventually, program};

/// Starts a shell line as an app that prints and stays, and returns what it printed.
fn printed(stead: &Stead, line: &str, flags: &[&str]) -> String {
    let script = format!("{line}; echo end; exec sleep 1000");
    let mut args = vec!["start", "/bin/sh", "--name", "s", "--ready-on", "instant"];
    args.extend(flags);
    args.extend(["--", "-c", &script]);
    stead.run(&args).ok();
    let mut out = String::new();
    assert!(eventually(|| {
        out = stead.run(&["logs", "s", "--no-follow", "--raw", "--lines", "100"]).out;
        out.contains("end\n")
    }));
    out
}

#[test]
fn an_app_runs_as_its_user_with_that_users_groups_and_home() {
    let stead = Stead::new();
    let out = printed(
        &stead,
        "id -un; id -gn; echo $HOME $USER $LOGNAME; grep -E '^(NoNewPrivs|CapEff)' /proc/self/status",
        &["--user", "nobody"],
    );
    let person = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let group = nix::unistd::Group::from_gid(person.gid).unwrap().unwrap().name;
    assert!(out.contains(&format!("nobody\n{group}\n{} nobody nobody", person.dir.display())), "{out}");
    assert!(out.contains("NoNewPrivs:\t1"), "{out}");
    assert!(out.contains("CapEff:\t0000000000000000"), "{out}");
    assert_eq!(stead.instance("s/0")["user"], "nobody");
}

#[test]
fn the_environment_is_a_clean_base_and_what_the_person_gave() {
    let stead = Stead::new();
    let file = stead.file("env", "FROM_FILE=file\nBOTH=file\n");
    let mut args = vec!["start", "/bin/sh", "--name", "s", "--ready-on", "instant", "--env", "BOTH=flag"];
    let file = file.to_str().unwrap();
    args.extend(["--env-file", file, "--", "-c", "env; echo end; exec sleep 1000"]);
    let output = stead.command(&args).env("CALLERS_SECRET", "x").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut out = String::new();
    assert!(eventually(|| {
        out = stead.run(&["logs", "s", "--no-follow", "--raw", "--lines", "100"]).out;
        out.contains("end\n")
    }));
    for line in
        ["FROM_FILE=file", "BOTH=flag", "STEAD_APP=s", "STEAD_INSTANCE=s/0", "NODE_APP_INSTANCE=0", "HOME=/root"]
    {
        assert!(out.contains(line), "{line} is missing in\n{out}");
    }
    for secret in ["CALLERS_SECRET", "STEAD_RUNTIME_DIR", "STEAD_HOLDER_FD"] {
        assert!(!out.contains(secret), "{secret} leaked into\n{out}");
    }
}

#[test]
fn umask_nice_rlimits_and_the_oom_score_are_as_asked() {
    let stead = Stead::new();
    let file = stead.file(
        "s.toml",
        "[[app]]\nname = \"s\"\nready_on = \"instant\"\nrun = [\"/bin/sh\", \"-c\", \"umask; nice; ulimit -n; cat /proc/self/oom_score_adj; pwd; ls -l /proc/self/fd | wc -l; echo end; exec sleep 1000\"]\numask = \"027\"\nnice = 5\ncwd = \"/usr\"\nrlimits = { nofile = 321 }\n",
    );
    stead.run(&["start", file.to_str().unwrap()]).ok();
    let mut out = String::new();
    assert!(eventually(|| {
        out = stead.run(&["logs", "s", "--no-follow", "--raw", "--lines", "100"]).out;
        out.contains("end\n")
    }));
    assert!(out.contains("0027\n5\n321\n0\n/usr\n"), "{out}");
}

#[test]
fn a_capability_given_by_root_lets_an_ordinary_user_bind_a_low_port() {
    let stead = Stead::new();
    let file = stead.file(
        "s.toml",
        "[[app]]\nname = \"s\"\nready_on = \"instant\"\nuser = \"nobody\"\ncapabilities = [\"CAP_NET_BIND_SERVICE\"]\nrun = [\"/bin/sh\", \"-c\", \"grep CapEff /proc/self/status; echo end; exec sleep 1000\"]\n",
    );
    stead.run(&["start", file.to_str().unwrap()]).ok();
    let mut out = String::new();
    assert!(eventually(|| {
        out = stead.run(&["logs", "s", "--no-follow", "--raw", "--lines", "100"]).out;
        out.contains("end\n")
    }));
    assert!(out.contains("CapEff:\t0000000000000400"), "{out}");
}

#[test]
fn every_failure_before_exec_names_the_instance_the_stage_and_the_error() {
    let stead = Stead::new();
    let gone = stead.path("gone");
    std::fs::create_dir(&gone).unwrap();
    let sleeper = program("sleeper");
    let file = stead.file(
        "s.toml",
        &format!(
            "[[app]]\nname = \"api\"\nrun = [{sleeper:?}]\ncwd = {gone:?}\nready_on = \"instant\"\nmax_restarts = 2\nrestart_delay = 0\n"
        ),
    );
    stead.run(&["start", file.to_str().unwrap()]).ok();
    stead.run(&["stop", "api"]).ok();
    std::fs::remove_dir(&gone).unwrap();
    let said = stead.run(&["start", "api"]).fails();
    let wanted = format!("api/0: cannot change to directory {}: No such file or directory", gone.display());
    assert!(said.text().contains(&wanted), "{}", said.text());
    let row = stead.wait("api/0", "errored", |row| row["status"] == "errored");
    assert_eq!(row["last_exit"]["reason"], "spawn-failed");
}

#[test]
fn interpreters_are_found_by_extension() {
    let stead = Stead::new();
    for (name, text) in [
        ("a.py", "import sys\nprint('python', sys.version_info[0], flush=True)\nimport time\ntime.sleep(1000)\n"),
        ("b.js", "console.log('node', typeof process.send); setInterval(() => {}, 1e6)\n"),
        ("c.sh", "echo shell $0 $1\nexec sleep 1000\n"),
        ("d.pl", "$| = 1; print \"perl\\n\"; sleep 1000;\n"),
    ] {
        let script = stead.file(name, text);
        stead.run(&["start", script.to_str().unwrap(), "--ready-on", "instant", "--", "arg"]).ok();
    }
    for (app, text) in [("a", "python 3"), ("b", "node function"), ("c", "arg"), ("d", "perl")] {
        assert!(
            eventually(|| stead.run(&["logs", app, "--no-follow", "--raw"]).out.contains(text)),
            "{app}: {}",
            stead.run(&["logs", app, "--no-follow"]).text()
        );
    }
}

#[test]
fn no_descriptor_of_ours_reaches_an_app() {
    let stead = Stead::new();
    let out = printed(&stead, "ls /proc/self/fd | tr '\\n' ' '", &[]);
    // 0, 1, 2 and the directory that ls itself reads.
    assert!(out.contains("0 1 2 3"), "{out}");
    assert!(!out.contains(" 4"), "{out}");
}
