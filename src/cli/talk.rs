//! What is said, where, and in which colours: data on stdout, everything else on stderr.
//! Owns: the colour rules (`--color`, NO_COLOR, CLICOLOR_FORCE, a terminal) and what a closed pipe means.

use std::io::{self, IsTerminal, Write};

use super::exit::{Code, Failure, Result};

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorWish {
    Auto,
    Always,
    Never,
}

/// Which streams get colours, and which are read by a person right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talk {
    pub color_out: bool,
    pub color_err: bool,
    pub terminal_out: bool,
    pub terminal_err: bool,
}

impl Talk {
    pub fn new(wish: ColorWish, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let (terminal_out, terminal_err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            color_out: color(wish, terminal_out, variable),
            color_err: color(wish, terminal_err, variable),
            terminal_out,
            terminal_err,
        }
    }

    /// Something the person should know, on stderr.
    pub fn note(&self, text: &str) {
        self.say(&format!("stead: {text}"));
    }

    /// Why the command ends. Errors of a config begin with their own file's name, as a compiler's do.
    pub fn failure(&self, failure: &Failure) {
        match (failure.text.as_str(), failure.code) {
            ("", _) => {}
            (text, Code::Config) if text.contains('\n') || text.contains(": `") => {
                // Among them, what is about a flag has no file's name to begin with.
                text.lines().for_each(|line| if line.starts_with("--") { self.note(line) } else { self.say(line) });
            }
            (text, _) => self.note(text),
        }
    }

    /// As `note`, without the program's name. That stderr is gone is no reason to stop working.
    pub fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// no-color.org, bixense.com/clicolors, then the terminal.
fn color(wish: ColorWish, terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match wish {
        ColorWish::Always => true,
        ColorWish::Never => false,
        ColorWish::Auto if set("NO_COLOR").is_some() => false,
        ColorWish::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorWish::Auto => terminal && set("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// Writes data to stdout. A reader that has gone (`| head`) has all it wanted: that ends the program quietly with 0.
pub fn print(text: &str) -> Result {
    write_all(text.as_bytes())
}

/// As `print`, for bytes.
pub fn write_all(bytes: &[u8]) -> Result {
    match try_write(bytes) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes data to stdout where more is still to be said or done, whoever listens.
pub fn try_write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Colours by number of ECMA-48, as the terminal shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Magenta = 35,
    Cyan = 36,
    Grey = 90,
}

/// The text in a colour, if colours are on.
pub fn painted(text: &str, color: Color, on: bool) -> String {
    if on { format!("\x1b[{}m{text}\x1b[0m", color as u8) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_beats_the_variables_and_the_variables_beat_the_terminal() {
        let none = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let force = |name: &str| (name == "CLICOLOR_FORCE").then(|| "1".to_owned());
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
        assert!(color(ColorWish::Always, false, &no_color));
        assert!(!color(ColorWish::Never, true, &force));
        assert!(!color(ColorWish::Auto, true, &no_color));
        assert!(color(ColorWish::Auto, false, &force));
        assert!(color(ColorWish::Auto, true, &none));
        assert!(!color(ColorWish::Auto, false, &none));
        assert!(!color(ColorWish::Auto, true, &dumb));
    }
}
