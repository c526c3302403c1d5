//! `check`: everything that is wrong with a config file, without starting anything or asking a daemon.

use std::path::{Path, PathBuf};

use nix::unistd::{User, getuid};

use super::super::exit::{Failure, Result};
use super::super::session::Session;
use super::super::spec::{Additions, Machine};
use super::super::{read, talk};

pub(super) fn run(session: &Session, file: Option<&Path>) -> Result {
    let path = file_or_default(session, file, "check")?;
    let machine = Machine::new(&session.caller);
    let specs = machine.file(&path, &Additions::default())?;
    machine.say_notes(session);
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let name = if path == Path::new(read::STDIN) { "<stdin>".to_owned() } else { path.display().to_string() };
    talk::print(&format!("{name}: ok ({})\n", names.join(", ")))
}

/// The file that was named, or the nearest stead.toml that the caller may be supposed to mean.
pub fn file_or_default(session: &Session, file: Option<&Path>, verb: &str) -> Result<PathBuf> {
    if let Some(file) = file {
        return Ok(file.to_path_buf());
    }
    let here = std::env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current directory: {error}")))?;
    let sudo_user = session.caller.sudo_user.as_deref().and_then(|name| User::from_name(name).ok()?);
    let mut trusted = vec![0, getuid().as_raw()];
    trusted.extend(sudo_user.map(|user| user.uid.as_raw()));
    read::find(&here, &trusted, verb)
}
