//! The arrows between modules and the rules of style that a machine can check, with file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom, by directory under `src`. Modules may always import themselves.
const ARROWS: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("sys", &[]),
    ("core", &["model"]),
    ("config", &["model"]),
    ("holder", &["sys"]),
    ("logs", &["model", "sys"]),
    ("metrics", &["model", "sys"]),
    ("balance", &["model", "sys"]),
    ("api", &["model", "core", "config"]),
    ("bus", &["api", "model"]),
    ("web", &["api", "model"]),
    // The screen is one of its commands, and knows nothing of the others.
    ("cli", &["model", "config", "bus::proxy", "tui"]),
    ("tui", &["model", "config", "bus::proxy"]),
    ("daemon", &["model", "sys", "core", "config", "holder", "logs", "metrics", "balance", "api", "bus", "web"]),
    ("bin", &["cli", "daemon", "holder"]),
    // The fuzzer's doors, in no build that is installed.
    ("fuzz.rs", &["config", "core", "daemon", "holder", "logs", "metrics", "model", "sys", "web"]),
];

/// Outside crates and parts of std that a module must not name, its tests excepted.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("model", NO_HANDS),
    ("core", NO_HANDS),
    ("config", NO_HANDS),
    // What the parent that does not die must not carry.
    (
        "holder",
        &["tokio", "zbus", "serde", "serde_json", "toml", "clap", "tracing", "cgroups_rs", "procfs", "seccompiler"],
    ),
];

const NO_HANDS: &[&str] =
    &["tokio", "zbus", "nix", "libc", "std::fs", "std::net", "std::process", "std::env", "std::thread"];

/// A file of `src`, and its text with comments and the insides of strings blanked out.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    /// `core` for `core/world.rs`; `lib.rs` for itself.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Where the unit tests begin.
    fn tests_at(&self) -> usize {
        self.code.find("#[cfg(test)]").unwrap_or(self.code.len())
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut directories, mut files) = (vec![root.clone()], Vec::<PathBuf>::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        Source { path, code: blank(&text), text }
    };
    files.iter().map(read).collect()
}

/// Comments and string contents become spaces; every other byte stays where it was.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut hide = |from: usize, to: usize| {
        for byte in &mut out[from..to.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let end = if rest.starts_with(b"//") {
            let end = at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            hide(at, end);
            end
        } else if rest.starts_with(b"/*") {
            let end = at + find(rest, b"*/").map_or(rest.len(), |n| n + 2);
            hide(at, end);
            end
        } else if let Some(hashes) = raw_string(rest, at.checked_sub(1).map(|n| bytes[n])) {
            let (open, close) = (hashes + 2, [b"\"".as_slice(), &b"#".repeat(hashes)].concat());
            let end = at + find(&rest[open..], &close).map_or(rest.len(), |n| open + n + close.len());
            hide(at, end);
            end
        } else if rest[0] == b'"' {
            let end = at + string_end(rest);
            hide(at + 1, end.saturating_sub(1));
            end
        } else if rest[0] == b'\'' {
            at + char_end(rest)
        } else {
            at + 1
        };
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// How many hashes the raw string has that begins here, if one does.
fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|b| **b == b'#').count();
    let opens = rest.get(1 + hashes) == Some(&b'"') && (!in_word || before == Some(b'b'));
    opens.then_some(hashes)
}

fn string_end(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Past a character literal; past the quote alone if it begins a lifetime.
fn char_end(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => 2 + rest[2.min(rest.len())..].iter().skip(1).position(|b| *b == b'\'').map_or(1, |n| n + 2),
        Some(_) => rest[1..].iter().take(5).position(|b| *b == b'\'').filter(|n| *n > 0).map_or(1, |n| n + 2),
        None => 1,
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Every place where `word` stands as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The paths that follow `prefix::`, one level of braces opened: `crate::{a, b::c}` has `a` and `b::c`.
fn paths_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, prefix) {
        let Some(rest) = code[at + prefix.len()..].trim_start().strip_prefix("::") else { continue };
        let rest = rest.trim_start();
        match rest.strip_prefix('{') {
            None => found.push((at, path(rest))),
            Some(group) => found.extend(entries(group).into_iter().map(|entry| (at, path(entry)))),
        }
    }
    found
}

