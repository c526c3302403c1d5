//! The text of one config file, and where its lines begin.
//! Owns: what counts as text at all, and the translation of byte offsets to lines and columns.
//! Never: reads a file; whoever does hands the bytes over.

use std::ops::Range;

use super::error::Errors;

/// The largest file that is read, in bytes. Whoever reads one stops here; a config of this size is a mistake.
pub const FILE_MAX: usize = 1 << 20;

/// A file's name for people, and its text.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub name: String,
    text: String,
    /// The offset of each line's first byte.
    lines: Vec<usize>,
    /// Values of `env` and what may hold some: never shown. Sorted by start.
    secrets: Vec<Range<usize>>,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines, secrets: Vec::new() }
    }

    /// Takes what a file holds; refuses what cannot be a config.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Errors> {
        let name = name.into();
        if bytes.len() > FILE_MAX {
            return Err(Errors::too_big(&name));
        }
        if bytes.contains(&0) {
            return Err(Errors::binary(&name));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let byte = error.as_bytes()[at];
                // Everything up to the bad byte is text, so it can be counted in lines and columns.
                let before = Self::new(name, String::from_utf8_lossy(&error.as_bytes()[..at]));
                let (line, column) = before.position(at);
                Err(Errors::not_utf8(&before.name, line, column, byte))
            }
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte, both from 1; columns are counted in characters, as editors do.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let line = self.lines.partition_point(|start| *start <= offset) - 1;
        (line + 1, self.text[self.lines[line]..offset].chars().count() + 1)
    }

    /// The bytes of a line, without what ends it.
    pub(super) fn line(&self, number: usize) -> Range<usize> {
        let start = self.lines[number - 1];
        let end = self.lines.get(number).map_or(self.text.len(), |next| next - 1);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        start..end
    }

    /// The secret that this byte belongs to.
    pub(super) fn secret_at(&self, offset: usize) -> Option<&Range<usize>> {
        let after = self.secrets.partition_point(|secret| secret.start <= offset);
        self.secrets[..after].last().filter(|secret| secret.contains(&offset))
    }

    /// Marks what is never shown. The ranges do not overlap.
    pub(super) fn hide(&mut self, mut ranges: Vec<Range<usize>>) {
        ranges.sort_by_key(|range| range.start);
        self.secrets = ranges;
    }

    /// The nearest character boundary at or before an offset: spans come from a parser that we do not own.
    pub(super) fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_a_line_and_a_column_of_characters() {
        let source = Source::new("x", "é = 1\r\nb\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(1), (1, 1), "within a character is at that character");
        assert_eq!(source.position(3), (1, 3));
        assert_eq!(source.position(8), (2, 1));
        assert_eq!(source.position(10), (3, 1));
        assert_eq!(source.position(999), (3, 1));
        assert_eq!(&source.text()[source.line(1)], "é = 1");
        assert_eq!(&source.text()[source.line(3)], "");
    }
}
