//! Manual pages, as man(7) wants them.
//! Owns: escaping, and the few requests that the pages need.
//! Never: knows what a page is about.

use std::fmt::Write as _;

/// A page that is being written.
pub struct Page {
    text: String,
}

impl Page {
    /// `date` as YYYY-MM-DD; `manual` is the line in the middle of the page's head.
    pub fn new(title: &str, section: u8, date: &str, manual: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = Page { text: String::new() };
        // No hyphens within names, and no adjusted lines, which tear gaps into them.
        let head = format!(".TH \"{title}\" \"{section}\" \"{date}\" \"stead {version}\" \"{manual}\"\n.nh\n.ad l\n");
        page.text.push_str(&head);
        page
    }

    pub fn section(&mut self, title: &str) -> &mut Self {
        self.request(".SH", &title.to_uppercase())
    }

    pub fn subsection(&mut self, title: &str) -> &mut Self {
        self.request(".SS", title)
    }

    fn request(&mut self, name: &str, argument: &str) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name} \"{}\"", escape(argument).replace('"', "\\(dq"));
        self
    }

    /// Paragraphs, an empty line between two; `code` becomes bold.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for (n, paragraph) in text.split("\n\n").enumerate() {
            if n > 0 {
                self.text.push_str(".PP\n");
            }
            self.line(&paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        self
    }

    /// A term and what is said of it.
    pub fn item(&mut self, term: &str, text: &str) -> &mut Self {
        self.text.push_str(".TP\n");
        self.line(term);
        self.text(text)
    }

    pub fn items(&mut self, items: &[(&str, &str)]) -> &mut Self {
        for (term, text) in items {
            self.item(term, text);
        }
        self
    }

    /// Goes on below the text of an item, at its indent.
    pub fn further(&mut self, text: &str) -> &mut Self {
        self.text.push_str(".IP\n");
        self.text(text)
    }

    /// Lines that stay as they are.
    pub fn verbatim(&mut self, text: &str) -> &mut Self {
        let after_heading = self.text.lines().last().is_some_and(|line| line.starts_with(".S"));
        self.text.push_str(if after_heading { ".RS 4\n.nf\n" } else { ".PP\n.RS 4\n.nf\n" });
        for line in text.lines() {
            self.protected(&escape(line));
        }
        self.text.push_str(".fi\n.RE\n");
        self
    }

    fn line(&mut self, text: &str) {
        // Backquotes come in pairs, so every second piece is code.
        let pieces = text.split('`').enumerate();
        let text: String = pieces
            .map(|(n, piece)| if n % 2 == 1 { format!("\\fB{}\\fR", escape(piece)) } else { escape(piece) })
            .collect();
        self.protected(&text);
    }

    /// A line that begins with a dot or an apostrophe would be a request.
    fn protected(&mut self, line: &str) {
        if line.starts_with(['.', '\'']) {
            self.text.push_str("\\&");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub fn finish(&self) -> &str {
        &self.text
    }
}

/// Text as it is meant to look: a bare `-` would become a hyphen, which nobody can paste into a shell.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '…' => out.push_str("..."),
            c => out.push(c),
        }
    }
    out
}
