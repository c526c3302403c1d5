//! Signals by name.
//! Owns: which signals a person may name, and their Linux numbers (signal(7), x86 and ARM numbering).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signal number that has a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal \"{0}\": use a name such as SIGTERM or HUP, or a number from 1 to 64")]
pub struct BadSignal(pub String);

const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl Signal {
    pub const HUP: Signal = Signal(1);
    pub const INT: Signal = Signal(2);
    pub const KILL: Signal = Signal(9);
    pub const USR2: Signal = Signal(12);
    pub const TERM: Signal = Signal(15);

    /// Every signal that has a name of its own, in the order of their numbers.
    pub fn named() -> impl Iterator<Item = Signal> {
        NAMES.iter().map(|(_, number)| Self(*number))
    }

    /// Takes what kill(1) takes: `SIGTERM`, `TERM`, `term`, `15`, `RTMIN+3`.
    pub fn parse(s: &str) -> Result<Self, BadSignal> {
        let bad = || BadSignal(s.to_owned());
        if let Ok(number) = s.parse::<i32>() {
            return if (1..=64).contains(&number) { Ok(Self(number)) } else { Err(bad()) };
        }
        let upper = s.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(offset) = name.strip_prefix("RTMIN") {
            // glibc keeps 32 and 33 for itself (signal(7)), so SIGRTMIN is 34.
            let offset = match offset.strip_prefix('+') {
                Some(n) => n.parse::<i32>().map_err(|_| bad())?,
                None if offset.is_empty() => 0,
                None => return Err(bad()),
            };
            return if (0..=30).contains(&offset) { Ok(Self(34 + offset)) } else { Err(bad()) };
        }
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, number)| Self(*number)).ok_or_else(bad)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 >= 34 => write!(f, "SIGRTMIN+{}", self.0 - 34),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_say_the_same() {
        for text in ["SIGTERM", "TERM", "term", "15"] {
            assert_eq!(Signal::parse(text), Ok(Signal::TERM));
        }
        assert_eq!(Signal::parse("RTMIN+3").unwrap().to_string(), "SIGRTMIN+3");
        for text in ["", "0", "65", "-9", "SIGNOPE", "RTMIN+31", "RTMINX"] {
            assert!(Signal::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
