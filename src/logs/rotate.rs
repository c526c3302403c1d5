//! Rotation: `0.log` becomes `0.log.1`, `0.log.1` becomes `0.log.2`, the oldest goes.
//! Owns: the names of rotated files and the order of renames.
//! Never: decides when, or opens a file.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use crate::sys::open::{names, rename, unlink};

/// What a compressed file's name ends with.
pub const COMPRESSED: &str = ".zst";

/// A rotated file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elder {
    /// 1 is the newest.
    pub number: u32,
    pub name: String,
}

impl Elder {
    pub fn is_compressed(&self) -> bool {
        self.name.ends_with(COMPRESSED)
    }
}

/// The number of a rotated file of `current`: 1 is the newest. None: it is none.
pub fn elder_number(current: &str, name: &str) -> Option<u32> {
    let digits = name.strip_prefix(current)?.strip_prefix('.')?;
    let digits = digits.strip_suffix(COMPRESSED).unwrap_or(digits);
    let number: u32 = digits.parse().ok()?;
    // `0.log.+1` and `0.log.01` are somebody else's files.
    (number > 0 && number.to_string() == digits).then_some(number)
}

/// The rotated files of `current`, newest first.
pub fn elders(dir: BorrowedFd<'_>, current: &str) -> io::Result<Vec<Elder>> {
    let elder = |name: String| Some(Elder { number: elder_number(current, &name)?, name });
    let mut found: Vec<_> = names(dir)?.into_iter().filter_map(elder).collect();
    found.sort_unstable();
    Ok(found)
}

/// Moves `current` out of the way, keeping `keep` rotated files. Whatever dies in between, every file that is to be kept
/// has a name, and a second call goes on from there.
pub fn rotate(dir: BorrowedFd<'_>, current: &str, keep: u32) -> io::Result<()> {
    let elders = elders(dir, current)?;
    for elder in elders.iter().rev() {
        let ending = if elder.is_compressed() { COMPRESSED } else { "" };
        if elder.number >= keep {
            forgive_missing(unlink(dir, &elder.name))?;
        } else {
            forgive_missing(rename(dir, &elder.name, &format!("{current}.{}{ending}", elder.number + 1)))?;
        }
    }
    if keep == 0 { unlink(dir, current) } else { rename(dir, current, &format!("{current}.1")) }
}

/// Somebody else removed the file first: that is as good.
pub fn forgive_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;
    use crate::logs::file::scratch;
    use crate::sys::open::open_root;

    #[test]
    fn files_move_up_by_one_and_the_oldest_goes() {
        let dir = scratch("rotate");
        for (name, text) in
            [("0.log", "new"), ("0.log.1", "one"), ("0.log.2", "two"), ("0.log.9", "far"), ("1.log.1", "")]
        {
            fs::write(dir.join(name), text).unwrap();
        }
        let open = open_root(&dir).unwrap();
        rotate(open.as_fd(), "0.log", 2).unwrap();
        let left: Vec<_> = elders(open.as_fd(), "0.log").unwrap().into_iter().map(|elder| elder.name).collect();
        assert_eq!(left, ["0.log.1", "0.log.2"]);
        assert_eq!(fs::read_to_string(dir.join("0.log.1")).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.join("0.log.2")).unwrap(), "one");
        assert!(dir.join("1.log.1").exists() && !dir.join("0.log").exists());
        fs::rename(dir.join("0.log.2"), dir.join("0.log.2.zst")).unwrap();
        fs::write(dir.join("0.log"), "newer").unwrap();
        rotate(open.as_fd(), "0.log", 8).unwrap();
        assert!(["0.log.1", "0.log.2", "0.log.3.zst"].iter().all(|name| dir.join(name).exists()));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_names_that_rotation_makes_are_rotated_files() {
        for name in ["0.log.", "0.log.0", "0.log.01", "0.log.+1", "0.log.1.gz", "10.log.1", "0.log"] {
            assert_eq!(elder_number("0.log", name), None, "{name}");
        }
        assert_eq!(elder_number("0.log", "0.log.12"), Some(12));
        assert_eq!(elder_number("0.log", "0.log.2.zst"), Some(2));
    }
}
