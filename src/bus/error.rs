//! Errors by D-Bus name.
//! Owns: which refusal has which name. The text is what a person reads; the CLI adds nothing but its own name.

use zbus::message::Header;
use zbus::names::ErrorName;

use crate::api::Refusal;
use crate::model::request::Denied;

/// Why a method did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    pub kind: ErrorKind,
    pub text: String,
}

/// The name of an error, as a client tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    NoMatch,
    NoSuchApp,
    InvalidArgument,
    InvalidConfig,
    /// Understood, and refused for what is asked, not for who asks.
    Denied,
    Unavailable,
    NotPermitted,
    /// What was asked for was begun, and came to a bad end.
    JobFailed,
    /// D-Bus's own word for a caller who may not use this at all.
    AccessDenied,
}

const KINDS: [(ErrorKind, &str); 9] = [
    (ErrorKind::NoMatch, "org.stead.Stead1.Error.NoMatch"),
    (ErrorKind::NoSuchApp, "org.stead.Stead1.Error.NoSuchApp"),
    (ErrorKind::InvalidArgument, "org.stead.Stead1.Error.InvalidArgument"),
    (ErrorKind::InvalidConfig, "org.stead.Stead1.Error.InvalidConfig"),
    (ErrorKind::Denied, "org.stead.Stead1.Error.Denied"),
    (ErrorKind::Unavailable, "org.stead.Stead1.Error.Unavailable"),
    (ErrorKind::NotPermitted, "org.stead.Stead1.Error.NotPermitted"),
    (ErrorKind::JobFailed, "org.stead.Stead1.Error.JobFailed"),
    (ErrorKind::AccessDenied, "org.freedesktop.DBus.Error.AccessDenied"),
];

impl ErrorKind {
    /// The full D-Bus error name.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// None for a name that is not ours, such as one of the D-Bus library's.
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, n)| *n == name).map(|(kind, _)| *kind)
    }
}

impl Error {
    pub fn argument(text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidArgument, text: text.into() }
    }

    pub fn config(text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidConfig, text: text.into() }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::Denied(denied) => match denied {
                Denied::NoMatch(_) => ErrorKind::NoMatch,
                Denied::NoSuchApp(_) => ErrorKind::NoSuchApp,
                Denied::BadPattern { .. } | Denied::Instances { .. } => ErrorKind::InvalidArgument,
                Denied::Twice(_) => ErrorKind::InvalidConfig,
                Denied::NotAnApp(_) | Denied::Generation(_) => ErrorKind::Denied,
                Denied::ShuttingDown => ErrorKind::Unavailable,
                Denied::NotYours { .. } => ErrorKind::AccessDenied,
            },
            Refusal::Argument(_) => ErrorKind::InvalidArgument,
            Refusal::Config(_) => ErrorKind::InvalidConfig,
            Refusal::Permission(_) => ErrorKind::NotPermitted,
            Refusal::Unavailable(_) => ErrorKind::Unavailable,
        };
        Self { kind, text: refusal.to_string() }
    }
}

// By hand and not derived: the derive gives every variant one prefix, and AccessDenied has another.
impl zbus::DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<zbus::Message> {
        zbus::Message::error(call, self.name())?.build(&(self.text.as_str(),))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.kind.name())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_legal_name_of_its_own_and_is_found_by_it() {
        for (kind, name) in KINDS {
            assert!(ErrorName::try_from(name).is_ok(), "{name}");
            assert_eq!(ErrorKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_refusal_keeps_its_words() {
        let error = Error::from(Refusal::Denied(Denied::NoMatch("api/9".into())));
        assert_eq!((error.kind, error.text.as_str()), (ErrorKind::NoMatch, "nothing matches \"api/9\""));
    }
}
