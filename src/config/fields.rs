//! The grammar of each kind of value.
//! Owns: the way from an untyped value to a typed one, and what to say when it cannot be gone.
//! Never: looks at a second key; rules between keys are `resolve`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Fault, nearest, quoted};
use super::keys::{Key, Kind};
use super::raw::{Node, Value};
use super::reader::Read;
use crate::model::ids::{APP_NAME_MAX, AppName, BadName};
use crate::model::quantity::{BadQuantity, Bytes, CpuPercent, Surge, parse_span};
use crate::model::request::INSTANCES_MAX;
use crate::model::signal::Signal;
use crate::model::spec::INSTANCE_VAR;

pub(super) fn fail<T>(problem: impl Into<String>, mend: impl Into<String>) -> Read<T> {
    Err(vec![Fault::new(None, problem, mend)])
}

pub(super) fn wrong_type<T>(key: &Key, node: &Node) -> Read<T> {
    fail(format!("cannot be {}", node.value.type_name()), format!("use {}", key.kind.wanted()))
}

fn quantity<T>(result: Result<T, BadQuantity>) -> Read<T> {
    result.or_else(|bad| fail(bad.problem, bad.mend))
}

/// No string of an app may hold a NUL: execve(2) and open(2) would end it there.
fn without_nul(text: &str) -> Read<&str> {
    if text.contains('\0') { fail("holds a NUL character", "take it out") } else { Ok(text) }
}

pub(super) fn text(key: &Key, node: &Node) -> Read<String> {
    match &node.value {
        Value::Str(text) if text.trim().is_empty() => {
            fail("is empty", format!("give {}, or leave the key out", key.kind.wanted()))
        }
        Value::Str(text) => without_nul(text).map(str::to_owned),
        _ => wrong_type(key, node),
    }
}

/// Makes a path absolute. `.` and doubled slashes go; `..` stays, since only the kernel knows what it means behind a
/// symbolic link.
pub(super) fn path(base: &str) -> impl Fn(&Key, &Node) -> Read<String> + '_ {
    move |key, node| {
        let path = text(key, node)?;
        if path == "~" || path.starts_with("~/") {
            return fail("\"~\" has no meaning here", "write the whole path");
        }
        Ok(absolute(base, &path))
    }
}

pub(super) fn absolute(base: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let parts: Vec<_> = joined.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// No `..` in these: which of two lies within the other is read off their text.
pub(super) fn paths(base: &str) -> impl Fn(&Key, &Node) -> Read<Vec<String>> + '_ {
    move |key, node| {
        let Value::List(items) = &node.value else { return wrong_type(key, node) };
        each(items, |item| {
            let Value::Str(_) = item.value else {
                return fail(format!("a list of paths cannot hold {}", item.value.type_name()), "put it in quotes");
            };
            let path = path(base)(key, item)?;
            match path.split('/').any(|part| part == "..") {
                true => fail(format!("{} has \"..\" in it", quoted(&path)), "write the path without it"),
                false => Ok(path),
            }
        })
    }
}

/// Empty texts are legal in a list: an argument may be empty.
pub(super) fn words(key: &Key, node: &Node) -> Read<Vec<String>> {
    let Value::List(items) = &node.value else { return wrong_type(key, node) };
    each(items, |item| match &item.value {
        Value::Str(text) => without_nul(text).map(str::to_owned),
        other => fail(format!("a list of texts cannot hold {}", other.type_name()), "put it in quotes"),
    })
}

/// Every item or every fault, each placed at its item.
pub(super) fn each<T>(items: &[Node], read: impl Fn(&Node) -> Read<T>) -> Read<Vec<T>> {
    let mut out = Vec::with_capacity(items.len());
    let mut faults = Vec::new();
    for item in items {
        match read(item) {
            Ok(value) => out.push(value),
            Err(wrong) => faults.extend(wrong.into_iter().map(|fault| Fault { span: item.span.clone(), ..fault })),
        }
    }
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

pub(super) fn boolean(key: &Key, node: &Node) -> Read<bool> {
    match node.value {
        Value::Bool(b) => Ok(b),
        _ => wrong_type(key, node),
    }
}

/// A whole number within the key's bounds.
pub(super) fn count(key: &Key, node: &Node) -> Read<i64> {
    let Kind::Count { min, max } = key.kind else { return wrong_type(key, node) };
    match node.value {
        Value::Int(n) if (min..=max).contains(&n) => Ok(n),
        Value::Int(n) => fail(format!("{n} is out of range"), format!("use {}", key.kind.wanted())),
        _ => wrong_type(key, node),
    }
}

/// The place of the word among the key's choices.
pub(super) fn choice<T: Copy>(values: &'static [(&'static str, T)]) -> impl Fn(&Key, &Node) -> Read<T> {
    move |key, node| {
        let Value::Str(word) = &node.value else { return wrong_type(key, node) };
        match values.iter().find(|(name, _)| name == word) {
            Some((_, value)) => Ok(*value),
            None => fail(format!("unknown value {}", quoted(word)), format!("use {}", key.kind.wanted())),
        }
    }
}

