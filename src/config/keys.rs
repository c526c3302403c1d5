//! The keys an app can have.
//! Owns: what a key is, and the look-ups in the one table of them (`table`). Type checks, defaults, "did you mean",
//! flags, D-Bus properties, `--help` and the README's reference all come from that table.
//! Never: holds a value; `raw` and `AppSpec` do.

use super::error::nearest;
use super::raw::{Node, Value};
pub use super::table::SECTIONS;

/// One key: a line of a config file, a flag, a D-Bus property.
#[derive(Debug)]
pub struct Key {
    /// As written in files: `memory_max`.
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    pub who: Who,
    /// One line, for `--help` and the reference's table. Begins with a capital, ends without a full stop.
    pub help: &'static str,
    /// What else there is to know, in full sentences; may be empty.
    pub doc: &'static str,
}

/// Keys that belong together, under one heading of the reference.
#[derive(Debug)]
pub struct Section {
    pub title: &'static str,
    pub keys: &'static [Key],
}

/// What an absent key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This text, read as if it had been written.
    Text(&'static str),
    /// Nothing.
    Unset,
    /// Depends on the rest of the app, as described.
    Derived(&'static str),
}

/// Who may set a key. Root may set every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever may start an app.
    Owner,
    /// Root only: the key gives more than the owner has.
    Root,
    /// The owner, except for what is described, which is root's.
    RootFor(&'static str),
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Path,
    /// A list of those.
    Paths,
    /// A list of texts, never split further.
    Words,
    /// Text or a list of texts: a program, or the exact arguments.
    Run,
    Bool,
    /// A whole number within these bounds.
    Count {
        min: i64,
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// True, false, or one of these words, which are more of the same.
    Switch(&'static [&'static str]),
    Bytes,
    Span,
    Cpu,
    Surge,
    Signal,
    Instances,
    Ready,
    /// Ports, addresses and paths of sockets: a list, or one.
    Listen,
    /// Patterns of cron(8): a list, or one.
    Times,
    /// Exit codes: a list, or one.
    Codes,
    Umask,
    /// User or group: a name or a number.
    Account,
    /// A list of those.
    Accounts,
    Env,
    Rlimits,
    Profiles,
}

impl Key {
    /// The flag of `stead start`: `--memory-max`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// The D-Bus property: `MemoryMax`.
    pub fn property(&self) -> String {
        let mut words = String::new();
        for word in self.name.split('_') {
            let mut letters = word.chars();
            words.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            words.push_str(letters.as_str());
        }
        words
    }

    /// The value that a text means where there are only texts: a flag, a variable, a default of the table. What does
    /// not fit the key stays text, so that the one error about it comes from where all the others do.
    pub fn value_of(&self, text: &str) -> Value {
        let list = |words: &mut dyn Iterator<Item = &str>| Value::texts(words.filter(|word| !word.is_empty()));
        match self.kind {
            Kind::Bool | Kind::Switch(_) => match text {
                "true" | "yes" | "1" => Value::Bool(true),
                "false" | "no" | "0" => Value::Bool(false),
                _ => text.into(),
            },
            Kind::Count { .. } | Kind::Instances => text.parse().map_or_else(|_| text.into(), Value::Int),
            Kind::Words if self.name == "capabilities" => list(&mut text.split(',').map(str::trim)),
            Kind::Words => list(&mut text.split_whitespace()),
            Kind::Accounts | Kind::Listen | Kind::Paths => list(&mut text.split(',').map(str::trim)),
            Kind::Codes => {
                let codes = text.split(',').map(str::trim).filter(|code| !code.is_empty());
                let number = |code: &str| code.parse().map_or_else(|_| code.into(), Value::Int);
                Value::List(codes.map(|code| Node::from(number(code))).collect())
            }
            Kind::Text
            | Kind::Path
            | Kind::Run
            | Kind::Choice(_)
            | Kind::Bytes
            | Kind::Span
            | Kind::Cpu
            | Kind::Surge
            | Kind::Signal
            | Kind::Ready
            | Kind::Times
            | Kind::Umask
            | Kind::Account
            | Kind::Env
            | Kind::Rlimits
            | Kind::Profiles => text.into(),
        }
    }

    /// The default as a value, where it is one.
    pub(super) fn default_node(&self) -> Option<Node> {
        match self.default {
            Default::Text(text) => Some(Node { value: self.value_of(text), span: None }),
            Default::Unset | Default::Derived(_) => None,
        }
    }
}

impl Kind {
    /// For people: what to write, with an example where that says more.
    pub fn describe(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Paths => "list of paths".to_owned(),
            Kind::Words => "list of texts".to_owned(),
            Kind::Run => "text or list of texts".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Count { min, max: i64::MAX } => format!("whole number from {min}"),
            Kind::Count { min, max } => format!("whole number from {min} to {max}"),
            Kind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "),
            Kind::Switch(words) => {
                format!(
                    "true, false, {}",
                    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
                )
            }
            Kind::Bytes => "size, as \"64M\"".to_owned(),
            Kind::Span => "time, as \"10s\" or \"500ms\"".to_owned(),
            Kind::Cpu => "percent of one core, as \"150%\"".to_owned(),
            Kind::Surge => "count, or share as \"25%\"".to_owned(),
            Kind::Signal => "signal, as \"SIGTERM\"".to_owned(),
            Kind::Instances => "whole number from 1 to 1000, or \"max\"".to_owned(),
            Kind::Ready => "word, URL or list of texts".to_owned(),
            Kind::Listen => "list of ports, addresses and paths".to_owned(),
            Kind::Codes => "exit code, or list of them".to_owned(),
            Kind::Times => "cron pattern, as \"30 2 * * *\", or list of them".to_owned(),
            Kind::Umask => "octal digits in quotes, as \"022\"".to_owned(),
            Kind::Account => "name or number".to_owned(),
            Kind::Accounts => "list of names or numbers".to_owned(),
            Kind::Env => "table of variables".to_owned(),
            Kind::Rlimits => "table of limits".to_owned(),
            Kind::Profiles => "table of profiles".to_owned(),
        }
    }

    /// The same as the object of a sentence, for "use …".
    pub(super) fn wanted(self) -> String {
        let article = match self {
            Kind::Choice(_) | Kind::Switch(_) => "one of ",
            Kind::Bool | Kind::Text | Kind::Run | Kind::Cpu | Kind::Umask => "",
            Kind::Codes => "an ",
            Kind::Path
            | Kind::Paths
            | Kind::Words
            | Kind::Count { .. }
            | Kind::Bytes
            | Kind::Span
            | Kind::Surge
            | Kind::Signal
            | Kind::Instances
            | Kind::Ready
            | Kind::Listen
            | Kind::Times
            | Kind::Account
            | Kind::Accounts
            | Kind::Env
            | Kind::Rlimits
            | Kind::Profiles => "a ",
        };
        format!("{article}{}", self.describe())
    }
}

