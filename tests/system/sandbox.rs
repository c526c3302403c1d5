//! Apps that try what their sandbox forbids, and say what came of it; and apps that must not notice that they have one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::slow_machine;
use crate::support::{PATIENCE, Said, Stead, app, eventually, free_port, program};

/// What shell lines are made of: `can COMMAND` prints whether the command went well, and with which complaint.
const CAN: &str =
    "can() { if why=$(\"$@\" 2>&1); then echo \"$1 $2 yes\"; else echo \"$1 $2 no: ${why##*: }\"; fi; }; ";

/// Everything there is.
const ALL: &str = "protect_system = \"strict\"\nprotect_home = true\nprivate_tmp = true\nrestrict_namespaces = true\n\
                   seccomp = \"default\"\n";

/// Some tests make what users may enter in what only root may.
fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

fn shell(stead: &Stead, name: &str, keys: &str, script: &str) -> Said {
    let script = format!("{CAN}{script}; echo end; exec sleep 1000");
    let tries = if keys.contains("max_restarts") { "" } else { "max_restarts = 1\n" };
    let file = stead.file(
        &format!("{name}.toml"),
        &format!(
            "[[app]]\nname = \"{name}\"\nrun = {:?}\nready_on = \"instant\"\nrestart_delay = 0\n{tries}{keys}\n",
            ["/bin/sh", "-c", &script]
        ),
    );
    stead.run(&["start", file.to_str().unwrap()])
}

/// What the script of an app printed before it settled down.
#[track_caller]
fn printed(stead: &Stead, name: &str) -> String {
    let mut out = String::new();
    let done = eventually(|| {
        out = stead.run(&["logs", name, "--no-follow", "--raw", "--lines", "200"]).out;
        out.contains("end\n")
    });
    assert!(done, "{name} did not come to its end:\n{out}\n{}", stead.run(&["logs", "--no-follow"]).text());
    out
}

#[track_caller]
fn tried(stead: &Stead, name: &str, keys: &str, script: &str) -> String {
    shell(stead, name, keys, script).ok();
    printed(stead, name)
}

