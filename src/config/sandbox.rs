//! The keys about what an app may touch of its host.
//! Owns: their words, and the rules between them and the rest of the app.
//! Never: looks whether a path is there; whoever starts the app finds out, with the rights of the app's user.

use super::error::quoted;
use super::fields as f;
use super::keys::Key;
use super::raw::Node;
use super::reader::{Read, Reader};
use crate::model::sandbox::{ProtectHome, ProtectSystem, Sandbox, Seccomp, is_within};
use crate::model::spec::{AppSpec, ReadyOn};

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
