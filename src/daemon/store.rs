//! *Desired* on disk: what people asked for, fsynced before it is acted on.
//! Owns: the one state file. Never: knows what is in it beyond its version.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What is wanted, what was wanted before the last change, and what is being written.
const CURRENT: &str = "desired.json";
const BEFORE: &str = "desired.json.before";
const NEW: &str = "desired.json.new";
/// Where what people saved under names of their own stands.
const SAVES: &str = "saved";

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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What was saved last, or else the time before. Nothing if nothing was ever saved. A file that cannot be understood
    /// is renamed, never overwritten; the second answer names it.
    pub fn load<T: DeserializeOwned>(&self) -> Result<(Option<T>, Option<StoreError>), StoreError> {
        match self.load_file(CURRENT) {
            Ok(None) => self.load_file(BEFORE).map(|before| (before, None)),
            Ok(current) => Ok((current, None)),
            Err(corrupt @ StoreError::Corrupt { .. }) => Ok((self.load_file(BEFORE)?, Some(corrupt))),
            Err(error) => Err(error),
        }
    }

    fn load_file<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let path = self.path(name);
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
        let aside = self.path(&format!("{name}.unreadable"));
        fs::rename(&path, &aside).map_err(|error| StoreError::Io { action: "set aside", path: path.clone(), error })?;
        Err(StoreError::Corrupt { path, aside, why })
    }

    /// Whether so many bytes can be saved: writes as many where the next save will, which takes their room. A promise of
    /// the file system's would not do: a sick disk promises, too.
    pub fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        let temp = self.path(NEW);
        let make = || -> io::Result<()> {
            let mut file = self.open_new()?;
            io::copy(&mut io::repeat(b' ').take(bytes), &mut file)?;
            file.sync_all()
        };
        make().map_err(|error| StoreError::Io { action: "write", path: temp, error })
    }

    fn open_new(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path(NEW))
    }

    /// Keeps a copy under a name of its own.
    pub fn save_as<T: Serialize>(&self, name: &str, desired: &T) -> Result<(), StoreError> {
        Self::open(&self.path(SAVES))?.save_file(&format!("{name}.json"), desired, &|| Ok(()))
    }

    pub fn load_saved<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        Self { dir: self.path(SAVES) }.load_file(&format!("{name}.json"))
    }

    /// The names that copies were kept under.
    pub fn saves(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(SAVES)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
        names.sort();
        names
    }

    /// Temp, fsync, rename, fsync of the directory: after a return the state survives power loss; on an error the
    /// earlier one stands. What was saved before stays beside it.
    pub fn save<T: Serialize>(&self, desired: &T) -> Result<(), StoreError> {
        let (current, before) = (self.path(CURRENT), self.path(BEFORE));
        self.save_file(CURRENT, desired, &|| {
            let forgive = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            };
            fs::remove_file(&before).or_else(forgive)?;
            fs::hard_link(&current, &before).or_else(forgive)
        })
    }

    /// `keep` looks after what has the name, once the new file is whole.
    fn save_file<T: Serialize>(
        &self,
        name: &str,
        desired: &T,
        keep: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let (temp, current) = (self.path(NEW), self.path(name));
        let saved = Saved { version: VERSION, desired };
        let bytes = serde_json::to_vec(&saved).map_err(|error| StoreError::Io {
            action: "encode",
            path: temp.clone(),
            error: error.into(),
        })?;
        let write = || -> io::Result<()> {
            let mut file = self.open_new()?;
            file.write_all(&bytes)?;
            file.set_len(bytes.len() as u64)?;
            file.sync_all()?;
            keep()?;
            fs::rename(&temp, &current)?;
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
        assert!(store.load::<Vec<u32>>().unwrap().0.is_none());
        store.make_room(100_000).unwrap();
        store.save(&vec![1, 2, 3]).unwrap();
        assert_eq!(store.load::<Vec<u32>>().unwrap().0, Some(vec![1, 2, 3]));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_save_has_a_name_and_leaves_the_rest_alone() {
        let dir = scratch("named");
        let store = Store::open(&dir).unwrap();
        store.save(&vec![1]).unwrap();
        assert!(store.load_saved::<Vec<u32>>("noon").unwrap().is_none() && store.saves().is_empty());
        store.save_as("noon", &vec![2]).unwrap();
        store.save_as("night", &vec![3]).unwrap();
        assert_eq!(store.saves(), ["night", "noon"]);
        assert_eq!(store.load_saved::<Vec<u32>>("noon").unwrap(), Some(vec![2]));
        assert_eq!(store.load::<Vec<u32>>().unwrap().0, Some(vec![1]));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_from_another_version_or_planet_is_set_aside_and_named() {
        let dir = scratch("aside");
        let store = Store::open(&dir).unwrap();
        for text in ["{\"version\":99,\"desired\":[]}", "garbage\0"] {
            fs::write(dir.join(CURRENT), text).unwrap();
            let (none, error) = store.load::<Vec<u32>>().unwrap();
            let error = error.unwrap().to_string();
            assert!(none.is_none() && error.contains("set aside"), "{error}");
            assert_eq!(fs::read_to_string(dir.join("desired.json.unreadable")).unwrap(), text);
            assert!(store.load::<Vec<u32>>().unwrap().0.is_none());
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_was_saved_before_is_there_when_the_last_cannot_be_read() {
        let dir = scratch("before");
        let store = Store::open(&dir).unwrap();
        store.save(&vec![1]).unwrap();
        store.save(&vec![2]).unwrap();
        fs::write(dir.join(CURRENT), "{\"version\":1,\"desi").unwrap();
        let (before, corrupt) = store.load::<Vec<u32>>().unwrap();
        assert!(before == Some(vec![1]) && corrupt.is_some());
        // As if the power had gone between two renames.
        assert_eq!(store.load::<Vec<u32>>().unwrap().0, Some(vec![1]));
        fs::remove_dir_all(dir).unwrap();
    }
}
