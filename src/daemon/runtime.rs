//! *Runtime* in memory that outlives the daemon: a memfd that the holder keeps.
//! Owns: its bytes, and that a batch of changes is there as a whole or not at all, whenever the daemon is killed.
//! Never: syncs: it is gone with the machine, as what it tells of is.
//!
//! After a page for the header come records: what was first is read first, and a later one of the same key wins. The
//! header says where they begin and end, and is written after them, 24 bytes at once: a pwrite(2) within a page is whole
//! even under SIGKILL, since the kernel acts on signals only when it is done. Old records are left behind by copying the
//! others to the end and moving the beginning there; the pages before it are given back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use crate::core::Part;
use crate::model::ids::Run;
use crate::sys::memfd;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    World(Part),
    /// What is on disk, too: the disk may be full, or sick.
    Desired,
    /// The number of the next job.
    NextJob,
    /// A run that is gone, but for what it printed last.
    Ending(Run),
    /// A life-cycle event that may not be in its log yet.
    News(u64),
}

/// Begins the header, and changes with the layout.
const MAGIC: &[u8; 8] = b"stead-r1";
const FIRST: u64 = 4096;
/// Instead of a length: the key is gone.
const GONE: u32 = u32::MAX;
/// Below this, old records are in nobody's way.
const SPARE: u64 = 1 << 20;

/// Why what is kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not in a form that this version knows")]
    Form,
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
}

/// Where a value stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    len: u32,
}

#[derive(Debug)]
pub struct RuntimeFile {
    file: File,
    start: u64,
    end: u64,
    /// Bytes of the records that count.
    live: u64,
    places: BTreeMap<Key, Place>,
    batch: Vec<u8>,
}

impl RuntimeFile {
    pub fn create() -> io::Result<Self> {
        let file = File::from(memfd::growing("stead-runtime")?);
        file.set_len(FIRST)?;
        let fresh = Self { file, start: FIRST, end: FIRST, live: 0, places: BTreeMap::new(), batch: Vec::new() };
        fresh.write_header(FIRST, FIRST)?;
        Ok(fresh)
    }

    pub fn open(fd: OwnedFd) -> Result<Self, Unreadable> {
        let file = File::from(fd);
        let mut header = [0; 24];
        file.read_exact_at(&mut header, 0)?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let (start, end) = (number(8), number(16));
        if header[..8] != *MAGIC || start < FIRST || end < start {
            return Err(Unreadable::Form);
        }
        let len = usize::try_from(end - start).map_err(|_| Unreadable::Form)?;
        if end > file.metadata()?.len() {
            return Err(Unreadable::Form);
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, start)?;
        let mut opened = Self { file, start, end, live: 0, places: BTreeMap::new(), batch: Vec::new() };
        let mut at = 0;
        while at < bytes.len() {
            at = opened.read_record(&bytes, at).ok_or(Unreadable::Damaged(start + at as u64))?;
        }
        Ok(opened)
    }

    pub fn copy(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Every key there is.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.places.keys()
    }

    /// The value of a key, as it was put.
    pub fn value(&self, key: &Key) -> Option<io::Result<Vec<u8>>> {
        let place = self.places.get(key)?;
        let mut bytes = vec![0; place.len as usize];
        Some(self.file.read_exact_at(&mut bytes, place.at).map(|()| bytes))
    }

    /// How long the value of a key is.
    pub fn len(&self, key: &Key) -> u64 {
        self.places.get(key).map_or(0, |place| place.len.into())
    }

    /// To be written by `commit`.
    pub fn put(&mut self, key: &Key, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("what is kept has string keys only and nothing that can fail");
        let len = u32::try_from(value.len()).ok().filter(|len| *len != GONE).expect("no value is as large as 4 GiB");
        let at = self.push(key, len);
        self.batch.extend_from_slice(&value);
        if let Some(before) = self.places.insert(key.clone(), Place { at, len }) {
            self.live -= u64::from(before.len);
        }
        self.live += u64::from(len);
    }

    /// To be written by `commit`.
    pub fn remove(&mut self, key: &Key) {
        if let Some(before) = self.places.remove(key) {
            self.live -= u64::from(before.len);
            self.push(key, GONE);
        }
    }

