//! *Desired* on disk: what people asked for, fsynced before it is acted on.
//! Owns: the one state file. Never: knows what is in it beyond its version.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Raised when the meaning of the file changes; an unknown version is set aside, never guessed at.
const VERSION: u32 = 1;

#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Saved<T> {
    version: u32,
    desired: T,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} {path}: {error}")]
    Io { action: &'static str, path: PathBuf, error: io::Error },
    #[error("{path} cannot be read as saved state ({why}); it was set aside as {aside}")]
    Corrupt { path: PathBuf, aside: PathBuf, why: String },
}

impl Store {
    /// Makes the state directory, 0700: specs hold secrets in `env`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| StoreError::Io {
            action: "make",
            path: dir.to_owned(),
            error,
        })?;
        Ok(Self { dir: dir.to_owned() })
    }

    fn file(&self) -> PathBuf {
        self.dir.join("desired.json")
    }

    /// None if nothing was ever saved. A file that cannot be understood is renamed, never overwritten.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let path = self.file();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::Io { action: "read", path, error }),
        };
        let why = match serde_json::from_slice::<Saved<T>>(&bytes) {
            Ok(saved) if saved.version == VERSION => return Ok(Some(saved.desired)),
            Ok(saved) => format!("version {}, this stead knows {VERSION}", saved.version),
            Err(error) => error.to_string(),
        };
        let aside = self.dir.join("desired.json.unreadable");
        fs::rename(&path, &aside).map_err(|error| StoreError::Io { action: "set aside", path: path.clone(), error })?;
        Err(StoreError::Corrupt { path, aside, why })
    }

    /// Temp, fsync, rename, fsync of the directory: after a return the state survives power loss; on an error the
    /// earlier one stands.
    pub fn save<T: Serialize>(&self, desired: &T) -> Result<(), StoreError> {
        let temp = self.dir.join("desired.json.new");
        let saved = Saved { version: VERSION, desired };
        let bytes = serde_json::to_vec(&saved).map_err(|error| StoreError::Io {
            action: "encode",
            path: temp.clone(),
            error: error.into(),
        })?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temp, self.file())?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| StoreError::Io { action: "write", path: temp.clone(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("stead-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn what_was_saved_is_loaded_and_nothing_saved_is_none() {
        let dir = scratch("roundtrip");
        let store = Store::open(&dir).unwrap();
        assert!(store.load::<Vec<u32>>().unwrap().is_none());
        store.save(&vec![1, 2, 3]).unwrap();
        assert_eq!(store.load::<Vec<u32>>().unwrap(), Some(vec![1, 2, 3]));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_from_another_version_or_planet_is_set_aside_and_named() {
        let dir = scratch("aside");
        let store = Store::open(&dir).unwrap();
        for text in ["{\"version\":99,\"desired\":[]}", "garbage\0"] {
            fs::write(dir.join("desired.json"), text).unwrap();
            let error = store.load::<Vec<u32>>().unwrap_err().to_string();
            assert!(error.contains("set aside"), "{error}");
            assert_eq!(fs::read_to_string(dir.join("desired.json.unreadable")).unwrap(), text);
            assert!(store.load::<Vec<u32>>().unwrap().is_none());
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
