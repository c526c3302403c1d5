//! Where this daemon lives: its directories, and the name of its base cgroup.
//! Owns: the environment variables that move them (architecture section 1).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directories of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode {
    pub runtime: PathBuf,
    pub state: PathBuf,
    pub logs: PathBuf,
    pub config: PathBuf,
    /// Not the host's one daemon, but one with directories of its own: no bus name, a base cgroup of its own.
    pub private: bool,
}

const RUNTIME: &str = "/run/stead";

impl Mode {
    /// `STEAD_*_DIR` first, then what systemd gives to its services, then the usual places.
    pub fn from_env(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let pick = |own: &str, systemd: &str, usual: &str| {
            var(own)
                .filter(|v| !v.is_empty())
                .or_else(|| var(systemd).and_then(first_of_list))
                .map_or_else(|| PathBuf::from(usual), PathBuf::from)
        };
        let runtime = pick("STEAD_RUNTIME_DIR", "RUNTIME_DIRECTORY", RUNTIME);
        Self {
            private: runtime != Path::new(RUNTIME),
            runtime,
            state: pick("STEAD_STATE_DIR", "STATE_DIRECTORY", "/var/lib/stead"),
            logs: pick("STEAD_LOG_DIR", "LOGS_DIRECTORY", "/var/log/stead"),
            config: pick("STEAD_CONFIG_DIR", "CONFIGURATION_DIRECTORY", "/etc/stead"),
        }
    }

    /// `stead` for the host's own daemon; `stead-<hash of the runtime directory>` for one beside it.
    pub fn base_cgroup(&self) -> String {
        if !self.private {
            return "stead".to_owned();
        }
        // FNV-1a: short, stable over versions, and nobody gains by a collision.
        let hash = self
            .runtime
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        format!("stead-{hash:016x}")
    }
}

/// systemd separates several directories by colons (systemd.exec(5), RUNTIME_DIRECTORY).
fn first_of_list(value: OsString) -> Option<OsString> {
    let text = value.into_string().ok()?;
    text.split(':').next().filter(|first| !first.is_empty()).map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variables_win_over_systemds_and_make_the_daemon_private() {
        let mode = Mode::from_env(|name| match name {
            "STEAD_RUNTIME_DIR" => Some("/tmp/x".into()),
            "RUNTIME_DIRECTORY" => Some("/run/y".into()),
            "STATE_DIRECTORY" => Some("/var/lib/a:/var/lib/b".into()),
            _ => None,
        });
        assert_eq!(mode.runtime, Path::new("/tmp/x"));
        assert_eq!(mode.state, Path::new("/var/lib/a"));
        assert_eq!(mode.logs, Path::new("/var/log/stead"));
        assert!(mode.private);
        assert!(mode.base_cgroup().starts_with("stead-"));
        assert_eq!(Mode::from_env(|_| None).base_cgroup(), "stead");
    }
}
