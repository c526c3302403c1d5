//! Selectors: how a person points at instances.
//! Owns: the grammar. Never: resolves one; the core matches it against what exists.
//!
//! `all` · `api` · `api/2` · `7` or `id=7` · `pid=1234` · `/regex/` on app names · `@namespace`, each with an optional
//! generation before it: `queue:` `new:` `running:` `old:` `marked:`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{AppName, Id, InstanceId, Slot};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    pub generation: Option<Generation>,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    All,
    App(AppName),
    Instance(InstanceId),
    Id(Id),
    Pid(i32),
    /// The text between the slashes, matched anywhere in an app's name.
    Pattern(String),
    Namespace(String),
}

/// Where a proc stands in its life. FinalPM's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// Waiting to be spawned: for admission or for a restart delay.
    Queue,
    /// Spawned, not ready yet.
    New,
    Running,
    /// Draining, stopping or being killed.
    Old,
    /// Told to stop while booting.
    Marked,
}

impl Generation {
    pub fn as_str(self) -> &'static str {
        match self {
            Generation::Queue => "queue",
            Generation::New => "new",
            Generation::Running => "running",
            Generation::Old => "old",
            Generation::Marked => "marked",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad selector \"{text}\": {why}")]
pub struct BadSelector {
    pub text: String,
    pub why: String,
}

impl Selector {
    pub fn parse(text: &str) -> Result<Self, BadSelector> {
        let bad = |why: String| BadSelector { text: text.to_owned(), why };
        // A regex may contain a colon, so a prefix is looked for only where none has begun.
        let (generation, rest) = match text.split_once(':') {
            Some((prefix, rest)) if !text.starts_with('/') => (Some(parse_generation(prefix).map_err(bad)?), rest),
            _ => (None, text),
        };
        let target = parse_target(rest).map_err(bad)?;
        Ok(Self { generation, target })
    }
}

fn parse_generation(prefix: &str) -> Result<Generation, String> {
    match prefix {
        "queue" => Ok(Generation::Queue),
        "new" => Ok(Generation::New),
        "running" => Ok(Generation::Running),
        "old" => Ok(Generation::Old),
        "marked" => Ok(Generation::Marked),
        _ => Err(format!("\"{prefix}\" is no generation: use queue, new, running, old or marked")),
    }
}

fn parse_target(rest: &str) -> Result<Target, String> {
    if rest.is_empty() {
        return Err("it is empty: use all, an app's name, app/0, an id, pid=N, /regex/ or @namespace".into());
    }
    if rest == "all" {
        return Ok(Target::All);
    }
    if let Some(pattern) = rest.strip_prefix('/') {
        return match pattern.strip_suffix('/') {
            Some(pattern) if !pattern.is_empty() => Ok(Target::Pattern(pattern.to_owned())),
            _ => Err("a pattern stands between two slashes, as in \"/^api/\"".into()),
        };
    }
    if let Some(namespace) = rest.strip_prefix('@') {
        return match AppName::parse(namespace) {
            Ok(name) => Ok(Target::Namespace(name.as_str().to_owned())),
            Err(_) => Err(format!("\"{namespace}\" is not a namespace's name")),
        };
    }
    if let Some(pid) = rest.strip_prefix("pid=") {
        return match pid.parse::<i32>() {
            Ok(pid) if pid > 0 => Ok(Target::Pid(pid)),
            _ => Err(format!("\"{pid}\" is not a process id")),
        };
    }
    let digits = rest.strip_prefix("id=").unwrap_or(rest);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.parse().map(|id| Target::Id(Id(id))).map_err(|_| format!("\"{digits}\" is too large for an id"));
    }
    let (app, slot) = match rest.split_once('/') {
        Some((app, slot)) => {
            let slot = slot.parse::<u32>().ok().filter(|_| slot.bytes().all(|b| b.is_ascii_digit()));
            (app, Some(slot.ok_or("after \"/\" comes the instance's number, as in \"api/2\"")?))
        }
        None => (rest, None),
    };
    let app = AppName::parse(app).map_err(|e| e.to_string())?;
    Ok(match slot {
        Some(slot) => Target::Instance(InstanceId { app, slot: Slot(slot) }),
        None => Target::App(app),
    })
}

impl Selector {
    /// Whether it can only mean apps with all of their instances.
    pub fn means_whole_apps(&self) -> bool {
        let whole = match self.target {
            Target::All | Target::App(_) | Target::Pattern(_) | Target::Namespace(_) => true,
            Target::Instance(_) | Target::Id(_) | Target::Pid(_) => false,
        };
        whole && self.generation.is_none()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(generation) = self.generation {
            write!(f, "{}:", generation.as_str())?;
        }
        match &self.target {
            Target::All => f.write_str("all"),
            Target::App(app) => write!(f, "{app}"),
            Target::Instance(instance) => write!(f, "{instance}"),
            Target::Id(id) => write!(f, "{id}"),
            Target::Pid(pid) => write!(f, "pid={pid}"),
            Target::Pattern(pattern) => write!(f, "/{pattern}/"),
            Target::Namespace(namespace) => write!(f, "@{namespace}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_back_as_it_was_written() {
        for text in ["all", "api", "api/2", "7", "pid=123", "/^a:b/", "@web", "old:api", "new:all", "queue:api/0"] {
            assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Selector::parse("id=7"), Selector::parse("7"));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in [
            "", "api/", "api/x", "api/+1", "api/1/2", "//", "/x", "@", "@../x", "pid=0", "pid=x", "foo:api", "old:",
            "../x", "a b",
        ] {
            assert!(Selector::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
