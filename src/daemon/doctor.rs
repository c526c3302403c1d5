//! What `stead doctor` says of this host: what works, what does not, and what would change it.
//! Owns: the words. Never: changes anything.

use std::path::Path;

use super::privileges;
use super::spawn::FDS_EACH;
use super::tree::Tree;
use crate::api::{Finding, FindingLevel};
use crate::sys::cgroup::{Controller, Layout};
use crate::sys::rlimit;

/// Less free space than this below the log directory is worth a word.
const LOG_SPACE: u64 = 1 << 30;
/// Descriptors for so many instances are enough for anybody.
const INSTANCES: u64 = 1000;

/// `unable`: why ports cannot be shared here.
pub fn examine(tree: &Tree, log_dir: &Path, unable: Option<String>) -> Vec<Finding> {
    let mut findings = vec![kernel(), hierarchy(tree)];
    findings.extend(controllers(tree));
    findings.extend(v1_cost(tree));
    findings.extend(ports(unable));
    findings.push(open_files());
    findings.push(capabilities());
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

fn ports(unable: Option<String>) -> Vec<Finding> {
    let Some(why) = unable else {
        let text = "the instances of an app share its ports, and new connections go only to those that are ready";
        let shared = finding(FindingLevel::Good, "ports", text, "");
        let sleeps = nix::sys::utsname::uname().is_ok_and(|name| {
            !wakes_after_migration(&name.release().to_string_lossy(), &name.version().to_string_lossy())
        });
        return std::iter::once(shared).chain(sleeps.then(migration)).collect();
    };
    let text = format!(
        "instances cannot share a port: {why}; an app that listens is replaced old-first, and a second instance on \
         the same port fails"
    );
    let mend = "`listen` in the app's settings has stead open the port and pass it on; or give each instance a port of \
                its own, made of NODE_APP_INSTANCE";
    vec![finding(FindingLevel::Note, "ports", text, mend)]
}

fn migration() -> Finding {
    finding(
        FindingLevel::Note,
        "migration",
        "this kernel does not wake the instance that inherits the waiting connections of a dead one: they are answered \
         with the next connection that comes to it (CVE-2026-46015)",
        "Linux 6.1.175, 6.12.86, 6.18 or newer",
    )
}

/// "tcp: call sk_data_ready() after listener migration" is in 6.1.175, 6.12.86 and 6.18. Debian names the kernel's own
/// version in the second field only.
fn wakes_after_migration(release: &str, version: &str) -> bool {
    let debian = version.split_once("Debian ").map(|(_, rest)| rest);
    let text = debian.unwrap_or(release);
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    match (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)) {
        (6, 1, patch) => patch >= 175,
        (6, 12, patch) => patch >= 86,
        (major, minor, _) => (major, minor) >= (6, 18),
    }
}

fn open_files() -> Finding {
    match rlimit::nofile() {
        Ok((soft, _)) if soft >= INSTANCES * FDS_EACH => {
            finding(FindingLevel::Good, "open files", format!("the daemon may have {soft}"), "")
        }
        Ok((soft, _)) => finding(
            FindingLevel::Note,
            "open files",
            format!("the daemon may have {soft}, enough for {} instances", soft / FDS_EACH),
            "start it with a higher limit: ulimit -Hn 65536",
        ),
        Err(e) => finding(FindingLevel::Note, "open files", format!("the limit cannot be read: {e}"), ""),
    }
}

fn capabilities() -> Finding {
    let held = privileges::held();
    if held.is_empty() {
        let text = "the daemon has none: it runs apps of its own user, without shared ports";
        return finding(FindingLevel::Note, "capabilities", text, "start it as root");
    }
    let lacking = privileges::KEPT.iter().find(|(capability, _)| !held.contains(&capability.to_string()));
    match lacking {
        None => finding(FindingLevel::Good, "capabilities", format!("the daemon has {}", held.join(", ")), ""),
        Some((capability, what)) => finding(
            FindingLevel::Note,
            "capabilities",
            format!("the daemon lacks {capability}, for {what}"),
            "a container must be given it",
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_wake_the_heir_of_a_connection_are_known() {
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1 (2026-05-01)";
        assert!(!wakes_after_migration("6.1.0-45-amd64", debian));
        assert!(wakes_after_migration("6.1.0-47-amd64", &debian.replace("170", "192")));
        assert!(wakes_after_migration("6.18.44", "#1 SMP") && wakes_after_migration("7.2.1", ""));
        assert!(!wakes_after_migration("6.6.90", "") && !wakes_after_migration("6.12.85", ""));
    }
}
