//! The config reference of the README, written from the table of keys.
//! Owns: its Markdown. A test compares the README's section with it.

use std::fmt::Write as _;

use super::keys::{Default, Key, SECTIONS, Who};

/// The whole reference, headings of the third level, ready to stand below one of the second.
pub fn reference() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "### {}\n\n| key | value | default | |\n| --- | --- | --- | --- |", section.title);
        for key in section.keys {
            let _ = writeln!(out, "{}", row(key));
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Default::Text(text) => format!("`{}`", key.value_of(text)),
        Default::Unset => String::new(),
        Default::Derived(how) => how.to_owned(),
    };
    let who = match key.who {
        Who::Owner => String::new(),
        Who::Root => " Root only.".to_owned(),
        Who::RootFor(what) => format!(" Root only: {what}."),
    };
    let doc = if key.doc.is_empty() { String::new() } else { format!(" {}", key.doc) };
    let cells = [format!("`{}`", key.name), key.kind.describe(), default, format!("{}.{doc}{who}", key.help)];
    format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_row() {
        let text = reference();
        for key in super::super::keys::all() {
            assert!(text.contains(&format!("| `{}` |", key.name)), "{}", key.name);
        }
        assert!(text.contains("| `instances` | whole number from 1 to 1000, or \"max\" | `1` |"), "{text}");
    }
}
