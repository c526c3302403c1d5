//! The keys about what an app may touch of its host.
//! Owns: their section of the table, their words, and the rules between them and the rest of the app.
//! Never: looks whether a path is there; whoever starts the app finds out, with the rights of the app's user.

use super::error::quoted;
use super::fields as f;
use super::keys::Default::{Text, Unset};
use super::keys::{Key, Kind, Section};
use super::raw::Node;
use super::reader::{Read, Reader};
use super::table::key;
use crate::model::sandbox::{ProtectHome, ProtectSystem, Sandbox, Seccomp, is_within};
use crate::model::spec::{AppSpec, ReadyOn};

/// What everybody may set: each takes away, none gives.
pub(super) const SECTION: Section = Section {
    title: "What it may touch",
    keys: &[
        key(
            "protect_system",
            Kind::Switch(&["full", "strict"]),
            Text("false"),
            "How much of the file system is read-only to it",
            "`true`: /usr, /boot and /efi; `\"full\"`: /etc, too; `\"strict\"`: everything but /dev, /proc, /sys and \
             `read_write_paths`. Here and below it is this app that sees it so, each run in a mount namespace of its \
             own; what is mounted on the host later appears as it is. Logs, `listen` and `env_file` are stead's own \
             business and work as ever. An app that runs as root can undo it, unless `seccomp` or `capabilities` \
             takes mount(2) from it. What makes read-only needs Linux 5.12: before it, such an app does not \
             start, rather than with less than it asks for.",
        ),
        key(
            "protect_home",
            Kind::Switch(&["read-only", "tmpfs"]),
            Text("false"),
            "What becomes of /home, /root and /run/user",
            "`true`: they are empty, and closed to all but root; `\"tmpfs\"`: empty; neither can be written to.",
        ),
        key(
            "private_tmp",
            Kind::Bool,
            Text("false"),
            "/tmp and /var/tmp are its own, empty when it begins and gone when it ends",
            "Each run of each instance has its own, and so has each attempt of a command in `ready_on`. They are in \
             memory: what is in them counts as the instance's own, against `memory_max`, too.",
        ),
        key(
            "read_only_paths",
            Kind::Paths,
            Unset,
            "Files and directories that are read-only to it, with all below them",
            "Looked for with the rights of the app's user; one that is not found keeps the app from starting. The \
             longer of two paths wins.",
        ),
        key(
            "read_write_paths",
            Kind::Paths,
            Unset,
            "What within them stays as it is on the host",
            "Exceptions from `protect_system`, `protect_home = \"read-only\"` and `read_only_paths`. Nothing becomes \
             writable that is not so on the host.",
        ),
        key(
            "restrict_namespaces",
            Kind::Bool,
            Text("false"),
            "It can make and enter no namespaces",
            "unshare(2), setns(2) and clone(2) with CLONE_NEW flags fail with EPERM; clone3(2) with ENOSYS, as on a \
             kernel without it, and the C library falls back to clone(2). Here and in `seccomp` a call of another \
             architecture kills the process (SIGSYS), so programs of 32 bits do not run.",
        ),
        key(
            "seccomp",
            Kind::Choice(&["none", "default"]),
            Text("none"),
            "Which system calls it has",
            "`default`: all that services need. With EPERM fail those that mount (mount, umount2, move_mount and \
             their like, chroot, pivot_root); load modules, boot or stop the kernel (init_module, kexec_load, reboot); \
             set clocks (settimeofday, clock_settime, adjtimex); change the host (swapon, sethostname, acct, quotactl, \
             syslog, vhangup); reach hardware (ioperm, iopl); watch others (ptrace, process_vm_readv, pidfd_getfd, \
             perf_event_open, fanotify_init); bpf, userfaultfd, open_by_handle_at; the key rings (keyctl, add_key, \
             request_key); modify_ldt, and what is obsolete (uselib, ustat, sysfs, lookup_dcookie). No program that it \
             executes can undo it.",
        ),
    ],
};

