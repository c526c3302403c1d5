//! Exit codes, and how a command fails.
//! Owns: the one table of codes, in `stead help exit-codes` and here.
//! 1 to 3 are ours; 130 is what shells say of Ctrl-C; from 64 on they are those of sysexits.h, which scripts and systemd know.

use super::paths::Paths;
use crate::bus::proxy::{ClientError, ErrorKind};

/// Why the program ends with something other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Failed = 1,
    Usage = 2,
    NoMatch = 3,
    Unavailable = 69,
    NotPermitted = 77,
    Config = 78,
    Interrupted = 130,
}

/// What `stead help exit-codes` prints.
pub const TABLE: &str = "\
Exit codes of stead:

   0  done; also when there was nothing to do
   1  tried, and failed: an app did not start, a program died, the disk is full
   2  wrong usage: an unknown flag, a bad selector, a command that needs a name
   3  nothing matches: a word that is no app, no instance, and no program to start
  69  no daemon answers, or it is going down
  77  not permitted: stead needs root
  78  bad config: an unknown key, a wrong value, a missing script, a file that cannot be read
 130  interrupted with Ctrl-C: what was asked for goes on

With 2, 3, 69, 77 and 78 nothing was started and nothing running was touched.
";

/// The end of a command that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// For a person, without the program's name; may have several lines. Empty: all has been said.
    pub text: String,
}

/// What most of the CLI returns.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Code::Failed, text)
    }

    pub fn config(text: impl Into<String>) -> Self {
        Self::new(Code::Config, text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Absent { .. } | ClientError::NoBus(_) | ClientError::NoService => Code::Unavailable,
            ClientError::Connect { .. } | ClientError::Closed | ClientError::Silent(_) => Code::Unavailable,
            ClientError::Cut => Code::Failed,
            ClientError::Refused(refused) => match refused.kind {
                ErrorKind::NoMatch | ErrorKind::NoSuchApp => Code::NoMatch,
                ErrorKind::InvalidArgument | ErrorKind::Denied => Code::Usage,
                ErrorKind::InvalidConfig => Code::Config,
                ErrorKind::JobFailed => Code::Failed,
                ErrorKind::Unavailable => Code::Unavailable,
                ErrorKind::NotPermitted | ErrorKind::AccessDenied => Code::NotPermitted,
            },
            ClientError::Unknown { .. } | ClientError::Protocol(_) => Code::Failed,
        };
        let log = || Paths::of_process().log_words();
        let text = match error {
            ClientError::Absent { path, .. } => {
                let path = path.display();
                format!("no daemon is running (nobody listens on {path}): \"stead start\" starts one")
            }
            ClientError::NoBus(why) => format!(
                "there is no system bus here, over which others than root reach stead ({why}): run it with sudo"
            ),
            ClientError::NoService => "stead does not run: sudo systemctl start stead".to_owned(),
            ClientError::Closed => {
                format!("the daemon went down before it answered: see the end of its log, {}", log())
            }
            ClientError::Cut => format!(
                "the daemon went down in the middle of this: see the end of its log, {}. Its holder starts it again, \
                 and what was begun goes on: see \"stead list\"",
                log()
            ),
            ClientError::Silent(seconds) => {
                format!("the daemon has not answered within {seconds} seconds: see the end of its log, {}", log())
            }
            other => other.to_string(),
        };
        Self { code, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table() {
        let codes = [
            Code::Failed,
            Code::Usage,
            Code::NoMatch,
            Code::Unavailable,
            Code::NotPermitted,
            Code::Config,
            Code::Interrupted,
        ];
        for code in codes {
            let number = format!("{:>4}  ", code as u8);
            assert!(TABLE.lines().any(|line| line.starts_with(&number)), "{code:?}");
        }
    }
}