/// true, false, or one of the key's words; the two come as words of `values`, too.
pub(super) fn switch<T: Copy>(values: &'static [(&'static str, T)]) -> impl Fn(&Key, &Node) -> Read<T> {
    move |key, node| {
        let found = match &node.value {
            Value::Bool(on) => values.iter().find(|(name, _)| *name == if *on { "true" } else { "false" }),
            Value::Str(word) => values.iter().find(|(name, _)| name == word && !matches!(*name, "true" | "false")),
            _ => return wrong_type(key, node),
        };
        match found {
            Some((_, value)) => Ok(*value),
            None => fail(format!("unknown value {}", node.value), format!("use {}", key.kind.wanted())),
        }
    }
}

/// A bare 0 needs no unit. Any other bare number does: people mean different ones by it.
fn with_unit<T>(key: &Key, node: &Node, parse: impl Fn(&str) -> Result<T, BadQuantity>) -> Read<T> {
    match &node.value {
        Value::Str(text) => quantity(parse(text)),
        Value::Int(n) => quantity(parse(&n.to_string())),
        _ => wrong_type(key, node),
    }
}

pub(super) fn bytes(key: &Key, node: &Node) -> Read<Bytes> {
    with_unit(key, node, Bytes::parse)
}

/// A limit of memory. One so small that no program starts under it is a slip.
pub(super) fn memory(key: &Key, node: &Node) -> Read<Bytes> {
    const LEAST: u64 = 64 << 10;
    match bytes(key, node)? {
        Bytes(n) if n < LEAST => {
            fail("less than any program needs", "give at least 64K, or leave the key out for no limit")
        }
        bytes => Ok(bytes),
    }
}

/// Whole milliseconds: the finest that is ever shown, so that what is shown is what is meant.
pub(super) fn span(key: &Key, node: &Node) -> Read<Duration> {
    let exact = with_unit(key, node, parse_span)?;
    let millis = (exact.as_nanos() + 500_000) / 1_000_000;
    let millis = if exact.is_zero() { 0 } else { millis.max(1) };
    Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

pub(super) fn cpu(key: &Key, node: &Node) -> Read<CpuPercent> {
    with_unit(key, node, CpuPercent::parse)
}

pub(super) fn surge(key: &Key, node: &Node) -> Read<Surge> {
    with_unit(key, node, Surge::parse)
}

pub(super) fn signal(key: &Key, node: &Node) -> Read<Signal> {
    match &node.value {
        Value::Str(text) => Signal::parse(text)
            .or_else(|_| fail(format!("unknown signal {}", quoted(text)), "use a name such as \"SIGTERM\" or \"HUP\"")),
        Value::Int(n) => Signal::parse(&n.to_string())
            .or_else(|_| fail(format!("no signal has the number {n}"), "use a name such as \"SIGTERM\"")),
        _ => wrong_type(key, node),
    }
}

/// The name of an app or of a namespace.
pub(super) fn name(key: &Key, node: &Node) -> Read<AppName> {
    let Value::Str(text) = &node.value else { return wrong_type(key, node) };
    AppName::parse(text).or_else(|bad| {
        let text = quoted(text);
        match bad {
            BadName::Empty => fail("is empty", "use letters, digits, \".\", \"_\" and \"-\""),
            BadName::TooLong(_) => {
                fail(format!("{text} is too long"), format!("use at most {APP_NAME_MAX} characters"))
            }
            BadName::Character { name, found } if name.starts_with(found) && matches!(found, '.' | '-') => {
                fail(format!("{text} begins with {found:?}"), "begin with a letter, a digit or \"_\"")
            }
            BadName::Character { found, .. } => {
                fail(format!("{text} contains {found:?}"), "use letters, digits, \".\", \"_\" and \"-\"")
            }
            BadName::DotDot(_) => fail(format!("{text} contains \"..\""), "use one dot"),
            BadName::All => fail(format!("{text} selects every app, and cannot name one"), "use another name"),
            BadName::Digits(_) => fail(format!("{text} selects an instance by its id"), "add a letter"),
        }
    })
}

/// How many instances; `max` and 0 mean one for each CPU.
pub(super) fn instances(cpus: u32) -> impl Fn(&Key, &Node) -> Read<u32> {
    move |key, node| match &node.value {
        Value::Int(0) => Ok(cpus.clamp(1, INSTANCES_MAX)),
        Value::Str(text) if text == "max" => Ok(cpus.clamp(1, INSTANCES_MAX)),
        Value::Int(n) => match u32::try_from(*n) {
            Ok(n) if n <= INSTANCES_MAX => Ok(n),
            _ => fail(format!("{n} is out of range"), format!("use {}", key.kind.wanted())),
        },
        Value::Str(text) => {
            fail(format!("{} is not a number of instances", quoted(text)), format!("use {}", key.kind.wanted()))
        }
        _ => wrong_type(key, node),
    }
}

pub(super) fn umask(key: &Key, node: &Node) -> Read<u32> {
    let Value::Str(text) = &node.value else { return wrong_type(key, node) };
    let octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(text, 8) {
        Ok(mask) if octal && mask <= 0o777 => Ok(mask),
        _ => fail(format!("{} is not a file mode mask", quoted(text)), "use three octal digits, as in \"022\""),
    }
}

/// A user or group. Whether there is one of that name is known where it is looked up.
pub(super) fn account(key: &Key, node: &Node) -> Read<String> {
    match &node.value {
        Value::Int(n) if u32::try_from(*n).is_ok_and(|id| id != u32::MAX) => Ok(n.to_string()),
        Value::Int(n) => fail(format!("no user or group has the number {n}"), "use a number from 0 to 4294967294"),
        Value::Str(text) => {
            let legal = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | '/' | ',');
            if !text.is_empty() && text.len() <= 256 && text.chars().all(legal) {
                Ok(text.clone())
            } else {
                fail(format!("{} cannot be the name of a user or group", quoted(text)), "use a name as in /etc/passwd")
            }
        }
        _ => wrong_type(key, node),
    }
}

