//! The source line under an error, with a caret below the value.
//! Owns: how a line of a file is made fit for a terminal: tabs, wide and unprintable characters, secrets, length.
//! Never: shows the value of an environment variable, or sends a control character of a file to a terminal.

use std::ops::Range;

use super::source::Source;

/// The widest excerpt, in terminal columns. Leaves room for the line number within 120.
const WIDTH_MAX: usize = 100;
/// How much of a cut line stands before its caret.
const CONTEXT: usize = 30;
const TAB: usize = 4;

/// A line as it is printed, and the columns that the caret marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub text: String,
    /// In terminal columns from 0.
    pub caret: usize,
    pub length: usize,
}

/// One character as it is printed.
struct Cell {
    at: usize,
    text: char,
    width: usize,
}

impl Excerpt {
    /// The line that `span` begins on. A span over several lines is marked to the end of the first.
    pub fn of(source: &Source, span: &Range<usize>) -> Self {
        let (line, _) = source.position(span.start);
        let cells = cells(source, near(source, source.line(line), span.start));
        let mut caret = 0;
        let mut length = 0;
        for cell in &cells {
            if cell.at < span.start {
                caret += cell.width;
            } else if cell.at < span.end {
                length += cell.width;
            }
        }
        // An empty span, such as the end of the file, still gets a caret.
        cut(&cells, caret, length.max(1))
    }
}

/// As much of a line as can be shown and more: a line may be as long as a file.
fn near(source: &Source, line: Range<usize>, at: usize) -> Range<usize> {
    const REACH: usize = 2000;
    let start = line.start.max(source.boundary(at.saturating_sub(REACH)));
    start..line.end.min(source.boundary(at.saturating_add(REACH)))
}

fn cells(source: &Source, line: Range<usize>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut column = 0;
    let mut hidden: Option<&Range<usize>> = None;
    for (offset, c) in source.text()[line.clone()].char_indices() {
        let at = line.start + offset;
        let secret = source.secret_at(at);
        // The first character of a secret stands for all of it.
        if secret.is_some() && hidden == secret {
            continue;
        }
        hidden = secret;
        let (text, width) = if secret.is_some() { ('…', 1) } else { printed(c) };
        // A tab is several cells, so that cutting a line cannot split one.
        let count = if c == '\t' && secret.is_none() { TAB - column % TAB } else { 1 };
        cells.extend((0..count).map(|_| Cell { at, text, width }));
        column += count * width;
    }
    cells
}

fn printed(c: char) -> (char, usize) {
    match c {
        '\t' => (' ', 1),
        c if unprintable(c) => (char::REPLACEMENT_CHARACTER, 1),
        c => (c, unicode_width::UnicodeWidthChar::width(c).unwrap_or(1)),
    }
}

/// Control characters, and those that reorder the text around them: a file must not be able to lie about itself.
pub(super) fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

fn cut(cells: &[Cell], caret: usize, length: usize) -> Excerpt {
    let total: usize = cells.iter().map(|cell| cell.width).sum();
    if total <= WIDTH_MAX {
        return Excerpt { text: cells.iter().map(|cell| cell.text).collect(), caret, length };
    }
    let first = caret.saturating_sub(CONTEXT).min(total.saturating_sub(WIDTH_MAX));
    let mut text = String::new();
    let mut column = 0;
    let mut shift = 0;
    if first > 0 {
        text.push('…');
    }
    let mut shown = 0;
    for cell in cells {
        if column >= first && column + cell.width <= first + WIDTH_MAX {
            // A wide character astride the cut is left out whole, so what follows moves.
            if shown == 0 {
                shift = column;
            }
            text.push(cell.text);
            shown += cell.width;
        }
        column += cell.width;
    }
    if column > first + WIDTH_MAX {
        text.push('…');
    }
    let caret = caret - shift.min(caret) + usize::from(first > 0);
    let length = length.min((shown + 1).saturating_sub(caret)).max(1);
    Excerpt { text, caret, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, marked: &str) -> String {
        let start = text.find(marked).unwrap();
        let excerpt = Excerpt::of(&Source::new("x", text), &(start..start + marked.len()));
        format!("{}\n{}{}", excerpt.text, " ".repeat(excerpt.caret), "^".repeat(excerpt.length))
    }

    #[test]
    fn the_caret_stands_under_the_value_after_tabs_and_wide_characters() {
        assert_eq!(shown("\ta\t= X", "X"), "    a   = X\n          ^");
        assert_eq!(shown("\"日本é\" = XY", "XY"), "\"日本é\" = XY\n          ^^");
        assert_eq!(shown("a = \"日本\"", "\"日本\""), "a = \"日本\"\n    ^^^^^^");
    }

    #[test]
    fn a_control_character_never_reaches_the_terminal() {
        assert_eq!(shown("a\u{1b}[2J\u{202e} = X", "X"), "a\u{fffd}[2J\u{fffd} = X\n         ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let line = shown(&text, "X");
        let (line, caret) = line.split_once('\n').unwrap();
        assert_eq!(line.chars().count(), WIDTH_MAX + 2);
        assert_eq!(line.chars().nth(caret.len() - 1), Some('X'));
        assert!(line.starts_with('…') && line.ends_with('…'));
        let line = shown(&format!("a = {}", "v".repeat(500)), &"v".repeat(500));
        assert!(line.lines().all(|line| line.chars().count() <= WIDTH_MAX + 2), "{line}");
    }

    #[test]
    fn a_secret_is_one_mark_however_long_it_is() {
        let mut source = Source::new("x", "A = \"hush\" # b");
        let secret = 4..10;
        source.hide(vec![secret.clone()]);
        assert_eq!(Excerpt::of(&source, &secret), Excerpt { text: "A = … # b".into(), caret: 4, length: 1 });
    }
}
