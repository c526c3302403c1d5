//! Where stead keeps its things.
//! Owns: the defaults and the STEAD_* variables that change them. systemd's RUNTIME_DIRECTORY and its siblings are not
//! read: in a unit of somebody's own they are about that unit, and the CLI would look for its daemon there.

use std::path::PathBuf;

/// The directories, as holder and daemon see them too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub runtime: PathBuf,
    pub state: PathBuf,
    pub log: PathBuf,
    /// A runtime directory of its own: a daemon beside the host's.
    pub private: bool,
}

impl Paths {
    /// From the environment; a variable that is empty counts as unset.
    pub fn new(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let runtime = given("STEAD_RUNTIME_DIR");
        Self {
            private: runtime.is_some(),
            runtime: runtime.unwrap_or_else(|| "/run/stead".into()),
            state: given("STEAD_STATE_DIR").unwrap_or_else(|| "/var/lib/stead".into()),
            log: given("STEAD_LOG_DIR").unwrap_or_else(|| "/var/log/stead".into()),
        }
    }

    /// From this process's environment.
    pub fn of_process() -> Self {
        Self::new(&|name| std::env::var(name).ok())
    }

    /// Where a person finds what holder and daemon say: systemd keeps it, unless `stead` started them.
    pub fn log_words(&self) -> String {
        let log = self.daemon_log();
        if log.exists() || self.private { log.display().to_string() } else { "journalctl -u stead".to_owned() }
    }

    /// What holder and daemon themselves say, when `stead` started them.
    pub fn daemon_log(&self) -> PathBuf {
        self.log.join("stead.log")
    }

    /// Locked by the holder for as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.runtime.join("lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steads_own_variables_count() {
        let paths = Paths::new(&|name| match name {
            "STEAD_RUNTIME_DIR" => Some("/tmp/r".into()),
            "STEAD_LOG_DIR" => Some(String::new()),
            "RUNTIME_DIRECTORY" | "LOGS_DIRECTORY" => Some("/run/other".into()),
            _ => None,
        });
        assert_eq!(paths.runtime, PathBuf::from("/tmp/r"));
        assert_eq!(paths.log, PathBuf::from("/var/log/stead"));
        assert!(paths.private);
    }
}