pub(super) fn accounts(key: &Key, node: &Node) -> Read<Vec<String>> {
    let Value::List(items) = &node.value else { return wrong_type(key, node) };
    each(items, |item| account(key, item))
}

/// Variables that every app gets of stead: who it is, where it says that it is ready,
/// and which sockets it is given.
pub const RESERVED: [&str; 8] = [
    "STEAD_APP",
    "STEAD_INSTANCE",
    "NODE_APP_INSTANCE",
    "NOTIFY_SOCKET",
    "NODE_CHANNEL_FD",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// The name of a variable that stead sets for each instance.
pub(super) fn variable(key: &Key, node: &Node) -> Read<String> {
    let name = text(key, node)?;
    if name.contains('=') || name.contains(char::is_whitespace) {
        return fail(format!("{} is not the name of a variable", quoted(&name)), "write it as in \"WORKER_NUMBER\"");
    }
    match RESERVED.contains(&name.as_str()) && name != INSTANCE_VAR {
        true => fail(format!("stead sets {} itself, to something else", quoted(&name)), "use another name"),
        false => Ok(name),
    }
}

/// Variables. No message repeats a value.
pub(super) fn env(_: &Key, node: &Node) -> Read<BTreeMap<String, String>> {
    let Value::Table(entries) = &node.value else {
        return fail(
            format!("cannot be {}", node.value.type_name()),
            "write `[app.env]`, and below it `NAME = \"value\"`",
        );
    };
    let mut out = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in entries {
        let name = entry.key.as_str();
        let key = format!("env.{name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            let fault =
                Fault::new(entry.key_span.clone(), "not the name of a variable", "it cannot be empty or hold \"=\"");
            faults.push(fault.key(key));
            continue;
        }
        if RESERVED.contains(&name) {
            let fault = Fault::new(entry.key_span.clone(), "stead sets this one itself", "leave it out, or rename it");
            faults.push(fault.key(key));
            continue;
        }
        let wrong = |problem: String, mend: &str| Fault::new(entry.node.span.clone(), problem, mend).key(key.clone());
        match &entry.node.value {
            Value::Str(text) if text.contains('\0') => {
                faults.push(wrong("holds a NUL character".into(), "take it out"))
            }
            Value::Str(text) => drop(out.insert(name.to_owned(), text.clone())),
            Value::Int(n) => drop(out.insert(name.to_owned(), n.to_string())),
            Value::Bool(b) => drop(out.insert(name.to_owned(), b.to_string())),
            // 1.10 would become "1.1".
            Value::Float(_) => {
                faults.push(wrong("a number with a fraction has several spellings".into(), "put it in quotes"))
            }
            other @ (Value::List(_) | Value::Table(_)) => {
                faults.push(wrong(format!("cannot be {}", other.type_name()), "a variable is text: put it in quotes"));
            }
        }
    }
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

/// capabilities(7), in the order of the kernel.
const CAPABILITIES: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP \
    LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT \
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE \
    AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF \
    CHECKPOINT_RESTORE";

/// Capabilities in their full spelling; `net_bind_service` is taken too.
pub(super) fn capabilities(key: &Key, node: &Node) -> Read<Vec<String>> {
    let Value::List(items) = &node.value else { return wrong_type(key, node) };
    each(items, |item| {
        let Value::Str(text) = &item.value else { return wrong_type(key, item) };
        let upper = text.to_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if CAPABILITIES.split_whitespace().any(|known| known == name) {
            return Ok(format!("CAP_{name}"));
        }
        let mend = match nearest(name, CAPABILITIES.split_whitespace()) {
            Some(near) => format!("did you mean \"CAP_{near}\"?"),
            None => "use a name of capabilities(7), as \"CAP_NET_BIND_SERVICE\"".to_owned(),
        };
        fail(format!("unknown capability {}", quoted(text)), mend)
    })
}
