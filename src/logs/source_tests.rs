//! Reading across rotations and flushes, and finding the last lines.

use std::fs;
use std::path::Path;

use super::*;
use crate::logs::file::scratch;
use crate::logs::format::{Tail, event_stamp, format_batch};
use crate::logs::rotate::rotate;
use crate::model::ids::AppName;

fn log() -> Log {
    let place = Place::Kept { app: AppName::parse("api").unwrap(), file: "0.log".to_owned(), gid: None };
    Log { label: "api/0".to_owned(), format: LogFormat::Cri, raw_stream: LogStream::Out, place }
}

fn append(dir: &Path, at: u64, stream: LogStream, text: &str) {
    let mut lines = Vec::new();
    format_batch(LogFormat::Cri, stream, Wall(at), text.as_bytes(), Tail::Open, u64::MAX, &mut lines);
    fs::create_dir_all(dir.join("api")).unwrap();
    let path = dir.join("api/0.log");
    let old = fs::read(&path).unwrap_or_default();
    // Appending in place keeps the inode that a reader has open.
    let file = fs::File::options().create(true).truncate(false).write(true).open(path).unwrap();
    file.write_all_at(&lines, old.len() as u64).unwrap();
}

fn turn(dir: &Path) {
    rotate(crate::sys::open::open_root(&dir.join("api")).unwrap().as_fd(), "0.log", 8).unwrap();
}

fn texts(reader: &mut Reader, root: &LogDir) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(record) = reader.next_record(root).unwrap() {
        texts.push(String::from_utf8(record.bytes).unwrap());
    }
    texts
}

