//! What is compressed and what is removed, on real files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::logs::file::scratch;
use crate::model::time::{Now, Wall};

/// An archive for which 20 seconds pass whenever it looks at the clock.
fn archive(dir: &Path, host_cap: HostCap) -> Archive {
    let ticks = AtomicU64::new(1);
    let clock: Clock = Arc::new(move || {
        let seconds = ticks.fetch_add(20, Ordering::Relaxed);
        Now { mono: Mono(seconds * 1_000_000_000), wall: Wall(seconds) }
    });
    Archive::new(Arc::new(LogDir::open(dir).unwrap()), host_cap, clock)
}

fn rotated(app: &str, compress: bool, max_total: u64) -> Rotated {
    Rotated { app: AppName::parse(app).unwrap(), file: "0.log".to_owned(), compress, max_total }
}

/// Notes it and waits until nothing is left to do.
fn settle(archive: &Archive, rotated: Rotated) {
    archive.note(rotated);
    while archive.inner.state().running {
        thread::yield_now();
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn rotated_files_but_the_newest_are_compressed_and_keep_what_they_are() {
    let root = scratch("archive");
    let dir = root.join("a");
    fs::create_dir(&dir).unwrap();
    let text = "a line of a log\n".repeat(10_000);
    for name in ["0.log", "0.log.1", "0.log.2", "0.log.3"] {
        fs::write(dir.join(name), &text).unwrap();
    }
    fs::set_permissions(dir.join("0.log.2"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(dir.join("0.log.2")).unwrap();
    // As if the daemon had died at the last step, and in the midst of another.
    fs::write(dir.join("0.log.3.zst"), "whole").unwrap();
    fs::write(dir.join("0.log.zst.new"), "half").unwrap();
    settle(&archive(&root, HostCap::None), rotated("a", true, 0));
    assert_eq!(files(&dir), ["0.log", "0.log.1", "0.log.2.zst", "0.log.3.zst"]);
    assert_eq!(fs::read(dir.join("0.log.3.zst")).unwrap(), b"whole");
    let packed = fs::read(dir.join("0.log.2.zst")).unwrap();
    assert!(packed.len() < 1000 && zstd::decode_all(&packed[..]).unwrap() == text.as_bytes());
    let after = fs::metadata(dir.join("0.log.2.zst")).unwrap();
    assert_eq!((after.mode(), after.modified().unwrap()), (before.mode(), before.modified().unwrap()));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn the_oldest_go_first_when_an_app_or_the_host_has_too_much() {
    let root = scratch("caps");
    let write = |app: &str, name: &str, age: u64| {
        fs::create_dir_all(root.join(app)).unwrap();
        let path = root.join(app).join(name);
        fs::write(&path, vec![b'x'; 100 << 10]).unwrap();
        let when = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        File::open(path).unwrap().set_modified(when).unwrap();
    };
    for (app, name, age) in [
        ("a", "0.log", 0),
        ("a", "0.log.1", 5),
        ("a", "1.log.1", 9),
        ("a", "0.log.2.zst", 7),
        ("b", "0.log.1", 20),
        ("b", "notes.txt", 99),
    ] {
        write(app, name, age);
    }
    fs::write(root.join("stead.log"), "the daemon's").unwrap();
    settle(&archive(&root, HostCap::None), rotated("a", false, 350 << 10));
    assert_eq!(files(&root.join("a")), ["0.log", "0.log.1", "0.log.2.zst"]);
    assert_eq!(files(&root.join("b")), ["0.log.1", "notes.txt"]);
    settle(&archive(&root, HostCap::Bytes(450 << 10)), rotated("a", false, 0));
    assert_eq!((files(&root.join("a")).len(), files(&root.join("b"))), (3, vec!["notes.txt".to_owned()]));
    // What is written now is never removed, nor what is none of ours.
    settle(&archive(&root, HostCap::Bytes(1)), rotated("a", false, 0));
    assert_eq!((files(&root.join("a")), files(&root.join("b")).len()), (vec!["0.log".to_owned()], 1));
    settle(&archive(&root, HostCap::Percent(100)), rotated("a", false, 0));
    assert_eq!(files(&root.join("a")), ["0.log"]);
    fs::remove_dir_all(root).unwrap();
}
