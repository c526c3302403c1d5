//! What becomes of PM2's and FinalPM's keys, for the README.
//! Owns: the Markdown of those tables. A test compares the README's section with it.

use std::fmt::Write as _;

use super::super::keys;
use super::table::{FINALPM, FINALPM_TOP, Means, PM2, PM2_TOP, Row};

/// Both tools, each with a heading that opens.
pub fn compatibility() -> String {
    let mut out = String::new();
    for (tool, top, rows) in
        [("PM2: ecosystem.config.js", PM2_TOP, PM2), ("FinalPM: process-config.js", FINALPM_TOP, FINALPM)]
    {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<details><summary>{tool}</summary>\n\n| key | here | |\n| --- | --- | --- |");
        for row in top.iter().chain(rows) {
            let _ = writeln!(out, "{}", line(row));
        }
        out.push_str("\n</details>\n\n");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn line(row: &Row) -> String {
    let names = std::iter::once(&row.name).chain(row.aliases).map(|name| format!("`{name}`"));
    let here = match row.means {
        Means::Key(key) if keys::find(key).is_some() => format!("`{key}`"),
        Means::Key(_) => "no effect in this version, and a warning".to_owned(),
        Means::Converted => "converted".to_owned(),
        Means::Ignored => "no effect, and a warning".to_owned(),
        Means::Refused => "refused".to_owned(),
    };
    let cells = [names.collect::<Vec<_>>().join(", "), here, row.note.to_owned()];
    format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}
