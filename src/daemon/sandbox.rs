//! From an app's sandbox to the steps that make its view of the file system.
//! Owns: which paths change, in which order, and with whose eyes each is looked for.
//! Never: looks at a path itself: the daemon is root, and what it found would be an answer to whoever asked.

use std::collections::BTreeMap;

use super::program::c_string;
use crate::holder::plan::Step;
use crate::model::sandbox::{HOMES, ProtectHome, ProtectSystem, Sandbox, TEMPORARY};

/// Of root: without this the one who mounts is who the child walks as.
const TEMPORARY_OPTIONS: &str = "mode=1777,uid=0,gid=0";
const EMPTY_OPTIONS: &str = "mode=755,uid=0,gid=0";
const CLOSED_OPTIONS: &str = "mode=000,uid=0,gid=0";

/// What becomes of a path and all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    ReadOnly {
        must_exist: bool,
    },
    /// As it was before anything else happened.
    AsItIs,
    Covered {
        options: &'static str,
        read_only: bool,
    },
}

/// Whose idea a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// One of the paths that every host has: walked as root.
    Ours,
    /// Walked with the rights of the app's user. Else a failure, or its absence, would tell whether there is something
    /// below a directory that this user cannot enter, and a symbolic link could lead where this user cannot go.
    Theirs,
}

/// The steps, for a child that is root and has its groups already. None if its file system is the host's.
pub fn steps(sandbox: &Sandbox, uid: u32) -> Result<Vec<Step>, String> {
    let fates = fates(sandbox);
    if fates.is_empty() {
        return Ok(Vec::new());
    }
    let mut steps = vec![Step::MountNamespace];
    let mut eyes = Eyes { uid, now: 0 };
    // First what shall stay as it is, as it is: a copy that was made read-only cannot be told from one that the host has
    // so, and making that writable would be a gift.
    for (path, (_, whose)) in fates.iter().filter(|(_, (fate, _))| *fate == Fate::AsItIs) {
        eyes.change(*whose, &mut steps);
        steps.push(Step::Keep(c_string(path, "a path")?));
    }
    // A path comes before what lies within it, so the longer one has the last word.
    for (path, (fate, whose)) in &fates {
        eyes.change(*whose, &mut steps);
        let path = c_string(path, "a path")?;
        steps.push(match *fate {
            Fate::ReadOnly { must_exist } => Step::ReadOnly { path, must_exist },
            Fate::AsItIs => Step::PutBack(path),
            Fate::Covered { options, read_only } => {
                Step::Cover { path, options: c_string(options, "mount options")?, read_only }
            }
        });
    }
    eyes.change(Whose::Ours, &mut steps);
    Ok(steps)
}

/// Who the child walks as.
struct Eyes {
    uid: u32,
    now: u32,
}

impl Eyes {
    fn change(&mut self, whose: Whose, steps: &mut Vec<Step>) {
        let wanted = match whose {
            Whose::Ours => 0,
            Whose::Theirs => self.uid,
        };
        if wanted != self.now {
            steps.push(Step::WalkAs(wanted));
            self.now = wanted;
        }
    }
}

