//! Merging, counting, and following across rotations without a poll.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::thread;

use super::*;
use crate::logs::file::{Go, LogFile, Place, Target, scratch};
use crate::logs::format::{Tail, format_batch};
use crate::model::ids::AppName;
use crate::model::logframe::{FrameReader, LogStream};
use crate::model::spec::LogFormat;
use crate::sys::pipe::Pipe;

fn place(slot: u32) -> Place {
    Place::Kept { app: AppName::parse("api").unwrap(), file: format!("{slot}.log"), gid: None }
}

fn log(slot: u32) -> Log {
    Log { label: format!("api/{slot}"), format: LogFormat::Cri, raw_stream: LogStream::Out, place: place(slot) }
}

struct Writer {
    root: LogDir,
    files: Vec<LogFile>,
    at: u64,
}

impl Writer {
    fn new(dir: &Path, slots: u32, max_size: u64) -> Self {
        let target = |slot| Target {
            place: place(slot),
            format: LogFormat::Cri,
            max_size,
            max_files: 8,
            compress: false,
            max_total: 0,
        };
        let files = (0..slots).map(|slot| LogFile::new(std::sync::Arc::new(target(slot)))).collect();
        Self { root: LogDir::open(dir).unwrap(), files, at: 1_795_178_823_000_000_000 }
    }

    fn say(&mut self, slot: usize, text: &str) {
        self.at += 2;
        let mut lines = Vec::new();
        let text = format!("{text}\n");
        format_batch(LogFormat::Cri, LogStream::Out, Wall(self.at), text.as_bytes(), Tail::Open, u64::MAX, &mut lines);
        self.files[slot].append(&self.root, &lines, &mut |_, _| Go::Ahead).unwrap();
    }
}

fn texts(records: &[LogRecord]) -> Vec<String> {
    records.iter().map(|r| format!("{} {}", r.label, String::from_utf8_lossy(&r.bytes))).collect()
}

#[test]
fn instances_are_merged_by_time_and_the_last_lines_are_those_of_all_together() {
    let dir = scratch("merge");
    let mut writer = Writer::new(&dir, 2, 100);
    for n in 0..10 {
        writer.say(n % 2, &n.to_string());
    }
    let read = |lines| {
        let query = Query { lines, ..Query::default() };
        texts(&read_logs(&dir, vec![log(0), log(1)], query).unwrap())
    };
    let all: Vec<String> = (0..10).map(|n| format!("api/{} {n}", n % 2)).collect();
    assert_eq!(read(None), all);
    assert_eq!(read(Some(3)), all[7..]);
    assert_eq!(read(Some(0)), Vec::<String>::new());
    assert_eq!(read(Some(100)), all);
    fs::remove_dir_all(dir).unwrap();
}

/// Follows on a thread of its own, as the daemon does.
struct Follower {
    frames: FrameReader,
    out: fs::File,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Follower {
    fn start(dir: PathBuf, selection: Selection, query: Query) -> Self {
        let Pipe { read, write } = Pipe::nonblocking(1 << 20).unwrap();
        let blocking = |fd: &OwnedFd, write: bool| {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd));
            fs::File::options().read(!write).write(write).open(path).unwrap()
        };
        let (out, to) = (blocking(&read, false), blocking(&write, true));
        let thread = thread::spawn(move || send_logs(&dir, selection, query, OwnedFd::from(to)));
        Self { frames: FrameReader::default(), out, thread }
    }

    fn next(&mut self) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(record) = self.frames.next_record().unwrap() {
                return texts(&[record]).remove(0);
            }
            let read = self.out.read(&mut buffer).unwrap();
            assert!(read > 0, "the follower ended");
            self.frames.push(&buffer[..read]);
        }
    }
}

#[test]
fn a_follower_sees_every_line_once_across_rotations_and_new_instances() {
    let dir = scratch("follow");
    let mut writer = Writer::new(&dir, 2, 2000);
    writer.say(0, "old");
    writer.say(0, "last");
    let query = Query { lines: Some(1), follow: true, ..Query::default() };
    let mut follower = Follower::start(dir.clone(), Box::new(|| vec![log(0), log(1)]), query);
    assert_eq!(follower.next(), "api/0 last");
    for n in 0..500 {
        writer.say(0, &n.to_string());
        assert_eq!(follower.next(), format!("api/0 {n}"));
    }
    writer.say(1, "hello from a new instance");
    assert_eq!(follower.next(), "api/1 hello from a new instance");
    assert!(dir.join("api/0.log.8").exists(), "nothing was rotated, so this test shows nothing");
    drop(follower.out);
    writer.say(0, "to nobody");
    follower.thread.join().unwrap().unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_follower_of_an_app_that_has_no_log_yet_sees_its_first_line() {
    let dir = scratch("first");
    let query = Query { lines: Some(10), follow: true, ..Query::default() };
    let mut follower = Follower::start(dir.clone(), Box::new(|| vec![log(0)]), query);
    Writer::new(&dir, 1, 0).say(0, "first");
    assert_eq!(follower.next(), "api/0 first");
    drop(follower.out);
    follower.thread.join().unwrap().unwrap();
    fs::remove_dir_all(dir).unwrap();
}
