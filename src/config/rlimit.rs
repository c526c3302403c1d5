//! The grammar of `rlimits`: names of setrlimit(2), each with one limit or two.
//! Owns: the names and the notation. Never: asks whether the owner may raise one; that needs the daemon's own limits.

use std::collections::BTreeMap;

use super::error::{Fault, nearest, quoted};
use super::fields::wrong_type;
use super::keys::Key;
use super::raw::{Node, Value};
use super::reader::Read;
use crate::model::quantity::Bytes;

/// A soft and a hard limit; None is infinity.
pub(super) type Pair = (Option<u64>, Option<u64>);

/// getrlimit(2), in lower case and without `RLIMIT_`.
const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

const MEND: &str = "use a number, \"infinity\", or \"soft:hard\"";

pub(super) fn rlimits(key: &Key, node: &Node) -> Read<BTreeMap<String, Pair>> {
    let Value::Table(entries) = &node.value else { return wrong_type(key, node) };
    let mut out = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in entries {
        let path = format!("rlimits.{}", entry.key);
        if !NAMES.contains(&entry.key.as_str()) {
            let mend = match nearest(&entry.key, NAMES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of {}", NAMES.join(", ")),
            };
            faults.push(Fault::new(entry.key_span.clone(), "unknown limit", mend).key(path));
            continue;
        }
        match pair(&entry.node.value) {
            Some((Some(soft), Some(hard))) if soft > hard => {
                let problem = format!("the soft limit {soft} is above the hard limit {hard}");
                faults.push(Fault::new(entry.node.span.clone(), problem, "write the soft one first").key(path));
            }
            Some((None, Some(_))) => {
                let problem = "the soft limit is above the hard limit";
                faults.push(Fault::new(entry.node.span.clone(), problem, "write the soft one first").key(path));
            }
            Some(pair) => drop(out.insert(entry.key.clone(), pair)),
            None => {
                let problem = match &entry.node.value {
                    Value::Str(text) => format!("{} is not a limit", quoted(text)),
                    Value::Int(n) => format!("{n} is not a limit"),
                    other => format!("cannot be {}", other.type_name()),
                };
                faults.push(Fault::new(entry.node.span.clone(), problem, MEND).key(path));
            }
        }
    }
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

fn pair(value: &Value) -> Option<Pair> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok().map(|n| (Some(n), Some(n))),
        Value::Str(text) => match text.split_once(':') {
            Some((soft, hard)) => Some((limit(soft)?, limit(hard)?)),
            None => limit(text).map(|limit| (limit, limit)),
        },
        Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => None,
    }
}

/// The outer None: not a limit; the inner: infinity.
fn limit(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "infinity" | "unlimited" => Some(None),
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
        other => Bytes::parse(other).ok().map(|Bytes(n)| Some(n)),
    }
}

/// As `rlimits` reads it back.
pub(super) fn write((soft, hard): Pair) -> Value {
    let text = |limit: Option<u64>| limit.map_or_else(|| "infinity".to_owned(), |n| n.to_string());
    match (soft, hard) {
        (Some(soft), Some(hard)) if soft == hard => {
            i64::try_from(soft).map_or_else(|_| Value::Str(soft.to_string()), Value::Int)
        }
        (None, None) => "infinity".into(),
        (soft, hard) => Value::Str(format!("{}:{}", text(soft), text(hard))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_as_they_were_meant() {
        for (value, meant) in [
            (Value::Int(65536), (Some(65536), Some(65536))),
            ("1024:65536".into(), (Some(1024), Some(65536))),
            ("0:infinity".into(), (Some(0), None)),
            ("unlimited".into(), (None, None)),
            ("64M".into(), (Some(64 << 20), Some(64 << 20))),
            ("18446744073709551615".into(), (Some(u64::MAX), Some(u64::MAX))),
        ] {
            assert_eq!(pair(&value), Some(meant));
            assert_eq!(pair(&write(meant)), Some(meant));
        }
        for value in [Value::Int(-1), "".into(), ":".into(), "1:2:3".into(), "-1".into(), "many".into()] {
            assert_eq!(pair(&value), None, "{value}");
        }
    }
}