#[test]
fn a_log_is_read_through_its_rotated_files_oldest_first() {
    let dir = scratch("chain");
    for n in 0..5 {
        append(&dir, n * 2, LogStream::Out, &format!("{n}a\n{n}b\n"));
        turn(&dir);
    }
    append(&dir, 20, LogStream::Out, "now\n");
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    let all = texts(&mut reader, &root);
    assert_eq!(all, ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b", "now"]);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_reader_left_behind_by_rotations_misses_nothing() {
    let dir = scratch("behind");
    append(&dir, 0, LogStream::Out, "one\n");
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    assert_eq!(texts(&mut reader, &root), ["one"]);
    for n in ["two\n", "three\n", "four\n"] {
        append(&dir, 2, LogStream::Out, n);
        turn(&dir);
    }
    assert_eq!(texts(&mut reader, &root), ["two", "three", "four"]);
    append(&dir, 4, LogStream::Out, "five\n");
    assert_eq!(texts(&mut reader, &root), ["five"]);
    fs::remove_dir_all(dir).unwrap();
}

/// As `archive` does it.
fn pack(dir: &Path, number: u32) {
    let plain = dir.join(format!("api/0.log.{number}"));
    let packed = dir.join(format!("api/0.log.{number}.zst"));
    let modified = fs::metadata(&plain).unwrap().modified().unwrap();
    fs::write(&packed, zstd::encode_all(&fs::read(&plain).unwrap()[..], 3).unwrap()).unwrap();
    fs::File::options().write(true).open(packed).unwrap().set_modified(modified).unwrap();
    fs::remove_file(plain).unwrap();
}

#[test]
fn compressed_files_are_read_like_others_and_one_may_be_compressed_while_it_is_read() {
    let dir = scratch("packed");
    for n in 0..4 {
        append(&dir, n * 2, LogStream::Out, &format!("{n}a\n{n}b\n"));
        turn(&dir);
    }
    append(&dir, 20, LogStream::Out, "now\n");
    let root = LogDir::open(&dir).unwrap();
    let mut behind = Reader::open(&root, log()).unwrap();
    assert_eq!(behind.next_record(&root).unwrap().unwrap().bytes, b"0a");
    for number in 2..=4 {
        pack(&dir, number);
    }
    let mut reader = Reader::open(&root, log()).unwrap();
    let all = ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b", "now"];
    assert_eq!(texts(&mut reader, &root), all);
    assert_eq!(texts(&mut behind, &root), all[1..]);
    let mut last = Reader::open(&root, log()).unwrap();
    assert_eq!(last.seek_last(5, Wanted::default()).unwrap(), 5);
    turn(&dir);
    assert_eq!(texts(&mut last, &root), all[4..]);
    // One that is broken is read as far as it goes.
    let packed = dir.join("api/0.log.4.zst");
    fs::write(&packed, &fs::read(&packed).unwrap()[..10]).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    assert!(texts(&mut reader, &root).ends_with(&all[4..].iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_flushed_log_is_read_from_its_new_beginning() {
    let dir = scratch("flushed");
    append(&dir, 0, LogStream::Out, "a long line that goes away\n");
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    texts(&mut reader, &root);
    fs::File::options().write(true).open(dir.join("api/0.log")).unwrap().set_len(0).unwrap();
    append(&dir, 2, LogStream::Out, "new\n");
    assert_eq!(texts(&mut reader, &root), ["new"]);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_last_lines_are_found_across_files() {
    let dir = scratch("last");
    for n in 0..4 {
        append(&dir, n * 2, LogStream::Out, &format!("{n}a\n{n}b\n{n}c\n"));
        turn(&dir);
    }
    append(&dir, 20, LogStream::Out, "now\n");
    let root = LogDir::open(&dir).unwrap();
    for count in 0..=14 {
        let mut reader = Reader::open(&root, log()).unwrap();
        let found = reader.seek_last(count, Wanted::default()).unwrap();
        let lines = texts(&mut reader, &root);
        assert_eq!((found, lines.len() as u64), (count.min(13), count.min(13)), "the last {count}");
        assert_eq!(lines.last().map(String::as_str), (count > 0).then_some("now"));
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_last_lines_of_one_stream_or_since_a_moment_are_found() {
    let dir = scratch("wanted");
    append(&dir, 10, LogStream::Err, "e1\n");
    append(&dir, 20, LogStream::Out, "o1\n");
    append(&dir, 30, LogStream::Err, "e2\n");
    append(&dir, 40, LogStream::Out, "o2\n");
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    let err = Wanted { stream: Some(LogStream::Err), since: None, no_events: false };
    assert_eq!(reader.seek_last(1, err).unwrap(), 1);
    assert_eq!(texts(&mut reader, &root), ["e2", "o2"]);
    let since = Wanted { stream: None, since: Some(Wall(20)), no_events: false };
    let mut reader = Reader::open(&root, log()).unwrap();
    assert_eq!(reader.seek_last(u64::MAX, since).unwrap(), 3);
    assert_eq!(texts(&mut reader, &root), ["o1", "e2", "o2"]);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_pieces_of_a_long_line_are_one_line() {
    let dir = scratch("pieces");
    append(&dir, 10, LogStream::Out, "before\n");
    append(&dir, 20, LogStream::Out, &format!("{}\n", "x".repeat(PIECE_MAX * 2 + 1)));
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    assert_eq!(reader.seek_last(1, Wanted::default()).unwrap(), 1);
    let lengths: Vec<usize> = texts(&mut reader, &root).iter().map(String::len).collect();
    assert_eq!(lengths, [PIECE_MAX, PIECE_MAX, 1]);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_log_that_does_not_exist_yet_is_read_once_it_does() {
    let dir = scratch("later");
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    assert_eq!(reader.seek_last(5, Wanted::default()).unwrap(), 0);
    assert!(texts(&mut reader, &root).is_empty());
    append(&dir, 0, LogStream::Out, "here\n");
    assert_eq!(texts(&mut reader, &root), ["here"]);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn json_lines_are_told_apart_by_their_beginning() {
    for (stream, bytes, tail) in [(LogStream::Out, &b"x\n"[..], Tail::Open), (LogStream::Err, b"x", Tail::Open)] {
        let mut line = Vec::new();
        format_batch(LogFormat::Json, stream, Wall(8), bytes, tail, u64::MAX, &mut line);
        let open = !bytes.ends_with(b"\n");
        assert_eq!(
            crate::logs::search::peek(LogFormat::Json, LogStream::Out, &line),
            Some((Some(Wall(8)), stream, open))
        );
    }
}

#[test]
fn foreign_lines_are_shown_as_they_are() {
    let dir = scratch("foreign");
    append(&dir, event_stamp(Wall(8)).0, LogStream::Out, "ours\n");
    let path = dir.join("api/0.log");
    fs::write(&path, [fs::read(&path).unwrap(), b"somebody else's\n".to_vec()].concat()).unwrap();
    let root = LogDir::open(&dir).unwrap();
    let mut reader = Reader::open(&root, log()).unwrap();
    assert_eq!(texts(&mut reader, &root), ["ours", "somebody else's"]);
    fs::remove_dir_all(dir).unwrap();
}
