//! Files on a real disk: rotation, removal, links, torn lines.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn target(max_size: u64, max_files: u32) -> Arc<Target> {
    let place = Place::Kept { app: AppName::parse("api").unwrap(), file: "0.log".to_owned(), gid: None };
    Arc::new(Target { place, format: LogFormat::Cri, max_size, max_files, compress: false, max_total: 0 })
}

fn append(file: &mut LogFile, root: &LogDir, lines: &str) -> u64 {
    file.append(root, lines.as_bytes(), &mut |_, _| Go::Ahead).unwrap()
}

#[test]
fn a_file_is_rotated_when_it_would_grow_past_its_limit() {
    let dir = scratch("file");
    let root = LogDir::open(&dir).unwrap();
    let mut file = LogFile::new(target(10, 2));
    for line in ["aaaaaa\n", "bb\n", "cccccc\n", "dddddd\n", "eeeeee\n"] {
        append(&mut file, &root, line);
    }
    let read = |name: &str| fs::read_to_string(dir.join("api").join(name)).unwrap();
    assert_eq!(
        (read("0.log").as_str(), read("0.log.1").as_str(), read("0.log.2").as_str()),
        ("eeeeee\n", "dddddd\n", "cccccc\n")
    );
    assert!(!dir.join("api/0.log.3").exists());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn others_may_neither_read_nor_write() {
    let dir = scratch("mode");
    let root = LogDir::open(&dir).unwrap();
    append(&mut LogFile::new(target(0, 0)), &root, "x\n");
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("api") & 0o027, 0);
    assert_eq!(mode("api/0.log") & 0o137, 0);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let dir = scratch("link");
    let root = LogDir::open(&dir).unwrap();
    fs::create_dir(dir.join("api")).unwrap();
    fs::write(dir.join("victim"), "").unwrap();
    symlink("../victim", dir.join("api/0.log")).unwrap();
    let error = LogFile::new(target(0, 0)).append(&root, b"x\n", &mut |_, _| Go::Ahead).unwrap_err();
    assert!(error.to_string().starts_with("cannot append to api/0.log"), "{error}");
    assert_eq!(fs::read(dir.join("victim")).unwrap(), b"");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_that_was_removed_is_made_again() {
    let dir = scratch("removed");
    let root = LogDir::open(&dir).unwrap();
    let mut file = LogFile::new(target(0, 0));
    append(&mut file, &root, "one\n");
    fs::remove_file(dir.join("api/0.log")).unwrap();
    append(&mut file, &root, "two\n");
    assert_eq!(fs::read(dir.join("api/0.log")).unwrap(), b"two\n");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_flush_empties_files_in_use_and_removes_rotated_ones() {
    let dir = scratch("flush");
    let root = LogDir::open(&dir).unwrap();
    let mut file = LogFile::new(target(4, 3));
    append(&mut file, &root, "one\n");
    append(&mut file, &root, "two\n");
    fs::write(dir.join("api/keep.txt"), "mine").unwrap();
    flush_app(&root, &AppName::parse("api").unwrap()).unwrap();
    assert!(!dir.join("api/0.log.1").exists());
    assert_eq!(append(&mut file, &root, "six\n"), 4);
    assert_eq!(fs::read(dir.join("api/0.log")).unwrap(), b"six\n");
    assert_eq!(fs::read(dir.join("api/keep.txt")).unwrap(), b"mine");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_full_disk_is_an_error_with_the_files_name() {
    let dir = scratch("full");
    let root = LogDir::open(&dir).unwrap();
    let open: Opener = Arc::new(|| File::options().append(true).open("/dev/full"));
    let place = Place::Outside { path: "/dev/full".to_owned(), open };
    let target = Target { place, format: LogFormat::Raw, max_size: 0, max_files: 0, compress: false, max_total: 0 };
    let error = LogFile::new(Arc::new(target)).append(&root, b"x\n", &mut |_, _| Go::Ahead).unwrap_err();
    assert_eq!(error.to_string(), "cannot append to /dev/full: No space left on device (os error 28)");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn raw_files_are_named_as_pm2_names_them() {
    let app = AppName::parse("api").unwrap();
    let name = |format, many, stream| file_name(format, &app, Slot(2), many, stream);
    assert_eq!(name(LogFormat::Raw, false, LogStream::Out), "api-out.log");
    assert_eq!(name(LogFormat::Raw, true, LogStream::Err), "api-error-2.log");
    assert_eq!(name(LogFormat::Cri, true, LogStream::Err), "2.log");
}
