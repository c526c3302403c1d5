//! Resource limits by name, and those of this process.
//! Owns: the table of names, getrlimit and setrlimit.
//! Never: sets a limit of another process: that is for the child's steps.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// No limit.
pub const INFINITY: u64 = libc::RLIM_INFINITY;

/// Name in configuration, and the kernel's number.
const NAMES: &[(&str, libc::__rlimit_resource_t)] = &[
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// The number of a resource: `nofile` or `RLIMIT_NOFILE`, in any case.
pub fn resource(name: &str) -> Option<u32> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    NAMES.iter().find(|(known, _)| *known == bare).map(|(_, number)| *number)
}

/// The name of a resource's number.
pub fn name(resource: u32) -> Option<&'static str> {
    NAMES.iter().find(|(_, number)| *number == resource).map(|(name, _)| *name)
}

/// Every name that `resource` knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// The hard limit that this process has of a resource, by its number; `INFINITY` for none.
pub fn hard(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a number, which a wrong one is EINVAL for, and a struct that is written.
    match unsafe { libc::getrlimit64(resource, &raw mut limit) } {
        0 => Ok(limit.rlim_max),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Soft and hard limit of open files.
pub fn nofile() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Raises the soft limit of open files to the hard one, and returns the limits as they were.
pub fn raise_nofile() -> io::Result<(u64, u64)> {
    let (soft, hard) = nofile()?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok((soft, hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_names() {
        assert_eq!(resource("nofile"), Some(7));
        assert_eq!(resource("RLIMIT_CORE"), Some(4));
        assert_eq!(resource("flies"), None);
        assert!(names().all(|name| resource(name).is_some()));
    }
}
