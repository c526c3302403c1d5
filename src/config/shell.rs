//! Command lines: when a shell is needed, and what it is told.
//! Owns: telling one command from several, and quoting.
//! Never: looks a program up or runs anything.

/// What a command line amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Words with nothing for a shell to do: the program and its arguments.
    Words(Vec<String>),
    /// One command that needs a shell to read it. The text begins with `exec`, so the shell makes way for it.
    Single(String),
    /// Several commands, or one of the shell's own: the shell stays in front of them.
    Several(String),
    /// A quote is not closed.
    Unclosed,
}

/// What a shell does itself, or reads as grammar: `exec` before it would fail or cut the rest off.
const OWN_WORDS: &str = "! . : [[ alias bg break builtin case cd command continue declare do done elif else esac eval \
    exec exit export fg fi for function getopts hash if jobs let local read readonly return select set shift source then \
    time times trap type typeset ulimit umask unalias unset until wait while {";

/// Sorts a command line.
pub(super) fn sort(line: &str) -> Line {
    let line = line.trim();
    let Some(several) = has_operator(line) else { return Line::Unclosed };
    let first = line.split_whitespace().next().unwrap_or_default();
    let own = OWN_WORDS.split_whitespace().any(|word| word == first);
    if several || own {
        return Line::Several(line.to_owned());
    }
    if assigns(first) {
        // `exec A=1 program` looks for a program named "A=1"; env(1) is everywhere.
        return Line::Single(format!("exec env {line}"));
    }
    if line.contains(|c: char| c != ' ' && c != '\t' && special(c)) {
        return Line::Single(format!("exec {line}"));
    }
    Line::Words(line.split_whitespace().map(str::to_owned).collect())
}

/// Whether a text can be anything but the name of one program.
pub(super) fn is_command_line(text: &str) -> bool {
    text.contains(special)
}

fn special(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "|&;<>()$`\\\"'*?[]#~{}!".contains(c)
}

/// Whether an unquoted `;`, `|`, `&`, newline, parenthesis or comment stands in it. None: a quote is not closed.
fn has_operator(line: &str) -> Option<bool> {
    let mut quote = None;
    let mut escaped = false;
    let mut previous = ' ';
    let mut found = false;
    for c in line.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            // What a substitution runs inside double quotes is its own affair: it ends before the command begins.
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            // `2>&1` is a redirection.
            (None, '&') => found |= !matches!(previous, '>' | '<'),
            (None, ';' | '|' | '\n' | '(' | ')' | '`') => found = true,
            (None, '#') => found |= previous.is_whitespace(),
            (None, _) => {}
        }
        previous = c;
    }
    (quote.is_none() && !escaped).then_some(found)
}

/// `NAME=value`, which sets a variable for the command after it.
pub(super) fn assigns(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Arguments as a person would type them.
pub(super) fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    if word.is_empty() || is_command_line(word) {
        format!("'{}'", word.replace('\'', "'\\''"))
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_need_no_shell() {
        assert_eq!(
            sort(" node  server.js --port=80 "),
            Line::Words(vec!["node".into(), "server.js".into(), "--port=80".into()])
        );
    }

    #[test]
    fn one_command_replaces_its_shell() {
        for line in ["node \"a b.js\"", "node x > /dev/null 2>&1", "bash -c 'a; b && c'", "node $FILE", "echo a\\;b"] {
            assert_eq!(sort(line), Line::Single(format!("exec {line}")));
        }
        assert_eq!(sort("A=1 node x"), Line::Single("exec env A=1 node x".into()));
    }

    #[test]
    fn a_shell_stays_in_front_of_several_commands() {
        for line in [
            "a && b",
            "a; b",
            "a | b",
            "cd x",
            "exec node x",
            "for i in 1; do a; done",
            "(a)",
            "a &",
            "a # b",
            "a\nb",
            "! a",
        ] {
            assert_eq!(sort(line), Line::Several(line.into()), "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_noticed() {
        for line in ["a 'b", "a \"b", "a \\", "a '\\'' b"] {
            assert_eq!(sort(line), Line::Unclosed, "{line}");
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        assert_eq!(join(["a", "", "b c", "it's", "-x=1"]), r"a '' 'b c' 'it'\''s' -x=1");
    }
}
