//! TOML to raw apps.
//! Owns: what may stand at the top of a file, and which of its values are secrets.
//! Never: judges an app's own keys; `resolve` does, for this door and for D-Bus alike.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{ERRORS_MAX, Errors, Fault, nearest};
use super::keys;
use super::raw::{Entry, Node, RawApp, Value};
use super::source::Source;

/// A parsed file: its text, for errors yet to come, and its apps.
#[derive(Debug, Clone)]
pub struct File {
    pub source: Source,
    /// In the order of the file. Their keys and values are not judged yet.
    pub apps: Vec<RawApp>,
}

/// Reads a file's text. A file without an app is an error: nobody means to start nothing.
pub fn parse_toml(source: Source) -> Result<File, Errors> {
    let (file, faults) = read(source);
    match Errors::place(faults, Some(&file.source)) {
        None => Ok(file),
        Some(errors) => Err(errors),
    }
}

/// The same, with the faults still unplaced, so that those of the apps can join them.
pub(super) fn read(mut source: Source) -> (File, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut secrets = Vec::new();
    let mut apps = Vec::new();
    {
        let (document, errors) = DeTable::parse_recoverable(source.text());
        if errors.is_empty() {
            let top = entries(document.get_ref());
            collect_apps(&top, &mut apps, &mut faults, &mut secrets);
        } else {
            // What the parser makes of broken text is guesswork: only its own errors are worth showing.
            faults = syntax_faults(source.text(), &errors);
        }
    }
    source.hide(secrets);
    (File { source, apps }, faults)
}

fn collect_apps(top: &[Entry], apps: &mut Vec<RawApp>, faults: &mut Vec<Fault>, secrets: &mut Vec<Range<usize>>) {
    let before = faults.len();
    for entry in top {
        match (entry.key.as_str(), &entry.node.value) {
            ("app", Value::List(items)) => {
                for item in items {
                    match &item.value {
                        Value::Table(keys) => {
                            hide_secrets(keys, secrets);
                            apps.push(RawApp { entries: keys.clone(), span: item.span.clone() });
                        }
                        other => {
                            let problem = format!("each app is a table, not {}", other.type_name());
                            faults.push(
                                Fault::new(item.span.clone(), problem, "write `[[app]]` and its keys below").key("app"),
                            );
                        }
                    }
                }
            }
            ("app", other) => {
                hide(&entry.node, secrets);
                let problem = match other {
                    Value::Table(_) => "apps stand in a list, and this is one table".to_owned(),
                    other => format!("must be a list of tables, not {}", other.type_name()),
                };
                faults.push(
                    Fault::new(entry.node.span.clone(), problem, "write `[[app]]`, with two brackets").key("app"),
                );
            }
            (key, _) => {
                hide_secrets(std::slice::from_ref(entry), secrets);
                faults.push(Fault::new(entry.key_span.clone(), "unknown key", top_mend(key)).key(key));
            }
        }
    }
    if apps.is_empty() && faults.len() == before {
        let mend = "write `[[app]]`, and on the next line `run = \"server.js\"`";
        faults.push(Fault::new(None, "no app in this file", mend));
    }
}

fn top_mend(key: &str) -> String {
    match (keys::find(key), nearest(key, ["app"])) {
        (Some(_), _) => "it belongs to an app: write `[[app]]` on a line above it".to_owned(),
        (None, Some(_)) => "did you mean `[[app]]`?".to_owned(),
        (None, None) => "only `[[app]]` can stand here".to_owned(),
    }
}

/// Values that an error's excerpt must not show: variables, and what was perhaps meant to be some.
fn hide_secrets(keys: &[Entry], secrets: &mut Vec<Range<usize>>) {
    for Entry { key, node, .. } in keys {
        let variables = key == "env" || key == "profile";
        let unknown = keys::find(key).is_none();
        let like_variables = key.to_lowercase().contains("env") || matches!(node.value, Value::Table(_));
        if variables || (unknown && like_variables) {
            hide(node, secrets);
        }
    }
}

/// Hides values and leaves the keys of tables.
fn hide(node: &Node, secrets: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(entries) => entries.iter().for_each(|entry| hide(&entry.node, secrets)),
        // Of a list of tables, as `[[env]]` makes one, the span is a header's; the values stand elsewhere.
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
            items.iter().for_each(|item| hide(item, secrets));
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::List(_) => {
            secrets.extend(node.span.clone());
        }
    }
}

/// The parser's tables are sorted by name; a file's order is that of its keys.
pub(super) fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().clone().into_owned(),
            key_span: Some(key.span()),
            node: Node { value: convert(value.get_ref()), span: Some(value.span()) },
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.as_ref().map(|span| span.start));
    entries
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Str(text.clone().into_owned()),
        DeValue::Boolean(b) => Value::Bool(*b),
        // A number that does not fit stays a number, and no key takes one with a fraction.
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Value::Int(n),
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(x) => Value::Float(x.as_str().parse().unwrap_or(f64::NAN)),
        // No key takes a date. As a variable's value it is the text that was written.
        DeValue::Datetime(date) => Value::Str(date.to_string()),
        DeValue::Array(items) => Value::List(
            items.iter().map(|item| Node { value: convert(item.get_ref()), span: Some(item.span()) }).collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table)),
    }
}

/// The parser's errors, one a line: those that follow on the same line come from its recovery, not from the person.
pub(super) fn syntax_faults(text: &str, errors: &[toml::de::Error]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut last_line = None;
    for error in errors {
        // More are not shown, and looking for secrets in each would take its time in a file of nothing but errors.
        if faults.len() == ERRORS_MAX {
            break;
        }
        let span = error.span().unwrap_or(0..0);
        let start = floor(text, span.start);
        let line = text[..start].rfind('\n');
        if last_line == Some(line) {
            continue;
        }
        last_line = Some(line);
        let hide_line = may_hold_secret(text, start);
        faults.push(Fault { hide_line, ..Fault::new(Some(span), format!("not TOML: {}", error.message()), "") });
    }
    faults
}

/// Broken text has no structure to tell a secret by. So: does the word `env` stand between the last table header and the
/// end of this line, header included? Hiding too much costs a look into the file; hiding too little costs the secret.
fn may_hold_secret(text: &str, offset: usize) -> bool {
    let end = text[offset..].find('\n').map_or(text.len(), |length| offset + length);
    let before = &text[..end];
    let header = before.match_indices('\n').map(|(at, _)| at + 1).rfind(|start| is_header(&before[*start..]));
    before[header.unwrap_or(0)..].to_lowercase().contains("env")
}

fn is_header(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim();
    let name = line.trim_start_matches('[').trim_end_matches(']');
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ' | '"');
    line.starts_with('[') && line.ends_with(']') && !name.is_empty() && name.chars().all(legal)
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
