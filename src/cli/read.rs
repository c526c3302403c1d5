//! Config files off the disk.
//! Owns: finding the one that is meant when none is named, and refusing what is no file or too big before reading it.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::exit::{Failure, Result};
use crate::config::error::Errors;
use crate::config::source::{FILE_MAX, Source};

/// What is looked for when no file is named.
pub const DEFAULT_NAME: &str = "stead.toml";

/// What PM2 and FinalPM look for, and what PM2's users call it besides.
pub const FOREIGN_NAMES: [&str; 11] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.json",
    "ecosystem.yml",
    "ecosystem.yaml",
    "ecosystem.config.yml",
    "ecosystem.config.yaml",
    "process-config.js",
    "process-config.json",
];

/// The name of a file that is standard input. Relative paths in it are taken from the current directory.
pub const STDIN: &str = "-";

/// Reads a config file. Its name in messages is the one the person gave.
pub fn source(path: &Path) -> Result<Source> {
    if path == Path::new(STDIN) {
        return stdin();
    }
    let name = path.display().to_string();
    let cannot = |error: std::io::Error| Failure::config(format!("cannot read {name}: {error}"));
    // Without O_NONBLOCK the open of a FIFO would wait for somebody to write to it.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(Failure::config(format!("cannot read {name}: {}, not a file", kind(&metadata))));
    }
    if metadata.len() > FILE_MAX as u64 {
        return Err(config(&Errors::too_big(&name)));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read; one byte more than allowed is enough to tell.
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Source::from_bytes(name, bytes).map_err(|errors| config(&errors))
}

fn stdin() -> Result<Source> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(FILE_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::config(format!("cannot read standard input: {error}")))?;
    Source::from_bytes("<stdin>", bytes).map_err(|errors| config(&errors))
}

/// Errors of a config, as they are.
pub fn config(errors: &Errors) -> Failure {
    Failure::config(errors.to_string())
}

fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "it is a directory"
    } else if kind.is_fifo() {
        "it is a FIFO"
    } else if kind.is_socket() {
        "it is a socket"
    } else {
        "it is a device"
    }
}

/// The config in a directory or in the nearest one above it: `stead.toml`, else one of PM2 or FinalPM. Files that belong
/// to neither root nor the person who asks are not taken unasked: whoever may write to /tmp would otherwise choose what
/// root starts there. `verb` is what the file is for.
pub fn find(directory: &Path, trusted_uids: &[u32], verb: &str) -> Result<PathBuf> {
    for directory in directory.ancestors() {
        // What is imported may be on its way into the other: stead import > stead.toml.
        let own = (verb != "import").then(|| directory.join(DEFAULT_NAME)).into_iter();
        let foreign = FOREIGN_NAMES.iter().map(|name| directory.join(name));
        // What a person has imported stands beside what it came from.
        let (own, foreign): (Vec<PathBuf>, Vec<PathBuf>) =
            (own.filter(|path| path.exists()).collect(), foreign.filter(|path| path.exists()).collect());
        let path = match (own.into_iter().next(), foreign.as_slice()) {
            (Some(path), _) => path,
            (None, []) => continue,
            (None, [path]) => path.clone(),
            (None, [first, second, ..]) => {
                let text =
                    format!("{} and {} stand side by side: name the one to {verb}", first.display(), second.display());
                return Err(Failure::usage(text));
            }
        };
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if !trusted_uids.contains(&metadata.uid()) {
            let path = path.display();
            return Err(Failure::config(format!(
                "{path} belongs to another user (uid {}): name the file if you mean it",
                metadata.uid()
            )));
        }
        return Ok(path);
    }
    let what = if verb == "start" { "a script, a program or a file" } else { "a file" };
    Err(Failure::usage(format!(
        "nothing to {verb}: no {DEFAULT_NAME} in {} or above, nor a config of PM2 or FinalPM. Name {what}, or write one with \
         \"stead init\"",
        directory.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_said_to_be_what_it_is() {
        let failure = source(Path::new("/")).unwrap_err();
        assert_eq!(failure.text, "cannot read /: it is a directory, not a file");
        let failure = source(Path::new("/dev/null")).unwrap_err();
        assert_eq!(failure.text, "cannot read /dev/null: it is a device, not a file");
        assert!(source(Path::new("/nonexistent")).unwrap_err().text.contains("No such file"));
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let path = std::env::temp_dir().join(format!("stead-read-{}.toml", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let failure = source(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(failure.text.ends_with("it is a FIFO, not a file"), "{}", failure.text);
    }
}