    /// Makes all that was put and removed since the last call count. On an error what counted before still does, and the
    /// next call tries again.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.batch, self.end)?;
        let end = self.end + self.batch.len() as u64;
        self.write_header(self.start, end)?;
        self.end = end;
        self.batch.clear();
        // Enough to have been worth the copying, and memory is what it costs.
        if self.end - self.start > SPARE + 4 * self.live {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> io::Result<()> {
        let mut places = BTreeMap::new();
        for (key, place) in &self.places {
            let mut value = vec![0; place.len as usize];
            self.file.read_exact_at(&mut value, place.at)?;
            let at = self.end + push_head(&mut self.batch, key, place.len) as u64;
            self.batch.extend_from_slice(&value);
            places.insert(key.clone(), Place { at, len: place.len });
        }
        let written = self.file.write_all_at(&self.batch, self.end);
        let (start, end) = (self.end, self.end + self.batch.len() as u64);
        self.batch.clear();
        written?;
        self.write_header(start, end)?;
        (self.start, self.end, self.places) = (start, end, places);
        memfd::give_back(&self.file, FIRST..start)
    }

    /// Where the value that follows will stand.
    fn push(&mut self, key: &Key, len: u32) -> u64 {
        self.end + push_head(&mut self.batch, key, len) as u64
    }

    fn write_header(&self, start: u64, end: u64) -> io::Result<()> {
        let mut header = [0; 24];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&start.to_le_bytes());
        header[16..].copy_from_slice(&end.to_le_bytes());
        self.file.write_all_at(&header, 0)
    }

    /// Where the next one begins.
    fn read_record(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (key_len, len) = (number(at)? as usize, number(at + 4)?);
        let value = at + 8 + key_len;
        let key: Key = serde_json::from_slice(bytes.get(at + 8..value)?).ok()?;
        if let Some(before) = self.places.remove(&key) {
            self.live -= u64::from(before.len);
        }
        if len == GONE {
            return Some(value);
        }
        bytes.get(value..value + len as usize)?;
        self.places.insert(key, Place { at: self.start + value as u64, len });
        self.live += u64::from(len);
        Some(value + len as usize)
    }
}

/// Appends all of a record but its value. Returns the length of what is there now.
fn push_head(batch: &mut Vec<u8>, key: &Key, len: u32) -> usize {
    let key = serde_json::to_vec(key).expect("a key is a name and a number");
    batch.extend_from_slice(&(key.len() as u32).to_le_bytes());
    batch.extend_from_slice(&len.to_le_bytes());
    batch.extend_from_slice(&key);
    batch.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(file: &RuntimeFile) -> BTreeMap<Key, String> {
        let text = |key: &Key| serde_json::from_slice(&file.value(key).unwrap().unwrap()).unwrap();
        file.keys().map(|key| (key.clone(), text(key))).collect()
    }

    fn reopened(file: &RuntimeFile) -> RuntimeFile {
        RuntimeFile::open(file.copy().unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_committed_is_there_and_nothing_else(
            batches in prop::collection::vec(prop::collection::vec((0u64..6, prop::option::of(0usize..200_000)), 0..6), 0..12),
        ) {
            let mut file = RuntimeFile::create().unwrap();
            let mut model: BTreeMap<Key, String> = BTreeMap::new();
            for batch in batches {
                for (run, value) in &batch {
                    let key = Key::Ending(Run(*run));
                    match value {
                        Some(len) => {
                            let text = "x".repeat(*len);
                            file.put(&key, &text);
                            model.insert(key, text);
                        }
                        None => {
                            file.remove(&key);
                            model.remove(&key);
                        }
                    }
                }
                file.commit().unwrap();
                prop_assert!(values(&file) == model);
                prop_assert!(values(&reopened(&file)) == model);
                prop_assert!(file.end - file.start <= SPARE + 4 * file.live + 1_300_000);
            }
            // Not committed: as if the daemon died here.
            file.put(&Key::NextJob, &"lost");
            prop_assert!(values(&reopened(&file)) == model);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 4000u64..4200, end in 4000u64..4400) {
            let file = File::from(memfd::growing("test").unwrap());
            file.write_all_at(&bytes, FIRST).unwrap();
            file.write_all_at(&[&MAGIC[..], &start.to_le_bytes(), &end.to_le_bytes()].concat(), 0).unwrap();
            let _ = RuntimeFile::open(file.into());
        }
    }

    #[test]
    fn an_empty_file_and_one_of_another_version_are_told_apart_from_a_good_one() {
        let empty = memfd::growing("test").unwrap();
        assert!(RuntimeFile::open(empty).is_err());
        let mut file = RuntimeFile::create().unwrap();
        file.put(&Key::NextJob, &7);
        file.commit().unwrap();
        assert_eq!(reopened(&file).value(&Key::NextJob).unwrap().unwrap(), b"7");
        file.file.write_all_at(b"stead-r2", 0).unwrap();
        assert!(matches!(RuntimeFile::open(file.copy().unwrap()), Err(Unreadable::Form)));
    }
}