pub(super) const PROTECT_SYSTEM: &[(&str, ProtectSystem)] = &[
    ("false", ProtectSystem::No),
    ("true", ProtectSystem::Programs),
    ("full", ProtectSystem::Full),
    ("strict", ProtectSystem::Strict),
];
pub(super) const PROTECT_HOME: &[(&str, ProtectHome)] = &[
    ("false", ProtectHome::No),
    ("true", ProtectHome::Hidden),
    ("read-only", ProtectHome::ReadOnly),
    ("tmpfs", ProtectHome::Tmpfs),
];
pub(super) const SECCOMP: &[(&str, Seccomp)] = &[("none", Seccomp::None), ("default", Seccomp::Default)];

/// Each of them is a mount or two of every run.
const PATHS_MAX: usize = 64;

pub(super) fn sandbox(r: &mut Reader<'_>, base: &str) -> Sandbox {
    Sandbox {
        protect_system: r.read("protect_system", f::switch(PROTECT_SYSTEM)).unwrap_or_default(),
        protect_home: r.read("protect_home", f::switch(PROTECT_HOME)).unwrap_or_default(),
        private_tmp: r.read("private_tmp", f::boolean).unwrap_or_default(),
        read_only_paths: r.read("read_only_paths", paths(base)).unwrap_or_default(),
        read_write_paths: r.read("read_write_paths", paths(base)).unwrap_or_default(),
        restrict_namespaces: r.read("restrict_namespaces", f::boolean).unwrap_or_default(),
        seccomp: r.read("seccomp", f::choice(SECCOMP)).unwrap_or_default(),
    }
}

fn paths(base: &str) -> impl Fn(&Key, &Node) -> Read<Vec<String>> + '_ {
    move |key, node| {
        let paths = f::paths(base)(key, node)?;
        if paths.len() > PATHS_MAX {
            return f::fail(format!("{} paths are too many", paths.len()), format!("use at most {PATHS_MAX}"));
        }
        Ok(paths)
    }
}

/// What these keys take away from the app itself is better said now than by a program that is not found.
pub(super) fn check_sandbox(r: &mut Reader<'_>, spec: &AppSpec) {
    let sandbox = &spec.sandbox;
    if !sandbox.read_write_paths.is_empty() && !sandbox.makes_read_only() {
        let mend = "set one of them too, or leave this out";
        r.fault("read_write_paths", "nothing is read-only without `protect_system` or its like", mend);
    }
    if sandbox.read_write_paths.iter().any(|path| path == "/") {
        r.fault("read_write_paths", "nothing would be read-only with \"/\" in it", "name what the app writes to");
    }
    if let Some(path) = sandbox.read_write_paths.iter().find(|path| sandbox.read_only_paths.contains(path)) {
        let problem = format!("{} is in `read_write_paths`, too", quoted(path));
        r.fault("read_only_paths", problem, "leave it out of one of them");
    }
    let hiding = |path: &str| sandbox.hidden().find(|(hidden, _)| is_within(path, hidden));
    let lists = [("read_only_paths", &sandbox.read_only_paths), ("read_write_paths", &sandbox.read_write_paths)];
    for (key, paths) in lists {
        if let Some((path, (hidden, by))) = paths.iter().find_map(|path| Some((path, hiding(path)?))) {
            let problem = format!("{} is not there: `{by}` hides {hidden}", quoted(path));
            r.fault(key, problem, "leave it out, or do not hide it");
        }
    }
    let command = &spec.command;
    let probe = match &spec.ready_on {
        ReadyOn::Exec { argv } => argv.first(),
        _ => None,
    };
    let needed = [
        ("`cwd`", Some(&spec.cwd)),
        ("the program", Some(&command.program)),
        ("the script", command.script.as_ref()),
        ("the program of `ready_on`", probe),
    ];
    for (what, path) in needed {
        let Some((path, (hidden, by))) = path.and_then(|path| Some((path, hiding(path)?))) else { continue };
        let mend = match by {
            "protect_home" => "use \"read-only\", or keep the app elsewhere",
            _ => "keep the app elsewhere",
        };
        r.fault(by, format!("hides {hidden}, and {what} is there: {path}"), mend);
        return;
    }
}
