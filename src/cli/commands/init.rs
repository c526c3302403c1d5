//! `init`: a stead.toml to begin with.

use std::fs::File;
use std::io::{self, Write};

use nix::unistd::User;

use super::super::exit::{Failure, Result};
use super::super::read::DEFAULT_NAME;
use super::super::session::Session;

/// The file that is written: one app that could be the reader's, and what most people need next.
pub const TEMPLATE: &str = include_str!("../template.toml");

pub(super) fn run(session: &Session) -> Result {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::failed(format!("{DEFAULT_NAME} exists already: nothing was written")),
        _ => Failure::failed(format!("cannot write {DEFAULT_NAME}: {error}")),
    };
    let mut file = File::create_new(DEFAULT_NAME).map_err(cannot)?;
    file.write_all(TEMPLATE.as_bytes()).map_err(cannot)?;
    // Under sudo the file is for the person, who could not edit root's.
    if let Some(user) = session.caller.sudo_user.as_deref().and_then(|name| User::from_name(name).ok()?) {
        std::os::unix::fs::fchown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(cannot)?;
    }
    session.talk.note(&format!("wrote {DEFAULT_NAME}: edit it, then run \"stead check\" and \"stead start\""));
    Ok(())
}
