//! What is wrong with a config, said so that the reader can mend it.
//! Owns: the shape of every config error, on a terminal and over D-Bus.
//! Never: contains the value of an environment variable.
//!
//!     web.toml:7:14: `memory_max`: unknown unit "Q" in "64Q"
//!       7 | memory_max = "64Q"
//!         |              ^^^^^ use B, K, M, G or T, as in "64M"

use std::fmt;
use std::ops::Range;

use super::excerpt::{Excerpt, unprintable};
use super::source::{FILE_MAX, Source};

/// How many errors of one config are shown. A file with more is not the file somebody meant.
pub(super) const ERRORS_MAX: usize = 100;

/// Everything that is wrong, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<ConfigError>);

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// None for what stands in no file: a flag, a value that came over D-Bus.
    pub place: Option<Place>,
    /// The app, as far as it is known; shown only where there is no line.
    pub app: Option<String>,
    /// The key's path, `memory_max` or `env.PORT`.
    pub key: Option<String>,
    pub problem: String,
    /// What to do about it; may be empty if the problem says it.
    pub mend: String,
}

/// Where in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// Line and column from 1, columns in characters. None if the file as a whole is meant.
    pub at: Option<(usize, usize)>,
    /// None where the line could show a secret.
    pub excerpt: Option<Excerpt>,
}

/// A mistake whose place is still a span. Placed all together at the end, so that a file of errors costs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub span: Option<Range<usize>>,
    pub app: Option<String>,
    pub key: Option<String>,
    pub problem: String,
    pub mend: String,
    /// The line is not shown: it could not be parsed, and may hold a secret.
    pub hide_line: bool,
}

impl Fault {
    pub fn new(span: Option<Range<usize>>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Fault { span, app: None, key: None, problem: problem.into(), mend: mend.into(), hide_line: false }
    }

    pub fn key(self, key: impl Into<String>) -> Self {
        Fault { key: Some(key.into()), ..self }
    }
}

impl Errors {
    /// Sorts by place and drops what is beyond `ERRORS_MAX`. None if there is no fault.
    pub(super) fn place(mut faults: Vec<Fault>, source: Option<&Source>) -> Option<Self> {
        if faults.is_empty() {
            return None;
        }
        // Faults without a span are about the whole, and come first; the sort is stable.
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| span.start));
        let more = faults.len().saturating_sub(ERRORS_MAX);
        let mut errors: Vec<_> = faults.into_iter().take(ERRORS_MAX).map(|fault| fault.place(source)).collect();
        if more > 0 {
            let file = source.map(|source| Place { file: source.name.clone(), at: None, excerpt: None });
            errors.push(ConfigError::whole(file, format!("{more} more errors"), "mend these first"));
        }
        Some(Errors(errors))
    }

    /// A file larger than `FILE_MAX`, for whoever reads it and stops there.
    pub fn too_big(name: &str) -> Self {
        let problem = format!("larger than {} MiB, which no config is", FILE_MAX >> 20);
        Self::file(name, None, problem, "is this the right file?")
    }

    /// A file with NUL bytes in it.
    pub fn binary(name: &str) -> Self {
        Self::file(name, None, "a binary file, not TOML text".to_owned(), "is this the right file?")
    }

    /// A file that stops being UTF-8 at a line and column.
    pub fn not_utf8(name: &str, line: usize, column: usize, byte: u8) -> Self {
        Self::file(name, Some((line, column)), format!("byte 0x{byte:02x} is not UTF-8 text"), "save the file as UTF-8")
    }

    fn file(name: &str, at: Option<(usize, usize)>, problem: String, mend: &str) -> Self {
        let place = Place { file: name.to_owned(), at, excerpt: None };
        Errors(vec![ConfigError::whole(Some(place), problem, mend)])
    }
}

impl Fault {
    fn place(self, source: Option<&Source>) -> ConfigError {
        let place = match (source, &self.span) {
            (Some(source), Some(span)) => Some(Place {
                file: source.name.clone(),
                at: Some(source.position(span.start)),
                excerpt: (!self.hide_line).then(|| Excerpt::of(source, span)),
            }),
            // What is wrong with an app that has a file, but not at a place of it: a flag over the file, say.
            (Some(source), None) if self.key.is_none() => {
                Some(Place { file: source.name.clone(), at: None, excerpt: None })
            }
            _ => None,
        };
        ConfigError { place, app: self.app, key: self.key, problem: self.problem, mend: self.mend }
    }
}

impl ConfigError {
    fn whole(place: Option<Place>, problem: String, mend: &str) -> Self {
        ConfigError { place, app: None, key: None, problem, mend: mend.to_owned() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = String::new();
        match &self.place {
            Some(Place { file, at: Some((line, column)), .. }) => head += &format!("{file}:{line}:{column}: "),
            Some(Place { file, at: None, .. }) => {
                head += &format!("{file}: ");
                head.extend(self.app.iter().map(|app| format!("{app}: ")));
            }
            None => head.extend(self.app.iter().map(|app| format!("{app}: "))),
        }
        head.extend(self.key.iter().map(|key| format!("`{key}`: ")));
        head += &self.problem;
        f.write_str(&printable(&head))?;
        let mend = printable(&self.mend);
        match &self.place {
            Some(Place { at: Some((line, _)), excerpt: Some(excerpt), .. }) => {
                let number = line.to_string();
                write!(f, "\n  {number} | {}", excerpt.text)?;
                let (blank, indent, carets) =
                    (" ".repeat(number.len()), " ".repeat(excerpt.caret), "^".repeat(excerpt.length));
                write!(f, "\n  {blank} | {indent}{carets}")?;
                if mend.is_empty() { Ok(()) } else { write!(f, " {mend}") }
            }
            _ if mend.is_empty() => Ok(()),
            _ => write!(f, ": {mend}"),
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Messages repeat what a person wrote, and that may hold anything, at any length.
fn printable(text: &str) -> String {
    const MAX: usize = 400;
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == MAX {
            out.push('…');
            break;
        }
        if unprintable(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// What a person wrote, in quotes and not longer than a message can bear.
pub(super) fn quoted(text: &str) -> String {
    const MAX: usize = 60;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

/// The nearest of `known`, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Found by trying: it takes `memry_max` for `memory_max` and `restrat` for `restart`, but not `watch` for `umask`.
    let given = given.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.84)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
