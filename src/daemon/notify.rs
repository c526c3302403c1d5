//! The notify socket: apps say READY=1 to it, as sd_notify(3) does.
//! Owns: who a sender is and what a datagram says. Never: believes what a datagram says about its sender.

use crate::model::ids::Run;

/// A longer datagram is not read further: every assignment that counts stands at the front in practice.
pub const DATAGRAM_MAX: usize = 4096;

/// Whether a datagram says that the service is ready. Assignments are separated by newlines (sd_notify(3)).
pub fn says_ready(datagram: &[u8]) -> bool {
    datagram.split(|byte| *byte == b'\n').any(|assignment| assignment == b"READY=1")
}

/// Which run a process belongs to, from its /proc/PID/cgroup: any process of the run may speak for it, and no other.
/// `base` is the base cgroup's whole path below the mount: a directory of the same name elsewhere may be anybody's.
pub fn run_of(cgroup_file: &str, base: &str) -> Option<Run> {
    cgroup_file.lines().find_map(|line| {
        // hierarchy-ID:controller-list:path (cgroups(7)); the path may be longer than ours if the app made sub-cgroups.
        let path = line.splitn(3, ':').nth(2)?;
        let mut parts = path.strip_prefix(base)?.strip_prefix('/')?.split('/');
        parts.next().filter(|part| part.starts_with("app-"))?;
        let (slot, run) = parts.next()?.split_once('@')?;
        slot.parse::<u32>().ok()?;
        run.parse().ok().map(Run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_one_assignment_among_others() {
        assert!(says_ready(b"READY=1"));
        assert!(says_ready(b"STATUS=up\nREADY=1\nMAINPID=7\n"));
        for no in [&b"READY=0"[..], b"XREADY=1", b"READY=1x", b"", b"\xff\n"] {
            assert!(!says_ready(no), "{no:?}");
        }
    }

    #[test]
    fn a_process_speaks_for_the_run_whose_cgroup_it_is_in() {
        let hybrid = "8:pids:/\n4:memory:/stead-1/app-api/2@17\n0::/stead-1/app-api/2@17/inner\n";
        assert_eq!(run_of(hybrid, "/stead-1"), Some(Run(17)));
        let delegated = "/stead.slice/stead-apps.service";
        assert_eq!(run_of("0::/stead.slice/stead-apps.service/app-a/0@3\n", delegated), Some(Run(3)));
        for other in [
            "0::/",
            "0::/user.slice/stead-1/app-api/2@17",
            "0::/stead-2/app-api/2@17",
            "0::/stead-1/app-api",
            "0::/stead-1/x/2@17",
            "",
            "a:b",
            "0::/stead-1/app-a/x@y",
        ] {
            assert_eq!(run_of(other, "/stead-1"), None, "{other}");
        }
    }
}
