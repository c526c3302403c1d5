//! An app's settings as somebody wrote them: any keys, any values, each with its place if it came from a file.
//! Owns: the untyped value, its TOML notation, and the merging of flags into a file's app.
//! Never: judges a key or a value; `resolve` does.

use std::fmt;
use std::ops::Range;

/// A value without a meaning yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<Entry>),
}

/// A value and where it stands in its `Source`; no span if it came from a flag or over D-Bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Option<Range<usize>>,
}

/// One `key = value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Option<Range<usize>>,
    pub node: Node,
}

/// One app as it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawApp {
    /// In the order of the file, no key twice.
    pub entries: Vec<Entry>,
    /// Its `[[app]]` header.
    pub span: Option<Range<usize>>,
}

impl Value {
    /// What a person would call this value's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(_) => "text",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// A list of texts, as `args` and `capabilities` are.
    pub fn texts<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Self {
        Value::List(items.into_iter().map(|item| Node::from(item.into())).collect())
    }

    /// A table without spans.
    pub fn table(pairs: impl IntoIterator<Item = (String, Value)>) -> Self {
        Value::Table(pairs.into_iter().map(|(key, value)| Entry::new(key, value)).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl<V: Into<Value>> From<V> for Node {
    fn from(value: V) -> Self {
        Node { value: value.into(), span: None }
    }
}

impl Entry {
    fn new(key: String, value: Value) -> Self {
        Entry { key, key_span: None, node: Node { value, span: None } }
    }
}

impl RawApp {
    /// From untyped values: D-Bus's `a{sv}`, the flags of a command line. Of a key given twice the last one counts.
    pub fn new(pairs: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut app = RawApp::default();
        for (key, value) in pairs {
            app.set(&key, value);
        }
        app
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Sets or replaces a key, as a flag does to a file's. The old value's place goes with it: an error is then about
    /// the new value, which stands in no file.
    pub fn set(&mut self, key: &str, value: Value) {
        set(&mut self.entries, key, value);
    }

    /// Sets a variable over everything the file says, profiles included.
    pub fn set_env(&mut self, name: &str, value: &str) {
        if let Some(profiles) = table_mut(&mut self.entries, "profile") {
            for profile in profiles {
                let Value::Table(keys) = &mut profile.node.value else { continue };
                if let Some(env) = table_mut(keys, "env").filter(|env| env.iter().any(|entry| entry.key == name)) {
                    set(env, name, value.into());
                }
            }
        }
        if self.get("env").is_none() {
            self.set("env", Value::Table(Vec::new()));
        }
        // An `env` that is not a table is left alone: `resolve` has an error for it.
        if let Some(env) = table_mut(&mut self.entries, "env") {
            set(env, name, value.into());
        }
    }

    /// Gives a variable that the app inherits from its caller: whatever the file says of it wins.
    pub fn inherit_env(&mut self, name: &str, value: &str) {
        let given = match self.get("env").map(|node| &node.value) {
            Some(Value::Table(env)) => env.iter().any(|entry| entry.key == name),
            Some(_) => true,
            None => {
                self.set("env", Value::Table(Vec::new()));
                false
            }
        };
        if !given && let Some(env) = table_mut(&mut self.entries, "env") {
            env.push(Entry::new(name.to_owned(), value.into()));
        }
    }

    /// The app's name, if the file gives one: for messages and for choosing among apps, not a checked name.
    pub fn given_name(&self) -> Option<&str> {
        match self.get("name").map(|node| &node.value) {
            Some(Value::Str(name)) => Some(name),
            _ => None,
        }
    }

    /// The names of its profiles.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        let profiles = match self.get("profile").map(|node| &node.value) {
            Some(Value::Table(profiles)) => profiles.as_slice(),
            _ => &[],
        };
        profiles.iter().map(|profile| profile.key.as_str())
    }
}

fn set(entries: &mut Vec<Entry>, key: &str, value: Value) {
    let new = Entry::new(key.to_owned(), value);
    match entries.iter_mut().find(|entry| entry.key == key) {
        Some(old) => *old = new,
        None => entries.push(new),
    }
}

fn table_mut<'a>(entries: &'a mut [Entry], key: &str) -> Option<&'a mut Vec<Entry>> {
    match entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node.value) {
        Some(Value::Table(table)) => Some(table),
        _ => None,
    }
}

impl fmt::Display for Value {
    /// TOML's notation for it, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            // `{:?}` keeps the ".0" that tells TOML's floats from its integers.
            Value::Float(x) => write!(f, "{x:?}"),
            Value::Str(s) => quote(s, f),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if i > 0 { ", " } else { "" }, item.value)?;
                }
                f.write_str("]")
            }
            Value::Table(entries) if entries.is_empty() => f.write_str("{}"),
            Value::Table(entries) => {
                for (i, entry) in entries.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "{ " })?;
                    write!(f, "{} = {}", KeyText(&entry.key), entry.node.value)?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// A key as TOML writes it: bare where it can be.
pub(super) struct KeyText<'a>(pub &'a str);

impl fmt::Display for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !self.0.is_empty() && self.0.chars().all(bare) { f.write_str(self.0) } else { quote(self.0, f) }
    }
}

fn quote(s: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('"')?;
    for c in s.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\u{:04X}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env_of(app: &RawApp, name: &str) -> Option<String> {
        let Some(Value::Table(env)) = app.get("env").map(|node| &node.value) else { return None };
        env.iter().find(|entry| entry.key == name).map(|entry| entry.node.value.to_string())
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let app = RawApp::new([("name".into(), "a".into()), ("name".into(), "b".into())]);
        assert_eq!(app.given_name(), Some("b"));
        assert_eq!(app.entries.len(), 1);
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_what_is_inherited() {
        let mut app = RawApp::new([("env".into(), Value::table([("A".into(), "file".into())]))]);
        app.inherit_env("A", "caller");
        app.inherit_env("B", "caller");
        app.set_env("C", "flag");
        assert_eq!(env_of(&app, "A").as_deref(), Some("\"file\""));
        assert_eq!(env_of(&app, "B").as_deref(), Some("\"caller\""));
        app.set_env("A", "flag");
        assert_eq!(env_of(&app, "A").as_deref(), Some("\"flag\""));
    }

    #[test]
    fn values_are_written_as_toml_reads_them() {
        let value = Value::table([("a b".into(), Value::texts(["x\"\n\u{1}", "é"])), ("c".into(), Value::Float(1.0))]);
        assert_eq!(value.to_string(), r#"{ "a b" = ["x\"\n\u0001", "é"], c = 1.0 }"#);
    }
}
