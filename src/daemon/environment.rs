//! What environment an app gets: a fixed base, then its `env_file`, then its `env` (architecture section 7).
//! Owns: the grammar of an environment file. Never: passes anything of the daemon's own environment on.

use std::collections::BTreeMap;

use crate::model::ids::InstanceId;
use crate::model::spec::AppSpec;

/// Debian's and Fedora's default for services and logins alike.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part of a user's record that an environment shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person<'a> {
    pub name: &'a str,
    pub home: &'a str,
    pub shell: &'a str,
}

/// The environment of one run, sorted, as `K=V`. `file` holds what `env_file` says, `extra` what stead adds for its own
/// channels; neither of the instance's own variables can be overridden by a file.
pub fn compose(
    spec: &AppSpec,
    instance: &InstanceId,
    person: &Person<'_>,
    file: &BTreeMap<String, String>,
    extra: &[(&str, String)],
) -> Vec<String> {
    let mut env: BTreeMap<&str, &str> = BTreeMap::from([
        ("PATH", PATH),
        ("HOME", person.home),
        ("USER", person.name),
        ("LOGNAME", person.name),
        ("SHELL", person.shell),
        ("LANG", "C.UTF-8"),
        // Go listens with MPTCP since 1.24, and such a socket cannot be routed, only shared by the kernel's hash.
        ("GODEBUG", "multipathtcp=0"),
    ]);
    env.extend(file.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    env.extend(spec.env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let slot = instance.slot.to_string();
    let shown = instance.to_string();
    let counted = spec.increment_var.as_deref().map(|name| {
        // Not a number can it be in an `env_file` only, which is read after the spec was checked.
        let first = env.get(name).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        (name, first.saturating_add(instance.slot.0.into()).to_string())
    });
    env.extend(counted.iter().map(|(name, value)| (*name, value.as_str())));
    env.insert("STEAD_APP", instance.app.as_str());
    env.insert("STEAD_INSTANCE", &shown);
    env.insert(&spec.instance_var, &slot);
    env.extend(extra.iter().map(|(k, v)| (*k, v.as_str())));
    env.iter().map(|(k, v)| format!("{k}={v}")).collect()
}

/// Why an environment file was refused. Never shows a value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    pub line: usize,
    pub why: &'static str,
}

/// `KEY=VALUE` a line; blank lines and `#` comments are passed over; `export` before a key is allowed; a value may stand
/// in single quotes (as it is) or double quotes (`\n`, `\"`, `\\` understood). Nothing is expanded.
pub fn parse_file(text: &str) -> Result<BTreeMap<String, String>, BadLine> {
    let mut env = BTreeMap::new();
    for (index, raw) in text.lines().enumerate() {
        let wrong = |why| BadLine { line: index + 1, why };
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (key, value) = line.split_once('=').ok_or(wrong("no \"=\"; write KEY=VALUE"))?;
        let key = key.trim_end();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) || !key.chars().all(legal) {
            return Err(wrong("the part before \"=\" is no variable's name: use letters, digits and \"_\""));
        }
        let value = unquote(value.trim()).map_err(wrong)?;
        if value.contains('\0') {
            return Err(wrong("the value contains a NUL byte, which no environment can hold"));
        }
        env.insert(key.to_owned(), value);
    }
    Ok(env)
}

fn unquote(value: &str) -> Result<String, &'static str> {
    const OPEN: &str = "the quote is not closed";
    if let Some(rest) = value.strip_prefix('\'') {
        return Ok(rest.strip_suffix('\'').ok_or(OPEN)?.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        // A comment after an unquoted value begins at " #".
        return Ok(value.split(" #").next().unwrap_or_default().trim_end().to_owned());
    };
    let mut out = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next().ok_or(OPEN)? {
            '"' => break,
            '\\' => match chars.next().ok_or(OPEN)? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other @ ('"' | '\\' | '$') => out.push(other),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
    match chars.as_str().trim() {
        "" => Ok(out),
        rest if rest.starts_with('#') => Ok(out),
        _ => Err("there is text after the closing quote"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_forms_of_an_environment_file_are_read() {
        let text = "# comment\n\nA=1\nexport B = two words # note\nC='as $is'\nD=\"x\\n\\\"y\\\"\" # z\nE=\n";
        let env = parse_file(text).unwrap();
        let expected = [("A", "1"), ("B", "two words"), ("C", "as $is"), ("D", "x\n\"y\""), ("E", "")];
        assert_eq!(env, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn a_wrong_line_is_named_and_its_value_is_not_shown() {
        for (text, line) in [("A=1\nSECRET", 2), ("1A=x", 1), ("=x", 1), ("A='x", 1), ("A=\"x", 1), ("A=\"x\" y", 1)] {
            let error = parse_file(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(!error.to_string().contains("SECRET"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text in "\\PC*") {
            let _ = parse_file(&text);
        }
    }
}
