//! Text in a part of the screen.
//! Owns: that nothing is drawn outside of it, however small the screen is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

/// A part of the screen.
#[derive(Debug)]
pub struct Canvas<'a> {
    pub buffer: &'a mut Buffer,
    pub area: Rect,
}

impl Canvas<'_> {
    pub fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let area = Rect { x: self.area.x.saturating_add(x), y: self.area.y.saturating_add(y), width, height };
        Canvas { area: area.intersection(self.area), buffer: self.buffer }
    }

    pub fn width(&self) -> usize {
        self.area.width.into()
    }

    pub fn height(&self) -> usize {
        self.area.height.into()
    }

    /// Writes into a line, from a column on, as far as there is room; the column behind.
    pub fn put(&mut self, x: usize, y: usize, text: &str, style: Style) -> usize {
        let (width, height) = (self.width(), self.height());
        if x >= width || y >= height {
            return x + text.width();
        }
        // Both are less than the area's sides, which are u16.
        let (column, line) = (self.area.x + x as u16, self.area.y + y as u16);
        let (end, _) = self.buffer.set_stringn(column, line, text, width - x, style);
        usize::from(end - self.area.x)
    }

    /// As `put`, so that the text ends at a column.
    pub fn put_right(&mut self, end: usize, y: usize, text: &str, style: Style) {
        self.put(end.saturating_sub(text.width()), y, text, style);
    }

    /// Gives a whole line a style.
    pub fn paint(&mut self, y: usize, style: Style) {
        if y < self.height() {
            let line = Rect { y: self.area.y + y as u16, height: 1, ..self.area };
            self.buffer.set_style(line, style);
        }
    }

    /// A text's lines below each other, broken at the width; how many that were.
    pub fn paragraph(&mut self, text: &str, style: Style) -> usize {
        let mut y = 0;
        for line in wrapped(text, self.width()) {
            self.put(0, y, &line, style);
            y += 1;
        }
        y
    }

    pub fn clear(&mut self) {
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }
}

/// Lines of at most so many columns, broken between words where that can be.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && current.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut current));
            } else if !current.is_empty() {
                current.push(' ');
            }
            for c in word.chars() {
                if current.width() + unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut current));
                }
                current.push(c);
            }
        }
        lines.push(current);
    }
    lines
}

/// The text from a column on, for what is moved to the left.
pub fn from_column(text: &str, column: usize) -> &str {
    let mut left = column;
    for (at, c) in text.char_indices() {
        if left == 0 {
            return &text[at..];
        }
        left = left.saturating_sub(unicode_width::UnicodeWidthChar::width(c).unwrap_or(0));
    }
    if left == 0 && column == 0 { text } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three\nfour", 8), ["one two", "three", "four"]);
        assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
        assert_eq!(wrapped("x", 0), ["x"]);
    }

    #[test]
    fn nothing_is_drawn_outside_and_a_wide_character_is_not_cut() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 5, 2));
        let area = buffer.area;
        let mut canvas = Canvas { buffer: &mut buffer, area };
        assert_eq!(canvas.put(3, 0, "日本", Style::new()), 5);
        canvas.put(9, 0, "x", Style::new());
        canvas.put(0, 7, "x", Style::new());
        canvas.paint(9, Style::new());
        let mut part = canvas.part(4, 1, 10, 10);
        part.put(0, 0, "xy", Style::new());
        assert_eq!(buffer.cell((3, 0)).unwrap().symbol(), "日");
        assert_eq!(buffer.cell((4, 1)).unwrap().symbol(), "x");
    }

    #[test]
    fn a_line_is_moved_by_columns() {
        assert_eq!((from_column("abc", 0), from_column("abc", 2), from_column("abc", 9)), ("abc", "c", ""));
        assert_eq!(from_column("日本語", 2), "本語");
    }
}
