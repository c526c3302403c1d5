//! `org.freedesktop.LogControl1`: how much the daemon says, changed while it runs, as `systemctl service-log-level` does.
//! Owns: the words of syslog(3) for levels. Never: writes a line.

use std::sync::Arc;

use zbus::message::Header;
use zbus::{Connection, fdo, interface};

use super::gate::{Call, Gate, fdo_error};
use crate::api::LogLevel;

/// Where it stands, as org.freedesktop.LogControl1(5) wants it.
pub(super) const PATH: &str = "/org/freedesktop/LogControl1";

/// syslog's words, ours behind each. What syslog tells apart and we do not is the nearest that says as much.
const LEVELS: [(&str, LogLevel); 8] = [
    ("emerg", LogLevel::Error),
    ("alert", LogLevel::Error),
    ("crit", LogLevel::Error),
    ("err", LogLevel::Error),
    ("warning", LogLevel::Warn),
    ("notice", LogLevel::Info),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

#[derive(Debug)]
pub struct LogControl {
    pub(super) gate: Arc<Gate>,
}

#[interface(name = "org.freedesktop.LogControl1", introspection_docs = false)]
impl LogControl {
    #[zbus(property)]
    fn log_level(&self) -> &str {
        match self.gate.handle.log_level() {
            LogLevel::Error => "err",
            LogLevel::Warn => "warning",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        }
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        level: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<()> {
        if let Some(header) = &header {
            self.gate.daemon(Call { connection, header }, "log-level").await.map_err(fdo_error)?;
        }
        let known = LEVELS.iter().find(|(word, _)| *word == level);
        let (_, level) = known.ok_or_else(|| {
            fdo::Error::InvalidArgs(format!("\"{level}\" is no log level: use err, warning, info or debug"))
        })?;
        self.gate.handle.set_log_level(*level);
        Ok(())
    }

    /// Standard error, which whoever started the daemon has led somewhere.
    #[zbus(property)]
    fn log_target(&self) -> &str {
        "console"
    }

    #[zbus(property)]
    fn set_log_target(&self, target: String) -> fdo::Result<()> {
        if target == "console" {
            return Ok(());
        }
        Err(fdo::Error::NotSupported("the log goes to standard error, which the service manager keeps".to_owned()))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> &str {
        "steadd"
    }
}
