//! What kind of cgroup host this is.
//! Owns: the four layouts, and where each controller is mounted.
//! Never: creates anything.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::parse;

/// The four kinds of host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// v2 alone.
    Unified,
    /// v2 tracks and kills, v1 limits.
    Hybrid,
    /// v1 alone.
    Legacy,
    /// None that we can write to.
    None,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Layout::Unified => "unified",
            Layout::Hybrid => "hybrid",
            Layout::Legacy => "v1 only",
            Layout::None => "none",
        })
    }
}

/// The controllers that stead uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    Memory,
    Pids,
    Cpu,
    /// v1 only: v2 counts CPU time everywhere.
    Cpuacct,
    /// v1 only: v2 freezes everywhere.
    Freezer,
}

impl Controller {
    pub const ALL: [Controller; 5] =
        [Controller::Memory, Controller::Pids, Controller::Cpu, Controller::Cpuacct, Controller::Freezer];

    pub fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Freezer => "freezer",
        }
    }

    /// Whether `cgroup.subtree_control` knows it, as far as stead asks.
    pub(super) fn is_v2(self) -> bool {
        matches!(self, Controller::Memory | Controller::Pids | Controller::Cpu)
    }
}

/// The hierarchies of this host that can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub layout: Layout,
    /// Where v2 is mounted, if it is.
    pub v2: Option<PathBuf>,
    /// The controllers that v2 offers at its top.
    pub v2_controllers: Vec<Controller>,
    /// Where each v1 controller is mounted. Two may share a place.
    pub v1: Vec<(Controller, PathBuf)>,
    /// Mounts that were found and could not be written to.
    pub read_only: Vec<PathBuf>,
}

impl Host {
    /// Looks at /proc/self/mountinfo. A host without it has no cgroups.
    pub fn detect() -> Host {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut host = Host::from_mountinfo(&text, |path| access(path, AccessFlags::W_OK).is_ok());
        if let Some(v2) = &host.v2 {
            let offered = std::fs::read_to_string(v2.join("cgroup.controllers")).unwrap_or_default();
            host.v2_controllers = Controller::ALL
                .into_iter()
                .filter(|controller| offered.split_ascii_whitespace().any(|name| name == controller.name()))
                .collect();
        }
        host
    }

    fn from_mountinfo(text: &str, writable: impl Fn(&Path) -> bool) -> Host {
        let mut host =
            Host { layout: Layout::None, v2: None, v2_controllers: Vec::new(), v1: Vec::new(), read_only: Vec::new() };
        for mount in parse::mounts(text) {
            let at = PathBuf::from(&mount.at);
            if mount.read_only || !writable(&at) {
                host.read_only.push(at);
            } else if mount.kind == "cgroup2" {
                host.v2.get_or_insert(at);
            } else {
                for controller in Controller::ALL {
                    let named = mount.options.iter().any(|option| option == controller.name());
                    if named && host.v1_mount(controller).is_none() {
                        host.v1.push((controller, at.clone()));
                    }
                }
            }
        }
        host.layout = match (&host.v2, host.v1.is_empty()) {
            (Some(_), true) => Layout::Unified,
            (Some(_), false) => Layout::Hybrid,
            (None, false) => Layout::Legacy,
            (None, true) => Layout::None,
        };
        host
    }

    pub fn v1_mount(&self, controller: Controller) -> Option<&Path> {
        self.v1.iter().find(|(known, _)| *known == controller).map(|(_, at)| at.as_path())
    }

    /// The v1 hierarchy that says which processes there are, on a host without v2: the freezer, for it can also stop them.
    pub(super) fn v1_tracker(&self) -> Option<Controller> {
        if self.layout != Layout::Legacy {
            return None;
        }
        let first = || self.v1.first().map(|(controller, _)| *controller);
        self.v1_mount(Controller::Freezer).map(|_| Controller::Freezer).or_else(first)
    }

    /// Whether this controller can limit anything here, in either version.
    pub fn offers(&self, controller: Controller) -> bool {
        self.v2_controllers.contains(&controller) || self.v1_mount(controller).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TMPFS: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n";
    const MEMORY: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    const CPU: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    const SYSTEMD: &str = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn host(lines: &[&str]) -> Host {
        Host::from_mountinfo(&lines.concat(), |_| true)
    }

    #[test]
    fn the_four_layouts_are_told_apart() {
        assert_eq!(host(&["30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"]).layout, Layout::Unified);
        assert_eq!(host(&[TMPFS, MEMORY, CPU, SYSTEMD, UNIFIED]).layout, Layout::Hybrid);
        assert_eq!(host(&[TMPFS, MEMORY, CPU, SYSTEMD]).layout, Layout::Legacy);
        assert_eq!(host(&[TMPFS]).layout, Layout::None);
        assert_eq!(host(&[]).layout, Layout::None);
    }

    #[test]
    fn controllers_that_share_a_mount_share_its_place() {
        let host = host(&[TMPFS, CPU]);
        let place = Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!((host.v1_mount(Controller::Cpu), host.v1_mount(Controller::Cpuacct)), (place, place));
        assert_eq!(host.v1_mount(Controller::Memory), None);
    }

    #[test]
    fn mounts_that_cannot_be_written_count_as_none_and_are_named() {
        let text = [TMPFS, MEMORY, UNIFIED].concat();
        let host = Host::from_mountinfo(&text, |_| false);
        assert_eq!((host.layout, host.read_only.len()), (Layout::None, 2));
    }
}
