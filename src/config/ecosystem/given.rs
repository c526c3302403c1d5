//! The keys of one app as the file has them: which row each belongs to, and its value as the type that the tool wants.
//! Owns: aliases, "did you mean", and the sentence for a value of the wrong type.
//! Never: knows what a key means.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::Import;
use super::table::{self, Means, Row};
use crate::config::error::{nearest, quoted};
use crate::config::raw::Value;
use crate::model::quantity::format_span;

/// What an app of the file says, by the canonical name of the key.
pub(super) struct Given<'a> {
    /// For messages: what the app is called, as far as that is known.
    pub label: String,
    values: BTreeMap<&'static str, (&'a str, &'a Json)>,
    /// `env_NAME`, without the prefix.
    pub profiles: Vec<(&'a str, &'a Json)>,
}

impl<'a> Given<'a> {
    /// The key as it was written, and its value.
    pub fn get(&self, name: &str) -> Option<(&'a str, &'a Json)> {
        self.values.get(name).copied()
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn value(&self, name: &str) -> Option<&'a Json> {
        self.get(name).map(|(_, value)| value)
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.value(name) == Some(&Json::Bool(true))
    }

    pub fn str(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.as_str()
    }
}

impl Import<'_> {
    /// Sorts the keys of an app. What has no meaning is warned of, and what is refused is refused, by the table.
    pub(super) fn given<'a>(&mut self, rows: &'static [Row], app: &'a Map<String, Json>, label: String) -> Given<'a> {
        let mut given = Given { label, values: BTreeMap::new(), profiles: Vec::new() };
        for (key, value) in app {
            let Some(row) = table::find(rows, key) else {
                match key.strip_prefix("env_").filter(|name| !name.is_empty()) {
                    Some(profile) if std::ptr::eq(rows, table::PM2) => given.profiles.push((profile, value)),
                    _ => self.unknown(rows, key, &given.label),
                }
                continue;
            };
            // As JavaScript has it: nothing was said. PM2 says so of all that is false, if the key has two words.
            if value.is_null() || (row.name.contains('_') && is_false(value)) {
                continue;
            }
            match row.means {
                // Who does not want it has what they want.
                Means::Ignored if *value == Json::Bool(false) => {}
                Means::Ignored => self.ignore(key, row.note),
                Means::Refused => self.error(Some(&given.label), Some(key), "is not for stead", row.note),
                Means::Key(_) | Means::Converted => {
                    // Its own name counts more than another spelling of it.
                    let first = given.values.get(row.name).is_none_or(|_| key == row.name);
                    if first {
                        given.values.insert(row.name, (key.as_str(), value));
                    }
                }
            }
        }
        given
    }

    /// PM2 drops what it does not know, so a file may hold anything; FinalPM refuses it.
    fn unknown(&mut self, rows: &'static [Row], key: &str, label: &str) {
        let near = nearest(key, rows.iter().map(|row| row.name));
        if std::ptr::eq(rows, table::PM2) {
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return self.ignore(key, format!("PM2 knows no such key, either{near}"));
        }
        let mend = near.map_or("leave it out".to_owned(), |near| format!("did you mean `{near}`?"));
        self.error(Some(label), Some(key), "unknown key", mend);
    }

    pub(super) fn wrong_type(&mut self, given: &Given<'_>, key: &str, value: &Json, wanted: &str) {
        // What was meant to be variables may hold a secret.
        let text = Json::from("…");
        let value = if key.contains("env") && value.is_string() { &text } else { value };
        self.error(Some(&given.label), Some(key), format!("cannot be {}", type_name(value)), format!("use {wanted}"));
    }

    pub(super) fn text<'a>(&mut self, given: &Given<'a>, name: &str) -> Option<(&'a str, &'a str)> {
        let (key, value) = given.get(name)?;
        match value {
            Json::String(text) => Some((key, text)),
            other => {
                self.wrong_type(given, key, other, "text");
                None
            }
        }
    }

    pub(super) fn boolean<'a>(&mut self, given: &Given<'a>, name: &str) -> Option<(&'a str, bool)> {
        let (key, value) = given.get(name)?;
        match value {
            Json::Bool(b) => Some((key, *b)),
            other => {
                self.wrong_type(given, key, other, "true or false");
                None
            }
        }
    }

    /// A whole number, also as text: PM2 takes both.
    pub(super) fn number<'a>(&mut self, given: &Given<'a>, name: &str, wanted: &str) -> Option<(&'a str, i64)> {
        let (key, value) = given.get(name)?;
        match whole(value) {
            Some(number) => Some((key, number)),
            None => {
                self.wrong_type(given, key, value, wanted);
                None
            }
        }
    }

    /// Milliseconds, as a time of ours.
    pub(super) fn millis<'a>(&mut self, given: &Given<'a>, name: &str) -> Option<(&'a str, Value)> {
        let (key, number) = self.number(given, name, "a number of milliseconds")?;
        match u64::try_from(number) {
            Ok(number) => Some((key, span(number))),
            Err(_) => {
                self.error(
                    Some(&given.label),
                    Some(key),
                    format!("{number} is no time"),
                    "use a number of milliseconds",
                );
                None
            }
        }
    }

    /// Text that PM2 splits, or a list of texts.
    pub(super) fn words<'a>(&mut self, given: &Given<'a>, name: &str) -> Option<(&'a str, Vec<String>)> {
        let (key, value) = given.get(name)?;
        let words = match value {
            Json::String(text) => Some(super::words::split(text)),
            Json::Array(items) => items.iter().map(scalar).collect(),
            _ => None,
        };
        if words.is_none() {
            self.wrong_type(given, key, value, "text or a list of texts");
        }
        words.map(|words| (key, words))
    }
}

fn is_false(value: &Json) -> bool {
    match value {
        Json::Bool(b) => !b,
        Json::String(text) => text.is_empty(),
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    }
}

pub(super) fn span(millis: u64) -> Value {
    Value::Str(format_span(Duration::from_millis(millis)))
}

/// Text of what a list or a variable can hold, as JavaScript spells it.
pub(super) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(b) => Some(b.to_string()),
        // 3.0 is 3 there.
        Json::Number(number) => Some(whole(value).map_or_else(|| number.to_string(), |whole| whole.to_string())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

pub(super) fn whole(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // Beyond it a float is no exact number.
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// What a person would call it.
pub(super) fn type_name(value: &Json) -> String {
    match value {
        Json::Null => "nothing".to_owned(),
        Json::Bool(b) => b.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(object) if object.contains_key("$function") => "a function".to_owned(),
        Json::Object(object) if object.contains_key("$regex") => "a regular expression".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}