/// The top-level entries of a brace group whose opening brace is behind us.
fn entries(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(group[from..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(group[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|entry| !entry.is_empty());
    found
}

fn path(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c) || *c == ':').collect::<String>().trim_end_matches(':').to_owned()
}

#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn arrows_between_modules_point_down_only() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.path != "lib.rs") {
        let module = source.module();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            found.push(format!("src/{}:1: `{module}` has no place in the table of arrows", source.path));
            continue;
        };
        let own_root = format!("{module}/mod.rs");
        let crate_words = if module == "bin" { vec!["stead"] } else { vec!["crate"] };
        let mut imports: Vec<_> = crate_words.iter().flat_map(|word| paths_after(&source.code, word)).collect();
        imports.extend(paths_after(&source.code, "super::super"));
        if source.path == own_root {
            imports.extend(paths_after(&source.code, "super"));
        }
        for (at, path) in imports {
            let target = path.split("::").next().unwrap_or_default();
            let known = ARROWS.iter().any(|(name, _)| *name == target);
            let may = allowed.iter().any(|allow| path == *allow || path.starts_with(&format!("{allow}::")));
            if known && target != module && !may {
                found.push(format!("src/{}:{}: {module} must not use {path}", source.path, source.line_of(at)));
            }
        }
    }
    none(found);
}

#[test]
fn what_decides_names_nothing_that_acts() {
    let mut found = Vec::new();
    for source in sources() {
        let Some((_, names)) = FORBIDDEN.iter().find(|(name, _)| *name == source.module()) else { continue };
        let code = &source.code[..source.tests_at()];
        let std = paths_after(code, "std").into_iter().map(|(at, path)| (at, format!("std::{path}")));
        for (at, path) in std {
            if names.iter().any(|name| path == *name || path.starts_with(&format!("{name}::"))) {
                found.push(format!(
                    "src/{}:{}: {} must not name {path}",
                    source.path,
                    source.line_of(at),
                    source.module()
                ));
            }
        }
        for name in names.iter().filter(|name| !name.contains("::")) {
            let uses = words(code, name).filter(|at| {
                let before = code[..*at].trim_end();
                code[at + name.len()..].starts_with("::") || before.ends_with("use") || before.ends_with("extern crate")
            });
            let line =
                |at| format!("src/{}:{}: {} must not name {name}", source.path, source.line_of(at), source.module());
            found.extend(uses.map(line));
        }
    }
    none(found);
}

#[test]
fn unsafe_lives_in_sys_and_every_other_module_root_forbids_it() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.module() != "sys") {
        let uses = words(&source.code, "unsafe").map(|at| source.line_of(at));
        found.extend(uses.map(|line| format!("src/{}:{line}: `unsafe` outside sys", source.path)));
        let is_root = source.path.ends_with("/mod.rs") && source.path.matches('/').count() == 1;
        if is_root && !source.code.contains("#![forbid(unsafe_code)]") {
            found.push(format!("src/{}:1: a module root says #![forbid(unsafe_code)]", source.path));
        }
    }
    none(found);
}

#[test]
fn the_clock_is_read_in_one_place_of_each_program() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| !["daemon/clock.rs", "cli/clock.rs"].contains(&s.path.as_str())) {
        let code = &source.code[..source.tests_at()];
        for call in ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"] {
            let uses = words(code, call).map(|at| source.line_of(at));
            found.extend(uses.map(|line| format!("src/{}:{line}: {call} outside daemon/clock.rs", source.path)));
        }
    }
    none(found);
}

#[test]
fn anyhow_is_for_programs_and_tests() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.module() != "bin") {
        let code = &source.code[..source.tests_at()];
        let uses = words(code, "anyhow").map(|at| source.line_of(at));
        found.extend(uses.map(|line| format!("src/{}:{line}: anyhow outside bin", source.path)));
    }
    none(found);
}

#[test]
fn every_file_says_what_it_is_for_and_is_no_longer_than_can_be_read() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            found.push(format!("src/{}:1: a file opens with a //! that says what it owns", source.path));
        }
        let lines = source.line_of(source.tests_at());
        if lines > 600 {
            found.push(format!("src/{}:600: {lines} lines before its tests; 600 is the end", source.path));
        }
        let name = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if ["utils", "util", "helpers", "common", "misc"].contains(&name) {
            found.push(format!("src/{}:1: a file is named by what it is about, not \"{name}\"", source.path));
        }
    }
    none(found);
}

#[test]
fn nothing_is_left_to_be_written_later() {
    let mut found = Vec::new();
    for source in sources() {
        for call in ["todo!", "unimplemented!"] {
            let uses = source.code.match_indices(call).map(|(at, _)| source.line_of(at));
            found.extend(uses.map(|line| format!("src/{}:{line}: {call}", source.path)));
        }
    }
    none(found);
}

#[test]
fn the_reader_of_sources_sees_code_and_not_words_in_it() {
    let text = "use crate::{a, b::c};\n// crate::d\nlet s = \"crate::e\"; let c = '\"'; fn f<'a>() { crate::g::h() }";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    let paths: Vec<_> = paths_after(&code, "crate").into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["a", "b::c", "g::h"]);
    assert!(!blank("r#\"unsafe\"# br\"unsafe\" /* unsafe */").contains("unsafe"));
}
