//! The text formats of cgroup files.
//! Owns: total functions from text to numbers; what is malformed is left out.
//! Never: opens a file.

use std::collections::BTreeMap;

/// `key value` lines: memory.events, memory.stat, cgroup.events, cpu.stat, memory.oom_control.
pub fn keyed(text: &str) -> BTreeMap<&str, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key, value.trim().parse().ok()?))
        })
        .collect()
}

/// The value of one key of such a file.
pub fn key(text: &str, wanted: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A file of one number. `max`, and v1's page-rounded maximum, come out as `u64::MAX`.
pub fn number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" | "-1" | "9223372036854771712" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A file of one pid on each line. 0 stands for a process of a pid namespace that we do not see.
pub fn pids(text: &str) -> Vec<i32> {
    text.lines().filter_map(|line| line.trim().parse().ok()).filter(|&pid| pid > 0).collect()
}

/// The path in the v2 hierarchy, from /proc/PID/cgroup.
pub fn unified_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// One line of /proc/self/mountinfo, as far as it concerns cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub at: String,
    pub read_only: bool,
    /// `cgroup` or `cgroup2`.
    pub kind: String,
    /// Of the file system: for v1 its controllers are among them.
    pub options: Vec<String>,
}

/// The cgroup mounts of /proc/self/mountinfo, in order.
pub fn mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).filter(|mount| mount.kind == "cgroup" || mount.kind == "cgroup2").collect()
}

fn mount(line: &str) -> Option<Mount> {
    // id parent major:minor root mount-point options [optional fields] - kind source super-options
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let at = unescape(left.nth(4)?);
    let read_only = left.next()?.split(',').any(|option| option == "ro");
    let mut right = right.split(' ');
    let kind = right.next()?.to_owned();
    let options = right.nth(1)?.split(',').map(str::to_owned).collect();
    Some(Mount { at, read_only, kind, options })
}

/// Space, tab, newline and backslash stand as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_found_whole() {
        let text = "low 0\nhigh 3\nmax 12\noom 1\noom_kill 7\noom_group_kill 1\n";
        assert_eq!(key(text, "oom_kill"), Some(7));
        assert_eq!(key(text, "oom"), Some(1));
        assert_eq!(key(text, "kill"), None);
        assert_eq!(keyed(text).len(), 6);
        assert_eq!(keyed("populated 1\nfrozen 0\nnonsense\n")["populated"], 1);
    }

    #[test]
    fn no_limit_is_the_largest_number() {
        assert_eq!(number("max\n"), Some(u64::MAX));
        assert_eq!(number("9223372036854771712\n"), Some(u64::MAX));
        assert_eq!(number("4096\n"), Some(4096));
        assert_eq!(number("\n"), None);
    }

    #[test]
    fn pids_of_foreign_namespaces_are_left_out() {
        assert_eq!(pids("12\n0\n345\n"), [12, 345]);
    }

    #[test]
    fn mount_points_are_unescaped_and_others_left_out() {
        let text = "31 23 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
                    41 31 0:38 / /odd\\040place rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
                    35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n";
        let found = mounts(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].at.as_str(), found[0].read_only), ("/odd place", false));
        assert!(found[1].read_only && found[1].options.contains(&"cpuacct".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[ -~\n\\\\]{0,200}") {
            let _ = (keyed(&text), key(&text, "a"), number(&text), pids(&text), mounts(&text), unescape(&text));
        }
    }
}