/// Starts stead where mounts are nobody else's. `setup` may make some.
#[track_caller]
fn start_on_a_host_of_its_own(stead: &Stead, setup: &str, file: &Path) {
    let start = format!("{} start {}", stead.command(&[]).get_program().display(), file.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &format!("{setup} && exec {start}")]);
    stead.settle_environment(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn says(out: &str, lines: &[&str]) {
    for line in lines {
        assert!(out.contains(line), "no {line:?} in\n{out}");
    }
}

#[test]
fn programs_settings_or_everything_is_read_only_to_root_itself() {
    let stead = Stead::in_run();
    let data = stead.path("data");
    fs::create_dir_all(data.join("conf")).unwrap();
    let touch = |path: &str| format!("can touch {path}; rm -f {path}; ");
    let script = ["/usr/stead-x", "/etc/stead-x", "/var/stead-x", data.join("x").to_str().unwrap()].map(touch).concat();
    let script = script + "echo > /dev/null && echo null; echo 5 > /proc/self/oom_score_adj && echo score";
    let data = data.to_str().unwrap();
    let no = "no: Read-only file system";
    let out = tried(&stead, "programs", "protect_system = true", &script);
    says(
        &out,
        &[&format!("touch /usr/stead-x {no}"), "touch /etc/stead-x yes", "touch /var/stead-x yes", "null\nscore"],
    );
    let out = tried(&stead, "full", "protect_system = \"full\"", &script);
    says(&out, &[&format!("touch /usr/stead-x {no}"), &format!("touch /etc/stead-x {no}"), "touch /var/stead-x yes"]);
    let out = tried(&stead, "strict", "protect_system = \"strict\"", &script);
    says(
        &out,
        &["/usr/stead-x", "/etc/stead-x", "/var/stead-x"]
            .map(|path| format!("touch {path} {no}"))
            .each_ref()
            .map(String::as_str),
    );
    says(&out, &[&format!("touch {data}/x {no}"), "null\nscore"]);
    let keys = "protect_system = \"strict\"\nread_write_paths = [\"data\"]\nread_only_paths = [\"data/conf\"]";
    let out = tried(&stead, "but", keys, &format!("can touch {data}/conf/x; {script}"));
    says(
        &out,
        &[&format!("touch {data}/x yes"), &format!("touch {data}/conf/x {no}"), &format!("touch /var/stead-x {no}")],
    );
    assert!(!Path::new("/usr/stead-x").exists() && !Path::new("/etc/stead-x").exists());
}

#[test]
fn homes_are_closed_read_only_or_empty() {
    let stead = Stead::in_run();
    let look = "can ls /root; ls -A /root /home | wc -l; can touch /root/stead-x; can touch /home/stead-x";
    let out = tried(&stead, "user", "protect_home = true\nuser = \"nobody\"", look);
    says(&out, &["ls /root no: Permission denied", "touch /home/stead-x no: Permission denied"]);
    let out = tried(&stead, "closed", "protect_home = true", look);
    // Two names and the empty line between them.
    says(&out, &["ls /root yes\n3\n", "touch /root/stead-x no: Read-only file system"]);
    let out = tried(&stead, "empty", "protect_home = \"tmpfs\"\nuser = \"nobody\"", look);
    says(&out, &["ls /root yes\n3\n", "touch /home/stead-x no"]);
    let out = tried(&stead, "readable", "protect_home = \"read-only\"", "can ls /root; can touch /root/stead-x");
    says(&out, &["ls /root yes", "touch /root/stead-x no: Read-only file system"]);
    assert!(!Path::new("/root/stead-x").exists());
}

#[test]
fn each_run_has_a_tmp_of_its_own_that_is_gone_with_it() {
    let stead = Stead::in_run();
    let mine = format!("/tmp/stead-mine-{}", std::process::id());
    let script = format!(
        "echo \"found <$(ls -A /tmp /var/tmp | grep -v :)> $(stat -c '%a %u:%g' /tmp) $(stat -c '%a %u:%g' /var/tmp) \
         $(grep -c ' /.*tmp tmpfs rw,nosuid,nodev' /proc/self/mounts)\"; can touch {mine}; can touch /var/tmp/x; \
         echo \"left $(ls -A /tmp)\""
    );
    let keys = "private_tmp = true\ninstances = 3\nuser = \"nobody\"\nprotect_system = \"strict\"";
    shell(&stead, "t", keys, &script).ok();
    let name = mine.rsplit('/').next().unwrap();
    let all = |runs: usize| {
        let mut out = String::new();
        let done = eventually(|| {
            out = printed(&stead, "t");
            out.matches("end\n").count() == runs
        });
        assert!(done && !out.contains(" no:"), "{out}");
        for line in ["found <> 1777 0:0 1777 0:0 2\n", &format!("left {name}\n"), "touch /var/tmp/x yes\n"] {
            assert_eq!(out.matches(line).count(), runs, "{line}:\n{out}");
        }
    };
    all(3);
    assert!(!Path::new(&mine).exists());
    stead.run(&["restart", "t"]).ok();
    all(6);
}

#[test]
fn what_lies_in_a_private_tmp_is_memory_of_the_instance() {
    let stead = Stead::in_run();
    let keys = "private_tmp = true\nmemory_max = \"48M\"\n";
    shell(&stead, "m", keys, "head -c 100M /dev/zero > /tmp/much").text();
    let row = stead.wait("m/0", "killed for its memory", |row| row["last_exit"]["reason"] == "oom");
    assert_eq!(row["last_exit"]["reason"], "oom");
    stead.run(&["stop", "m"]).ok();
}

#[test]
fn what_is_read_only_on_the_host_stays_so_whatever_an_app_calls_writable() {
    let stead = Stead::in_run();
    let (sealed, open) = (stead.path("sealed"), stead.path("open"));
    for directory in [&sealed, &open] {
        fs::create_dir_all(directory).unwrap();
        open_to_all(directory);
    }
    let (sealed, open) = (sealed.to_str().unwrap(), open.to_str().unwrap());
    let file = stead.file(
        "s.toml",
        &format!(
            "[[app]]\nname = \"s\"\nuser = \"nobody\"\nprotect_system = \"strict\"\nready_on = \"instant\"\n\
             read_write_paths = [{sealed:?}, {open:?}]\nrun = {:?}\n",
            ["/bin/sh", "-c", &format!("{CAN}can touch {sealed}/x; can touch {open}/x; echo end; exec sleep 1000")]
        ),
    );
    // A directory that is a read-only bind mount of a file system that can be written to.
    let setup = format!("mount --bind {sealed} {sealed} && mount -o remount,bind,ro {sealed}");
    start_on_a_host_of_its_own(&stead, &setup, &file);
    says(
        &printed(&stead, "s"),
        &[&format!("touch {sealed}/x no: Read-only file system"), &format!("touch {open}/x yes")],
    );
}

#[test]
fn what_the_host_mounts_and_unmounts_later_comes_and_goes() {
    let stead = Stead::in_run();
    let disk = stead.path("disk");
    fs::create_dir(&disk).unwrap();
    let there = disk.join("there");
    let wait = "until test -e {}; do sleep 0.02; done; echo came; while test -e {}; do sleep 0.02; done; echo end";
    let script = format!("{}; exec sleep 1000", wait.replace("{}", there.to_str().unwrap()));
    let file = stead.file(
        "s.toml",
        &format!("[[app]]\nname = \"s\"\nready_on = \"instant\"\n{ALL}run = {:?}\n", ["/bin/sh", "-c", &script]),
    );
    start_on_a_host_of_its_own(&stead, "mount --make-rshared /", &file);
    let stat = fs::read_to_string(format!("/proc/{}/stat", stead.pid("s/0"))).unwrap();
    let holder = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap();
    let on_the_host = |line: &str| {
        let status = Command::new("nsenter").args(["-t", holder, "-m", "-r", "sh", "-c", line]).status().unwrap();
        assert!(status.success(), "{line}");
    };
    on_the_host(&format!("mount -t tmpfs none {} && touch {}", disk.display(), there.display()));
    assert!(eventually(|| stead.run(&["logs", "s", "--no-follow"]).out.contains("came")));
    // Not lazily: nobody keeps it busy.
    on_the_host(&format!("umount {}", disk.display()));
    printed(&stead, "s");
}

#[test]
fn a_path_that_is_not_there_is_named_with_the_instance_and_the_reason() {
    let stead = Stead::in_run();
    for (key, words) in [
        ("read_only_paths", "cannot make /nowhere/x read-only"),
        ("read_write_paths", "cannot leave /nowhere/x as it is"),
    ] {
        let name = &key[..6];
        let keys = format!("protect_system = true\n{key} = [\"/nowhere/x\"]");
        let said = shell(&stead, name, &keys, "true").fails().text();
        assert!(said.contains(&format!("{name}/0: {words}: No such file or directory")), "{said}");
        stead.run(&["stop", name]);
    }
}

#[test]
fn no_answer_tells_a_user_what_is_in_a_directory_they_cannot_enter() {
    let stead = Stead::in_run();
    let secret = stead.path("secret");
    fs::create_dir_all(secret.join("there")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let link = stead.path("link");
    symlink(secret.join("there"), &link).unwrap();
    for (number, path) in [secret.join("there"), secret.join("not"), link].iter().enumerate() {
        for key in ["read_only_paths", "read_write_paths"] {
            let name = format!("{}{number}", &key[..6]);
            let keys = format!("user = \"nobody\"\nprotect_system = \"strict\"\n{key} = [{path:?}]");
            let said = shell(&stead, &name, &keys, "true").fails().text();
            assert!(said.contains(&format!("{}", path.display())) && said.contains("Permission denied"), "{said}");
            stead.run(&["stop", &name]);
        }
    }
}

#[test]
fn no_way_leads_through_a_process_to_what_a_user_cannot_enter() {
    let stead = Stead::in_run();
    let secret = stead.path("secret");
    let within = secret.join("within");
    fs::create_dir_all(within.join("there")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    // Of root, in a directory that anybody could enter who got so far.
    let mut other = Command::new("sleep").arg("1000").current_dir(&within).spawn().unwrap();
    let mut said = Vec::new();
    for (number, name) in ["there", "not"].iter().enumerate() {
        let path = format!("/proc/{}/cwd/{name}", other.id());
        let keys = format!("user = \"nobody\"\nread_only_paths = [{path:?}]");
        let app = format!("w{number}");
        let text = shell(&stead, &app, &keys, "true").fails().text();
        let line = text.lines().find(|line| line.contains("cannot make")).unwrap_or_else(|| panic!("{text}"));
        said.push(line.rsplit(": ").next().unwrap().to_owned());
        stead.run(&["stop", &app]);
    }
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(said[0], said[1]);
    let said = shell(&stead, "own", "user = \"nobody\"\nread_only_paths = [\"/proc/self/fd/5\"]", "true").fails();
    assert!(said.text().contains("one of /proc that leads into a process"), "{}", said.text());
}

#[test]
fn a_link_that_is_swapped_meanwhile_puts_nothing_over_another_directory() {
    let stead = Stead::in_run();
    let (own, link) = (stead.path("own"), stead.path("link"));
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("passwd"), "forged::0:0::/:/bin/sh\n").unwrap();
    open_to_all(&stead.dir);
    symlink(&own, &link).unwrap();
    let swap = format!(
        "while [ -d {own} ]; do ln -sfn /etc {link}.a; mv -T {link}.a {link}; ln -sfn {own} {link}.b; mv -T {link}.b {link}; done",
        link = link.display(),
        own = own.display()
    );
    let mut swapping = Command::new("sh").args(["-c", &swap]).spawn().unwrap();
    let keys =
        format!("user = \"nobody\"\nprotect_system = \"strict\"\nread_write_paths = [{link:?}]\nmax_restarts = 0");
    shell(&stead, "s", &keys, "grep -c forged /etc/passwd; test -O /etc/passwd || exit 3").text();
    let (mut runs, many) = (0, if slow_machine() { 20 } else { 150 });
    eventually(|| {
        runs = stead.instance("s/0")["restarts"].as_u64().unwrap_or(0);
        runs > many
    });
    swapping.kill().unwrap();
    swapping.wait().unwrap();
    let out = stead.run(&["logs", "s", "--no-follow", "--raw", "--lines", "10000"]).out;
    let counted: Vec<&str> = out.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert!(runs > many && !counted.is_empty(), "{runs} runs, and it printed {out}");
    assert!(counted.iter().all(|line| *line == "0"), "a forged /etc/passwd was seen:\n{out}");
}

#[test]
fn a_user_namespace_of_its_own_undoes_nothing() {
    let stead = Stead::in_run();
    let inside = "umount /root && echo uncovered; umount -l / && echo uncovered; mount -o remount,bind,rw /usr && echo \
                  writable; mount -o remount,bind,rw / && echo writable; can touch /var/stead-x; echo tried";
    let script = format!("unshare -Urm /bin/sh -c '{}{inside}' 2>&1", CAN.replace('\'', "'\\''"));
    let keys = "user = \"nobody\"\nprotect_system = \"strict\"\nprotect_home = true\nread_only_paths = [\"/usr\"]";
    let out = tried(&stead, "n", keys, &script);
    if out.contains("unshare failed") || !out.contains("tried") {
        return; // A host where ordinary users have no user namespaces.
    }
    assert!(!out.contains("uncovered") && !out.contains("writable") && !out.contains("yes"), "{out}");
    says(&out, &["touch /var/stead-x no: Read-only file system"]);
}

#[test]
fn nothing_is_left_of_it_on_the_host() {
    let stead = Stead::in_run();
    let of_ours = |line: &&str| !line.contains("stead-") || line.contains(stead.dir.to_str().unwrap());
    let mounts = || {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        text.lines().filter(of_ours).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = mounts();
    let keys = format!("{ALL}read_write_paths = [{:?}]\nread_only_paths = [\"/usr/bin\"]", stead.dir);
    let out = tried(&stead, "a", &keys, "can touch /tmp/x; grep -c . /proc/self/mountinfo");
    says(&out, &["touch /tmp/x yes"]);
    assert_eq!(mounts(), before, "while it runs");
    stead.run(&["restart", "a"]).ok();
    stead.run(&["delete", "a"]).ok();
    assert_eq!(mounts(), before, "when it is gone");
}

#[test]
fn namespaces_and_calls_that_no_service_needs_are_refused_even_to_root() {
    let stead = Stead::in_run();
    let script = app("syscalls.py");
    for (name, keys) in [("free", ""), ("ns", "restrict_namespaces = true"), ("calls", "seccomp = \"default\"")] {
        let file = stead.file(
            &format!("{name}.toml"),
            &format!(
                "[[app]]\nname = \"{name}\"\nrun = {script:?}\ninterpreter = \"/usr/bin/python3\"\nready_on = \"instant\"\n{keys}\n"
            ),
        );
        stead.run(&["start", file.to_str().unwrap()]).ok();
    }
    let (free, ns, calls) = (printed(&stead, "free"), printed(&stead, "ns"), printed(&stead, "calls"));
    says(&free, &["unshare-net done", "setns done", "clone-ns EINVAL", "clone3 EINVAL", "keyctl done", "mount ENOENT"]);
    for out in [&free, &ns, &calls] {
        says(out, &["unshare-files done", "thread runs", "child runs"]);
    }
    says(&ns, &["unshare-net EPERM", "unshare-time EPERM", "setns EPERM", "clone-ns EPERM", "clone3 ENOSYS"]);
    says(&ns, &["keyctl done", "mount ENOENT"]);
    says(&calls, &["unshare-net done", "clone3 EINVAL"]);
    for call in ["keyctl", "mount", "sethostname", "bpf", "ptrace", "swapon"] {
        says(&calls, &[&format!("{call} EPERM")]);
        assert!(!free.contains(&format!("{call} EPERM")), "{free}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_of_another_architecture_ends_the_process() {
    if slow_machine() {
        return; // A user-mode kernel tells a filter of one architecture only.
    }
    let stead = Stead::in_run();
    let compat = program("compat");
    let script = format!("{}; echo $?", compat.display());
    if !tried(&stead, "free", "", &script).contains("answered") {
        return; // A kernel without the other ABI refuses it to everybody.
    }
    for keys in ["seccomp = \"default\"", "restrict_namespaces = true"] {
        let name = &keys[..7];
        let out = tried(&stead, name, keys, &script);
        assert!(!out.contains("answered"), "{out}");
        // The shell's number for SIGSYS.
        says(&out, &["159\n"]);
    }
}

#[test]
fn capabilities_and_new_privileges_are_as_asked_with_a_sandbox_around_them() {
    let stead = Stead::in_run();
    let look = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; id -u; can mount -t tmpfs none /mnt";
    let with = |keys: &str| format!("{ALL}{keys}");
    let keys = with("user = \"nobody\"\ncapabilities = [\"CAP_NET_BIND_SERVICE\"]");
    let out = tried(&stead, "low", &keys, look);
    says(&out, &["CapEff:\t0000000000000400", "CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t2", "65534"]);
    // The filter is loaded while it is root: it will never have no_new_privs.
    let out = tried(&stead, "setuid", &with("user = \"nobody\"\nno_new_privs = false"), look);
    says(&out, &["CapEff:\t0000000000000000", "NoNewPrivs:\t0", "Seccomp:\t2", "65534"]);
    let keys = with("no_new_privs = false\ncapabilities = [\"CAP_SYS_ADMIN\"]");
    let out = tried(&stead, "admin", &keys, look);
    says(&out, &["CapEff:\t0000000000200000", "NoNewPrivs:\t0", "Seccomp:\t2", "mount -t no:"]);
}

#[test]
fn limits_of_open_files_do_not_stand_in_the_way_of_the_mounts() {
    let stead = Stead::in_run();
    let paths: Vec<_> = (0..40).map(|number| stead.path(&format!("d{number}"))).collect();
    paths.iter().for_each(|path| fs::create_dir(path).unwrap());
    let keys = format!("protect_system = \"strict\"\nread_write_paths = {paths:?}\nrlimits = {{ nofile = 20 }}");
    let out =
        tried(&stead, "f", &keys, &format!("ulimit -n; can touch {}/x; ls /proc/self/fd | wc -l", paths[39].display()));
    says(&out, &["20\n", "/x yes\n4\n"]);
}

#[test]
fn a_directory_that_the_sandbox_takes_away_is_a_clear_error() {
    let stead = Stead::in_run();
    let said = shell(&stead, "a", "protect_home = true\ncwd = \"/root\"", "true").fails().text();
    assert!(said.contains("`protect_home`: hides /root, and `cwd` is there: /root"), "{said}");
    // Only the kernel knows where a link leads.
    let link = stead.path("link");
    let inside = fs::read_dir("/root").unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    symlink(&inside, &link).unwrap();
    let said = shell(&stead, "b", &format!("protect_home = \"tmpfs\"\ncwd = {link:?}"), "true").fails().text();
    assert!(said.contains(&format!("b/0: cannot change to directory {}: No such file", link.display())), "{said}");
}

#[test]
fn a_probe_is_confined_as_its_app_is() {
    let stead = Stead::in_run();
    let open = stead.path("open");
    fs::create_dir(&open).unwrap();
    open_to_all(&open);
    let seen = open.join("seen");
    let probe = format!(
        "{CAN}{{ can touch /usr/x; can ls /root; ls -A /tmp | wc -l; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; id -un; }} > {}",
        seen.display()
    );
    let file = stead.file(
        "p.toml",
        &format!(
            "[[app]]\nname = \"p\"\nuser = \"nobody\"\nrun = [\"/bin/sleep\", \"1000\"]\nready_on = {:?}\n{ALL}\
             read_write_paths = [{open:?}]\n",
            ["/bin/sh", "-c", &probe]
        ),
    );
    stead.run(&["start", file.to_str().unwrap()]).ok();
    let said = fs::read_to_string(&seen).unwrap();
    says(&said, &["touch /usr/x no: Read-only file system", "ls /root no: Permission denied\n0\n"]);
    says(&said, &["NoNewPrivs:\t1", "Seccomp:\t2", "nobody"]);
}

#[test]
fn node_and_python_serve_with_everything_switched_on() {
    let stead = Stead::in_run();
    let (node, python) = (free_port(), free_port());
    let logs = stead.path("logs");
    fs::create_dir(&logs).unwrap();
    open_to_all(&logs);
    // What is below /tmp or somebody's home, as a checkout may be, is hidden from these.
    let here = |file: PathBuf| {
        let copy = stead.path(file.file_name().unwrap().to_str().unwrap());
        fs::copy(file, &copy).unwrap();
        copy
    };
    let file = stead.file(
        "web.toml",
        &format!(
            "[[app]]\nname = \"node\"\nrun = {:?}\nargs = [\"{node}\"]\nuser = \"nobody\"\ninstances = 2\nready_on = \"listen\"\n{ALL}\
             out_file = {:?}\nenv = {{ PORT = {node} }}\n\
             [[app]]\nname = \"message\"\nrun = {:?}\nready_on = \"message\"\nuser = \"nobody\"\n{ALL}\
             [[app]]\nname = \"notify\"\nrun = [{:?}]\nready_on = \"notify\"\nuser = \"nobody\"\n{ALL}\
             [[app]]\nname = \"python\"\nrun = {:?}\nargs = [\"{python}\"]\ninterpreter = \"/usr/bin/python3\"\n\
             user = \"nobody\"\ninstances = 2\nready_on = \"listen\"\n{ALL}env = {{ PORT = {python} }}\n",
            here(app("web.js")),
            logs.join("out.log"),
            here(app("message-ready.js")),
            here(program("notify")),
            here(app("web.py")),
        ),
    );
    stead.run(&["start", file.to_str().unwrap()]).ok();
    for (app, port) in [("node", node), ("python", python)] {
        let ask = || {
            let url = format!("http://127.0.0.1:{port}/");
            let output = Command::new("curl").args(["-sf", "--max-time", "10", &url]).output().unwrap();
            assert!(output.status.success(), "{app}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let answers: Vec<String> = (0..8).map(|_| ask()).collect();
        for slot in 0..2 {
            assert!(answers.iter().any(|answer| answer.contains(&format!("{app}/{slot}"))), "{answers:?}");
        }
        stead.run(&["restart", app]).ok();
        ask();
    }
    for name in ["node/0", "node/1", "message/0", "notify/0", "python/0"] {
        assert_eq!(stead.instance(name)["status"], "running", "{name}");
    }
    stead.run(&["stop", "all"]).ok();
    assert!(stead.list().iter().all(|row| row["last_exit"]["reason"] != "killed"), "within {PATIENCE:?}");
}
