//! `import`: a config of PM2 or FinalPM, or what PM2 has saved, as a stead.toml on standard output.

use std::path::{Path, PathBuf};

use super::super::args::Import;
use super::super::exit::{Failure, Result};
use super::super::foreign::{self, Inherit, Read};
use super::super::session::Session;
use super::super::spec::{self, EnvFlags, Machine};
use super::super::talk;
use super::check;
use crate::config::write::app_toml;

pub(super) fn run(session: &Session, args: &Import) -> Result {
    let env = EnvFlags::parse(&args.env)?;
    if !env.variables.is_empty() {
        return Err(Failure::usage("--env K=V sets a variable of what is started: write it into the file"));
    }
    let profile = env.profile.as_deref();
    let machine = Machine::new(&session.caller);
    let path = match &args.file {
        Some(path) if path == Path::new("pm2") => None,
        file => Some(check::file_or_default(session, file.as_deref(), "import")?),
    };
    let read = match &path {
        Some(path) => foreign::read(&machine, path, profile, Inherit::Nothing)?,
        None => foreign::dump(&machine)?,
    };
    let Read::Foreign(file) = read else {
        let path = path.unwrap_or_else(|| PathBuf::from("pm2"));
        return Err(Failure::usage(format!("{} is TOML already: there is nothing to import", path.display())));
    };
    // Nothing is written that would not start.
    machine.foreign(&file, profile)?;
    machine.say_notes(session);
    let apps = spec::only(file.imported.apps.iter().collect(), file.names(), &args.only, &file.name)?;
    let mut text = format!(
        "# From {}, by stead import. PM2 and FinalPM give apps the environment of whoever starts them; here an app has what\n\
         # stands below. With yours added: stead start --inherit-env\n",
        file.name
    );
    for app in apps {
        text += &format!("\n{}", app_toml(&app.raw));
    }
    talk::print(&text)
}
