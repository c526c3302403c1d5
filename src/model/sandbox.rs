//! What an app is kept from on the host: what it may see and change of the file system, and which system calls it has.
//! Owns: the shape of these settings. Never: knows how any of it is done.

use serde::{Deserialize, Serialize};

/// Nothing of it, unless a key says so. Each setting takes away; none gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    pub protect_system: ProtectSystem,
    pub protect_home: ProtectHome,
    /// /tmp and /var/tmp are the run's own.
    pub private_tmp: bool,
    /// Absolute, no `..`.
    pub read_only_paths: Vec<String>,
    /// Absolute, no `..`. What of them lies in what the others make read-only stays as it is on the host.
    pub read_write_paths: Vec<String>,
    pub restrict_namespaces: bool,
    pub seccomp: Seccomp,
}

/// How much of the system is read-only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectSystem {
    #[default]
    No,
    /// /usr, /boot and /efi.
    Programs,
    /// /etc, too.
    Full,
    /// Everything but /dev, /proc and /sys.
    Strict,
}

/// What becomes of /home, /root and /run/user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectHome {
    #[default]
    No,
    /// Empty, and nobody may look.
    Hidden,
    ReadOnly,
    /// Empty, for everybody to see.
    Tmpfs,
}

/// Which system calls there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// All of them.
    #[default]
    None,
    /// All that a service needs.
    Default,
}

/// Where people live.
pub const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Where anybody may leave a file.
pub const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Whether a path is another, or lies below it. Both are absolute, without doubled slashes.
pub fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| above == "/" || rest.is_empty() || rest.starts_with('/'))
}

impl Sandbox {
    /// Which directories are not the host's, and the key that hides them.
    pub fn hidden(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        let homes = matches!(self.protect_home, ProtectHome::Hidden | ProtectHome::Tmpfs);
        let homes = HOMES.into_iter().filter(move |_| homes).map(|path| (path, "protect_home"));
        let temporary = TEMPORARY.into_iter().filter(|_| self.private_tmp).map(|path| (path, "private_tmp"));
        homes.chain(temporary)
    }

    /// Whether something becomes read-only that another key could leave as it is.
    pub fn makes_read_only(&self) -> bool {
        self.protect_system != ProtectSystem::No
            || self.protect_home == ProtectHome::ReadOnly
            || !self.read_only_paths.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_within_a_directory_and_not_within_a_name_that_begins_alike() {
        for (path, above) in [("/home", "/home"), ("/home/a", "/home"), ("/x", "/"), ("/", "/")] {
            assert!(is_within(path, above), "{path} in {above}");
        }
        for (path, above) in [("/homes", "/home"), ("/", "/home"), ("/var", "/var/tmp")] {
            assert!(!is_within(path, above), "{path} in {above}");
        }
    }
}