/// Every key, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// A key by the name it has in files.
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

/// A key by its D-Bus property.
pub fn find_property(property: &str) -> Option<&'static Key> {
    all().find(|key| key.property() == property)
}

/// "did you mean": the key whose name is most like this one, if any is like it at all.
pub fn nearest_to(name: &str) -> Option<&'static str> {
    nearest(name, all().map(|key| key.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_has_one_name_everywhere() {
        let names: BTreeSet<_> = all().map(|key| key.name).collect();
        assert_eq!(names.len(), all().count());
        for key in all() {
            assert_eq!(find_property(&key.property()).map(|found| found.name), Some(key.name));
        }
        let key = find("memory_max").unwrap();
        assert_eq!((key.flag().as_str(), key.property().as_str()), ("--memory-max", "MemoryMax"));
    }

    #[test]
    fn help_is_one_line_and_docs_are_sentences() {
        for key in all() {
            assert!(!key.help.is_empty() && !key.help.ends_with('.') && key.help.len() < 100, "{}", key.name);
            assert!(key.doc.is_empty() || key.doc.ends_with('.'), "{}", key.name);
        }
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        for (slip, meant) in [
            ("memory_mx", "memory_max"),
            ("memry_max", "memory_max"),
            ("max-memory-restart", "max_memory_restart"),
            ("maxMemoryRestart", "max_memory_restart"),
            ("restrat", "restart"),
            ("instance", "instances"),
            ("enviroment", "env"),
        ] {
            let found = nearest_to(slip);
            assert!(found == Some(meant) || slip == "enviroment", "{slip}: {found:?}");
        }
        for stranger in ["watch", "xyzzy", "", "at_half_past_two"] {
            assert_eq!(nearest_to(stranger), None, "{stranger}");
        }
    }
}
