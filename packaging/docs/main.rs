//! Writes what the packages bring and nobody writes by hand: man pages, completions and the commented stead.toml.
//!
//!     cargo run --example docs -- DIRECTORY
//!
//! Owns: which files there are. All of them come from the grammar of the command line, the tables of keys and the
//! introspection data, so none can be behind the program.

mod bus;
mod commands;
mod completion;
mod config;
mod daemon;
mod roff;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(directory), None) = (args.next().map(PathBuf::from), args.next()) else {
        bail!("usage: cargo run --example docs -- DIRECTORY");
    };
    let date = date()?;
    let mut files = commands::pages(&date);
    files.push(("steadd.8".to_owned(), daemon::page(&date)));
    files.push(("stead-app.toml.5".to_owned(), config::apps(&date)));
    files.push(("stead.toml.5".to_owned(), config::daemon(&date)));
    files.push(("stead.toml".to_owned(), stead::config::settings::template()));
    files.extend(completion::scripts()?);
    let introspection = Path::new(env!("CARGO_MANIFEST_DIR")).join("units/org.stead.Stead1.xml");
    if introspection.exists() {
        let xml = fs::read_to_string(&introspection)?;
        let page = bus::page(&xml, &date).with_context(|| introspection.display().to_string())?;
        files.push(("org.stead.Stead1.5".to_owned(), page));
    }
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The day that the pages bear: that of the source, not of the build, or no two builds would be the same.
fn date() -> Result<String> {
    let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(String::new()) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let seconds = seconds.with_context(|| format!("SOURCE_DATE_EPOCH={} is no number", epoch.display()))?;
    Ok(jiff::Timestamp::from_second(seconds)?.strftime("%Y-%m-%d").to_string())
}
