//! Names and numbers of things: apps, instances, procs, revisions.
//! Owns: what is a legal app name, and how each id is written.
//! Never: hands out ids; the core does that.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest app name, in bytes: it becomes a part of cgroup and log directory names (limit 255, NAME_MAX).
pub const APP_NAME_MAX: usize = 64;

/// What a person calls an app. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(Arc<str>);

/// Why a string is not an app name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("an app name cannot be empty")]
    Empty,
    #[error("app name \"{0}\" is longer than {APP_NAME_MAX} characters")]
    TooLong(String),
    #[error(
        "app name \"{name}\" contains {found:?}: use letters, digits, \".\", \"_\" and \"-\", beginning with a letter, digit or \"_\""
    )]
    Character { name: String, found: char },
    #[error("app name \"{0}\" contains \"..\", which is kept for paths")]
    DotDot(String),
    #[error("\"all\" is the selector for every app and cannot name one")]
    All,
    #[error("app name \"{0}\" is a number, which selects an instance by its id: add a letter")]
    Digits(String),
}

impl AppName {
    /// Becomes a cgroup directory, a log directory and a CLI selector, so: letters, digits, `.`, `_`, `-`; never `..`
    /// or `all`, never only digits.
    pub fn parse(s: &str) -> Result<Self, BadName> {
        let first = s.chars().next().ok_or(BadName::Empty)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(first.is_ascii_alphanumeric() || first == '_') {
            return Err(BadName::Character { name: s.to_owned(), found: first });
        }
        if let Some(found) = s.chars().find(|c| !legal(*c)) {
            return Err(BadName::Character { name: s.to_owned(), found });
        }
        if s.len() > APP_NAME_MAX {
            return Err(BadName::TooLong(s.to_owned()));
        }
        if s.contains("..") {
            return Err(BadName::DotDot(s.to_owned()));
        }
        if s == "all" {
            return Err(BadName::All);
        }
        if s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadName::Digits(s.to_owned()));
        }
        Ok(Self(s.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl TryFrom<String> for AppName {
    type Error = BadName;
    fn try_from(s: String) -> Result<Self, BadName> {
        Self::parse(&s)
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> String {
        name.0.as_ref().to_owned()
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// The number of an instance within its app, from 0: the `2` of `api/2`.
    Slot(u32)
);
number!(
    /// The number of one run, the `17` of `api/2@17`. Never used twice under one base cgroup.
    Run(u64)
);
number!(
    /// The number of a resolved spec of one app. A higher one is newer.
    Revision(u64)
);
number!(
    /// The short number `stead list` shows for an instance, unique over all apps, kept until the app is deleted.
    Id(u32)
);
number!(
    /// One long operation that a person asked for.
    JobId(u64)
);

/// One slot of an app: `api/2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    pub app: AppName,
    pub slot: Slot,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.slot)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One run of an instance: `api/2@17`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcId {
    pub instance: InstanceId,
    pub run: Run,
}

impl ProcId {
    /// Where the run's cgroup stands below the base cgroup: `app-api/2@17`. The prefix keeps an app named `cgroup.procs`
    /// apart from the kernel's own files.
    pub fn cgroup(&self) -> String {
        format!("app-{}/{}@{}", self.instance.app, self.instance.slot, self.run)
    }
}

impl fmt::Display for ProcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.instance, self.run)
    }
}

impl fmt::Debug for ProcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_are_kept_as_they_are() {
        for name in ["api", "_x", "a.b-c_d", "0a", "A", &"x".repeat(64)] {
            assert_eq!(AppName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_would_leave_their_directory_or_clash_with_a_selector_are_refused() {
        for name in ["", "../x", "a/b", "a..b", "all", "12", "-x", ".x", "é", "a b", "a\0", &"x".repeat(65)] {
            assert!(AppName::parse(name).is_err(), "{name:?} was taken");
        }
    }
}
