//! What `stead doctor` says of this host: what works, what does not, and what would change it.
//! Owns: the words. Never: changes anything.

use std::path::Path;

use super::tree::Tree;
use crate::api::{Finding, FindingLevel};
use crate::sys::cgroup::{Controller, Layout};
use crate::sys::rlimit;

/// Less free space than this below the log directory is worth a word.
const LOG_SPACE: u64 = 1 << 30;

pub fn examine(tree: &Tree, log_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![kernel(), hierarchy(tree)];
    findings.extend(controllers(tree));
    findings.extend(v1_cost(tree));
    findings.push(ports());
    findings.push(open_files());
    findings.push(space(log_dir));
    findings
}

fn finding(level: FindingLevel, subject: &str, text: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { level, subject: subject.to_owned(), text: text.into(), mend: mend.into() }
}

fn kernel() -> Finding {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_else(|_| "unknown".to_owned());
    let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= (5, 7) {
        return finding(FindingLevel::Good, "kernel", format!("Linux {release}"), "");
    }
    finding(
        FindingLevel::Note,
        "kernel",
        format!(
            "Linux {release} cannot start a process inside its cgroup; it is moved there before its first instruction"
        ),
        "Linux 5.7 or newer",
    )
}

fn hierarchy(tree: &Tree) -> Finding {
    let place = tree.base_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    match tree.host.layout {
        Layout::Unified => finding(FindingLevel::Good, "cgroups", format!("unified (v2), apps live in {place}"), ""),
        Layout::Hybrid => finding(
            FindingLevel::Note,
            "cgroups",
            format!("hybrid: v2 tracks and kills (apps live in {place}), v1 limits"),
            "boot with systemd.unified_cgroup_hierarchy=1 for limits without delay",
        ),
        Layout::Legacy => finding(
            FindingLevel::Note,
            "cgroups",
            format!("v1 only (apps live in {place}): an empty cgroup is noticed later, and limits cost 10 ms a start"),
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        Layout::None => finding(
            FindingLevel::Bad,
            "cgroups",
            "none can be written here: no limits, and a child that leaves its process group escapes a stop",
            "in a container, give it a writable cgroup namespace",
        ),
    }
}

fn controllers(tree: &Tree) -> Vec<Finding> {
    [
        (Controller::Memory, "memory_max, memory_swap_max and max_memory_restart", "work"),
        (Controller::Pids, "tasks_max", "works"),
        (Controller::Cpu, "cpu_max and cpu_weight", "work"),
    ]
    .into_iter()
    .map(|(controller, keys, work)| {
        let subject = format!("{} controller", controller.name());
        if tree.host.offers(controller) {
            finding(FindingLevel::Good, &subject, format!("{keys} {work}"), "")
        } else {
            let mend = match controller {
                Controller::Memory => {
                    "boot with cgroup_enable=memory, or enable it in the parent's cgroup.subtree_control"
                }
                _ => "enable it in the parent's cgroup.subtree_control",
            };
            finding(FindingLevel::Bad, &subject, format!("is missing: an app with {keys} cannot start"), mend)
        }
    })
    .collect()
}

fn v1_cost(tree: &Tree) -> Option<Finding> {
    let v1 = [Controller::Memory, Controller::Pids, Controller::Cpu].iter().any(|c| tree.host.v1_mount(*c).is_some());
    v1.then(|| {
        finding(
            FindingLevel::Note,
            "v1 limits",
            "an instance with limits starts about 10 ms later: the kernel waits before it lets a process into a v1 cgroup",
            "mount option favordynmods removes the wait, for the whole host; stead does not set it",
        )
    })
}

fn ports() -> Finding {
    finding(
        FindingLevel::Note,
        "ports",
        "instances cannot share a port yet: an app that listens is replaced old-first, and a second instance on the same port fails",
        "give each instance a port of its own, made of NODE_APP_INSTANCE",
    )
}

fn open_files() -> Finding {
    match rlimit::nofile() {
        // Six descriptors an instance, for a thousand of them.
        Ok((soft, _)) if soft >= 8192 => {
            finding(FindingLevel::Good, "open files", format!("the daemon may have {soft}"), "")
        }
        Ok((soft, _)) => finding(
            FindingLevel::Note,
            "open files",
            format!("the daemon may have {soft}, enough for {} instances", soft / 6),
            "start it with a higher limit: ulimit -Hn 65536",
        ),
        Err(e) => finding(FindingLevel::Note, "open files", format!("the limit cannot be read: {e}"), ""),
    }
}

fn space(dir: &Path) -> Finding {
    match nix::sys::statvfs::statvfs(dir) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let text = format!("{} free below {}", crate::model::quantity::Bytes(free), dir.display());
            if free >= LOG_SPACE {
                finding(FindingLevel::Good, "log space", text, "")
            } else {
                finding(FindingLevel::Bad, "log space", text, "make room, or lower log_max_size and log_max_files")
            }
        }
        Err(e) => finding(FindingLevel::Bad, "log space", format!("{}: {e}", dir.display()), "make the directory"),
    }
}