/// In the order of their text. What the app names itself comes last, and replaces what stead would do to the same path.
fn fates(sandbox: &Sandbox) -> BTreeMap<&str, (Fate, Whose)> {
    let mut fates = BTreeMap::new();
    let read_only = |must_exist| (Fate::ReadOnly { must_exist }, Whose::Ours);
    match sandbox.protect_system {
        ProtectSystem::No => {}
        system @ (ProtectSystem::Programs | ProtectSystem::Full) => {
            fates.insert("/usr", read_only(true));
            fates.extend(["/boot", "/efi"].map(|path| (path, read_only(false))));
            if system == ProtectSystem::Full {
                fates.insert("/etc", read_only(true));
            }
        }
        ProtectSystem::Strict => {
            fates.insert("/", read_only(true));
            fates.extend(["/dev", "/proc", "/sys"].map(|path| (path, (Fate::AsItIs, Whose::Ours))));
        }
    }
    let covered = |options, read_only| (Fate::Covered { options, read_only }, Whose::Ours);
    let home = match sandbox.protect_home {
        ProtectHome::No => None,
        ProtectHome::Hidden => Some(covered(CLOSED_OPTIONS, true)),
        ProtectHome::ReadOnly => Some(read_only(false)),
        ProtectHome::Tmpfs => Some(covered(EMPTY_OPTIONS, true)),
    };
    fates.extend(home.into_iter().flat_map(|home| HOMES.map(|path| (path, home))));
    if sandbox.private_tmp {
        fates.extend(TEMPORARY.map(|path| (path, covered(TEMPORARY_OPTIONS, false))));
    }
    for path in &sandbox.read_only_paths {
        fates.insert(path, (Fate::ReadOnly { must_exist: true }, Whose::Theirs));
    }
    if sandbox.makes_read_only() {
        fates.extend(sandbox.read_write_paths.iter().map(|path| (path.as_str(), (Fate::AsItIs, Whose::Theirs))));
    }
    fates
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn path(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    fn read_only(text: &str, must_exist: bool) -> Step {
        Step::ReadOnly { path: path(text), must_exist }
    }

    #[test]
    fn an_app_that_asks_for_nothing_stays_in_the_hosts_namespace() {
        assert_eq!(steps(&Sandbox::default(), 1000), Ok(vec![]));
        let pointless = Sandbox { read_write_paths: vec!["/srv".into()], ..Sandbox::default() };
        assert_eq!(steps(&pointless, 1000), Ok(vec![]));
    }

    #[test]
    fn what_stays_writable_is_kept_before_anything_is_read_only_and_put_back_after_what_is_around_it() {
        let sandbox = Sandbox {
            protect_system: ProtectSystem::Strict,
            private_tmp: true,
            read_only_paths: vec!["/srv/a/conf".into()],
            read_write_paths: vec!["/srv/a".into()],
            ..Sandbox::default()
        };
        let cover = |text| Step::Cover { path: path(text), options: path(TEMPORARY_OPTIONS), read_only: false };
        let expected = [
            Step::MountNamespace,
            Step::Keep(path("/dev")),
            Step::Keep(path("/proc")),
            Step::WalkAs(1000),
            Step::Keep(path("/srv/a")),
            Step::WalkAs(0),
            Step::Keep(path("/sys")),
            read_only("/", true),
            Step::PutBack(path("/dev")),
            Step::PutBack(path("/proc")),
            Step::WalkAs(1000),
            Step::PutBack(path("/srv/a")),
            read_only("/srv/a/conf", true),
            Step::WalkAs(0),
            Step::PutBack(path("/sys")),
            cover("/tmp"),
            cover("/var/tmp"),
        ];
        assert_eq!(steps(&sandbox, 1000).unwrap(), expected);
    }

    #[test]
    fn what_the_app_names_replaces_what_would_become_of_the_same_path() {
        let sandbox = Sandbox {
            protect_system: ProtectSystem::Full,
            read_write_paths: vec!["/etc".into()],
            ..Sandbox::default()
        };
        let expected = [
            Step::MountNamespace,
            Step::Keep(path("/etc")),
            read_only("/boot", false),
            read_only("/efi", false),
            Step::PutBack(path("/etc")),
            read_only("/usr", true),
        ];
        assert_eq!(steps(&sandbox, 0).unwrap(), expected, "root walks as root");
    }

    #[test]
    fn nothing_of_a_users_is_looked_for_as_root() {
        let sandbox = Sandbox {
            protect_system: ProtectSystem::Strict,
            protect_home: ProtectHome::Hidden,
            read_only_paths: vec!["/a".into(), "/z".into()],
            read_write_paths: vec!["/b".into(), "/srv".into()],
            ..Sandbox::default()
        };
        let mut walks_as = 0;
        for step in steps(&sandbox, 7).unwrap() {
            match step {
                Step::WalkAs(uid) => walks_as = uid,
                Step::Keep(path) | Step::PutBack(path) | Step::ReadOnly { path, .. } => {
                    let theirs = ["/a", "/z", "/b", "/srv"].contains(&path.to_str().unwrap());
                    assert_eq!(walks_as, if theirs { 7 } else { 0 }, "{path:?}");
                }
                _ => {}
            }
        }
        assert_eq!(walks_as, 0);
    }
}
