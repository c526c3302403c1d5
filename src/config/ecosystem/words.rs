//! Names and argument strings in PM2's spelling.
//! Owns: how PM2 splits a string of arguments, and the name of ours that stands for one of its.

use crate::model::ids::{APP_NAME_MAX, AppName};

/// Splits as PM2 does, which is not as a shell does: a quoted part is a word of its own, without its quotes, but for one
/// behind `NAME=`, which keeps them and the space in them.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = assigned(rest)
            .or_else(|| quoted(rest, first))
            .unwrap_or_else(|| rest.find(char::is_whitespace).unwrap_or(rest.len()));
        let (word, after) = rest.split_at(end);
        let inner =
            ['"', '\''].into_iter().find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(word);
        if !inner.trim().is_empty() {
            words.push(inner.to_owned());
        }
        rest = after.trim_start();
    }
    words
}

/// The length of `--name="some words"` at the beginning.
fn assigned(text: &str) -> Option<usize> {
    let equals = text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '='))?;
    let value = text[equals..].strip_prefix('=')?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let length = value[1..].find(quote)?;
    (equals > 0).then_some(equals + length + 3)
}

fn quoted(text: &str, quote: char) -> Option<usize> {
    matches!(quote, '"' | '\'').then(|| text[1..].find(quote).map(|length| length + 2))?
}

/// The name that an app has here: its own, or the nearest that is legal. The same text always gives the same name, so
/// that the old spelling can go on selecting the app.
pub fn legal_name(name: &str) -> String {
    if AppName::parse(name).is_ok() {
        return name.to_owned();
    }
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' };
    let mut legal: String = name.trim().chars().map(legal).collect();
    for doubled in ["..", "--"] {
        while legal.contains(doubled) {
            legal = legal.replace(doubled, &doubled[1..]);
        }
    }
    let legal = legal.trim_matches(['-', '.']);
    // Every character is ASCII by now, so bytes are characters.
    let legal = &legal[..legal.len().min(APP_NAME_MAX - 4)];
    let legal = if legal.is_empty() { "app" } else { legal };
    if AppName::parse(legal).is_ok() { legal.to_owned() } else { format!("app-{legal}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_arguments_is_split_as_pm2_does() {
        let cases: &[(&str, &[&str])] = &[
            ("--port 80  -v", &["--port", "80", "-v"]),
            ("\"a b\" 'c d' e", &["a b", "c d", "e"]),
            ("--name=\"a b\" x='c d'", &["--name=\"a b\"", "x='c d'"]),
            ("it's", &["it's"]),
            ("\"a\"b", &["a", "b"]),
            ("--x= y", &["--x=", "y"]),
            ("\"open a", &["\"open", "a"]),
            ("  ", &[]),
            ("\"\" a", &["a"]),
            ("{\"a\":1}", &["{\"a\":1}"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text), *words, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_none_here_becomes_the_nearest_that_is() {
        let cases = [
            ("api", "api"),
            ("My App", "My-App"),
            ("@acme/web", "acme-web"),
            ("prefix:name", "prefix-name"),
            ("all", "app-all"),
            ("42", "app-42"),
            ("日本", "app"),
            ("a..b", "a.b"),
            ("-x", "x"),
        ];
        for (name, legal) in cases {
            assert_eq!(legal_name(name), legal);
            assert!(AppName::parse(&legal_name(name)).is_ok());
        }
        assert!(AppName::parse(&legal_name(&"x y".repeat(99))).is_ok());
    }
}
