//! The thread on real pipes and files: order, bytes, EOF, full disks, hangs, and daemons that die at every step.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::logs::archive::HostCap;
use crate::logs::file::{Opener, Place, scratch};
use crate::logs::format::{PIECE_MAX, Tail, format_batch, parse_cri};
use crate::logs::record::{FileId, InFile, InMemory, Phase, Record};
use crate::logs::trash::PIPE_SIZE;
use crate::model::spec::LogFormat;
use crate::sys::pipe::{Pipe, splice, tee};

const DEADLINE: Duration = Duration::from_secs(20);

/// Goes on by a nanosecond at each look, and starts on an even one.
fn clock() -> Clock {
    let nanos = AtomicU64::new(1_795_178_823_000_000_000);
    Arc::new(move || {
        let now = nanos.fetch_add(2_000_000, Ordering::Relaxed);
        Now { mono: Mono(now), wall: Wall(now) }
    })
}

fn target(format: LogFormat) -> Arc<Target> {
    let place = Place::Kept { app: AppName::parse("api").unwrap(), file: "0.log".to_owned(), gid: None };
    Arc::new(Target { place, format, max_size: 0, max_files: 0, compress: false, max_total: 0 })
}

struct Bench {
    dir: PathBuf,
    reports: Receiver<Report>,
    capture: Capture,
}

impl Bench {
    fn event(&self, target: &Arc<Target>, at: Wall, text: &str) {
        self.capture.write(vec![Event {
            target: Arc::clone(target),
            number: 0,
            at,
            text: text.to_owned(),
            entry: None,
        }]);
    }

    fn new(name: &str) -> Self {
        let trash = Trash::private().unwrap();
        Self::with(scratch(name), Box::new(InMemory(Record::IDLE)), trash, Vec::new(), Duration::from_secs(10))
    }

    fn with(
        dir: PathBuf,
        store: Box<dyn RecordStore>,
        trash: Trash,
        streams: Vec<Stream>,
        log_stall: Duration,
    ) -> Self {
        let (sender, reports) = channel();
        let report: Reporter = Arc::new(move |report| drop(sender.send(report)));
        let settings = Settings { store, trash, clock: clock(), report, log_stall, host_cap: HostCap::None };
        let capture = Capture::start(&dir, settings, streams).unwrap();
        Self { dir, reports, capture }
    }

    fn add(&self, key: u64, stream: LogStream, target: &Arc<Target>) -> File {
        let (stream, write) = stream_of(key, stream, target);
        self.capture.add(stream);
        write
    }

    fn sync(&self) {
        self.capture.sync().recv_timeout(DEADLINE).expect("the capture thread answers");
    }

    fn report(&self) -> Report {
        self.reports.recv_timeout(DEADLINE).expect("the capture thread reports")
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.dir.join("api/0.log")).unwrap_or_default()
    }

    fn lines(&self) -> Vec<(bool, bool, Vec<u8>)> {
        let log = self.log();
        let lines = log.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|l| parse_cri(l).expect("a line of ours"))
            .map(|l| (l.partial, l.event, l.text.into_owned()))
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, _, text)| String::from_utf8(text).unwrap()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn stream_of(key: u64, stream: LogStream, target: &Arc<Target>) -> (Stream, File) {
    let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE).unwrap();
    // An app's end blocks.
    let write = File::from(write);
    let blocking =
        File::options().write(true).open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&write)));
    let label = "api/0".to_owned();
    let target = Arc::clone(target);
    (Stream { key: StreamKey(key), pipe: read, spilled: None, stream, label, target }, blocking.unwrap())
}

#[test]
fn lines_come_out_in_order_and_the_end_is_told_after_the_last_of_them() {
    let bench = Bench::new("order");
    let mut app = bench.add(1, LogStream::Out, &target(LogFormat::Cri));
    let expected: Vec<String> = (0..50_000).map(|n| format!("line {n}")).collect();
    for line in &expected {
        writeln!(app, "{line}").unwrap();
    }
    write!(app, "no newline").unwrap();
    drop(app);
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    let mut texts = bench.texts();
    assert_eq!(texts.pop().as_deref(), Some("no newline"));
    assert!(texts == expected, "{} lines came out", texts.len());
}

#[test]
fn a_line_without_an_end_of_100_mb_comes_out_as_it_went_in() {
    let bench = Bench::new("long");
    let mut app = bench.add(1, LogStream::Out, &target(LogFormat::Cri));
    let piece: Vec<u8> = (0..1_000_000u32).map(|n| if n % 251 == 10 { 11 } else { (n % 251) as u8 }).collect();
    for _ in 0..100 {
        app.write_all(&piece).unwrap();
    }
    drop(app);
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    let lines = bench.lines();
    assert!(lines.iter().all(|(_, _, text)| text.len() <= PIECE_MAX));
    assert!(lines[..lines.len() - 1].iter().all(|(partial, ..)| *partial) && !lines.last().unwrap().0);
    let whole = lines.into_iter().map(|(_, _, text)| text).collect::<Vec<_>>().concat();
    assert!(whole == piece.repeat(100), "{} bytes came out", whole.len());
}

/// The kernel wakes no reader of a pipe that already holds something until the write is over, and a write of more than
/// the pipe holds is over only when somebody has read.
#[test]
fn a_write_larger_than_the_pipe_goes_through_after_a_prompt_without_a_newline() {
    let bench = Bench::new("prompt");
    let mut app = bench.add(1, LogStream::Out, &target(LogFormat::Cri));
    let (told, done) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        for _ in 0..3 {
            app.write_all(b"> ").unwrap();
            app.write_all(&vec![b'x'; 3 << 20]).unwrap();
            app.write_all(b"\n").unwrap();
        }
        let _ = told.send(());
    });
    done.recv_timeout(Duration::from_secs(20)).expect("the app hangs in its write");
    writer.join().unwrap();
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    let bytes: usize = bench.lines().iter().map(|(_, _, text)| text.len()).sum();
    assert_eq!(bytes, 3 * (2 + (3 << 20)));
}

#[test]
fn nul_bytes_and_invalid_utf8_come_out_as_they_went_in() {
    let bench = Bench::new("bytes");
    let mut app = bench.add(1, LogStream::Err, &target(LogFormat::Cri));
    app.write_all(b"a\0b\n\xff\xfe\n\n\r\n").unwrap();
    bench.sync();
    let texts: Vec<_> = bench.lines().into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, [&b"a\0b"[..], b"\xff\xfe", b"", b"\r"]);
}

#[test]
fn a_piece_of_a_line_waits_for_its_end() {
    let bench = Bench::new("piece");
    let mut app = bench.add(1, LogStream::Out, &target(LogFormat::Cri));
    app.write_all(b"one\ntw").unwrap();
    bench.sync();
    assert_eq!(bench.texts(), ["one"]);
    app.write_all(b"o\n").unwrap();
    bench.sync();
    assert_eq!(bench.texts(), ["one", "two"]);
}

#[test]
fn an_event_stands_after_what_was_written_before_it() {
    let bench = Bench::new("event");
    let target = target(LogFormat::Cri);
    let mut app = bench.add(1, LogStream::Out, &target);
    app.write_all(b"last words\n").unwrap();
    bench.event(&target, Wall(1_795_178_824_000_000_000), "api/0: exited (code 1)");
    bench.sync();
    let lines = bench.lines();
    assert_eq!(lines[0], (false, false, b"last words".to_vec()));
    assert_eq!(lines[1], (false, true, b"[stead] api/0: exited (code 1)".to_vec()));
}

#[test]
fn raw_files_hold_the_bytes_and_nothing_else() {
    let bench = Bench::new("raw");
    let target = target(LogFormat::Raw);
    let mut app = bench.add(1, LogStream::Out, &target);
    app.write_all(b"one\n\0two").unwrap();
    drop(app);
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    bench.event(&target, Wall(2), "api/0: exited");
    bench.sync();
    assert_eq!(bench.log(), b"one\n\0two");
}

#[test]
fn rotation_cuts_between_lines_and_loses_none() {
    let bench = Bench::new("rotation");
    let Target { place, format, .. } = (*target(LogFormat::Cri)).clone();
    let target = Arc::new(Target { place, format, max_size: 20_000, max_files: 1000, compress: false, max_total: 0 });
    let mut app = bench.add(1, LogStream::Out, &target);
    for n in 0..20_000 {
        writeln!(app, "{n}").unwrap();
    }
    drop(app);
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    let mut numbers = Vec::new();
    let mut files: Vec<_> = fs::read_dir(bench.dir.join("api")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort_by_key(|path| Reverse(path.extension().unwrap().to_str().unwrap().parse::<u32>().unwrap_or(0)));
    for file in files {
        let text = fs::read(&file).unwrap();
        assert!(text.len() <= 20_000 && text.ends_with(b"\n"));
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        numbers.extend(lines.map(|l| String::from_utf8(parse_cri(l).unwrap().text.into_owned()).unwrap()));
    }
    assert!(numbers == (0..20_000).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// A file that fails, or hangs, until it is told not to.
fn outside(open: Opener) -> Arc<Target> {
    let place = Place::Outside { path: "/outside".to_owned(), open };
    Arc::new(Target { place, format: LogFormat::Raw, max_size: 0, max_files: 0, compress: false, max_total: 0 })
}

#[test]
fn lines_lost_on_a_full_disk_are_counted_and_the_log_says_so() {
    let bench = Bench::new("full");
    let path = bench.dir.join("out.log");
    let full = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (is_full, file) = (Arc::clone(&full), path.clone());
    let open: Opener = Arc::new(move || {
        let path = if is_full.load(Ordering::SeqCst) { PathBuf::from("/dev/full") } else { file.clone() };
        File::options().append(true).create(true).open(path)
    });
    let mut app = bench.add(1, LogStream::Out, &outside(open));
    app.write_all(b"one\ntwo\n").unwrap();
    assert!(matches!(bench.report(), Report::Losing { place, why } if place == "/outside" && why.contains("No space")));
    full.store(false, Ordering::SeqCst);
    bench.capture.reopen();
    app.write_all(b"three\n").unwrap();
    assert!(matches!(bench.report(), Report::Kept { lines: 2, bytes: 8, .. }));
    bench.sync();
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text, "[stead] api/0: 2 lines (8 bytes) were lost here: No space left on device (os error 28)\nthree\n");
}

#[test]
fn a_file_that_hangs_stops_no_other_and_tells_what_it_cost() {
    let trash = Trash::private().unwrap();
    let dir = scratch("hang");
    let bench = Bench::with(dir, Box::new(InMemory(Record::IDLE)), trash, Vec::new(), Duration::from_millis(20));
    let path = bench.dir.join("out.log");
    let (let_go, held) = channel::<()>();
    let (held, file) = (std::sync::Mutex::new(held), path.clone());
    let open: Opener = Arc::new(move || {
        // Opening hangs as writing would, until the other end is dropped.
        let _ = held.lock().unwrap().recv();
        File::options().append(true).create(true).open(&file)
    });
    let mut stuck = bench.add(1, LogStream::Out, &outside(open));
    let mut fine = bench.add(2, LogStream::Out, &target(LogFormat::Cri));
    stuck.write_all(b"one\n").unwrap();
    assert!(matches!(bench.report(), Report::Losing { why, .. } if why == "the write hangs"));
    stuck.write_all(b"two\n").unwrap();
    fine.write_all(b"not disturbed\n").unwrap();
    bench.sync();
    assert_eq!(bench.texts(), ["not disturbed"]);
    drop(let_go);
    assert!(matches!(bench.report(), Report::Kept { lines: 2, .. }));
    stuck.write_all(b"three\n").unwrap();
    bench.sync();
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("[stead] stead: 2 lines") && text.ends_with("\nthree\n"), "{text}");
}

#[test]
fn a_flush_empties_the_log_of_a_program_that_goes_on_writing() {
    let bench = Bench::new("flush");
    let mut app = bench.add(1, LogStream::Out, &target(LogFormat::Cri));
    app.write_all(b"old\n").unwrap();
    bench.sync();
    bench.capture.flush(AppName::parse("api").unwrap(), Vec::new()).recv_timeout(DEADLINE).unwrap().unwrap();
    app.write_all(b"new\n").unwrap();
    bench.sync();
    assert_eq!(bench.texts(), ["new"]);
}

/// How far the dead daemon got: phase, bytes of the append that are in the file, bytes taken out of the pipe.
fn after_death(phase: Phase, appended: usize, taken: usize) {
    let dir = scratch("death");
    let target = target(LogFormat::Cri);
    let (stream, mut app) = stream_of(1, LogStream::Out, &target);
    app.write_all(b"one\ntwo\nthree\nrest").unwrap();
    let batch = b"one\ntwo\nthree\n";
    let at = Wall(1_795_178_823_000_000_000);
    let mut lines = Vec::new();
    format_batch(LogFormat::Cri, LogStream::Out, at, batch, Tail::Open, u64::MAX, &mut lines);
    fs::create_dir(dir.join("api")).unwrap();
    let mut log = File::options().append(true).create(true).open(dir.join("api/0.log")).unwrap();
    log.write_all(b"2026-11-20T12:47:00.000000000Z stdout F zero\n").unwrap();
    let seen = log.metadata().unwrap();
    log.write_all(&lines[..appended]).unwrap();
    let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE).unwrap();
    match phase {
        // The copy was being read when the daemon died.
        Phase::Append => drop(tee(stream.pipe.as_fd(), write.as_fd(), 7).unwrap()),
        Phase::Consume | Phase::Idle if taken > 0 => {
            assert_eq!(splice(stream.pipe.as_fd(), write.as_fd(), taken).unwrap(), taken);
        }
        Phase::Consume | Phase::Idle => {}
    }
    let record = Record {
        phase,
        pipe: File::from(stream.pipe.try_clone().unwrap()).metadata().unwrap().ino(),
        file: FileId { dev: seen.dev(), ino: seen.ino() },
        before: seen.len(),
        taken: batch.len() as u64,
        at,
        format: LogFormat::Cri,
        stream: LogStream::Out,
        tail: Tail::Open,
    };
    let trash = Trash::new(read, write).unwrap();
    let bench = Bench::with(dir, Box::new(InMemory(record)), trash, vec![stream], Duration::from_secs(10));
    app.write_all(b" of it\n").unwrap();
    drop(app);
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    let texts = bench.texts();
    assert_eq!(texts, ["zero", "one", "two", "three", "rest of it"], "{phase:?}, {appended} appended, {taken} taken");
}

#[test]
fn a_daemon_that_died_before_during_or_after_the_append_wrote_each_line_once() {
    let whole = 3 * 40 + b"one\ntwo\nthree\n".len();
    for appended in 0..=whole {
        after_death(Phase::Append, appended, 0);
    }
}

#[test]
fn a_daemon_that_died_while_taking_bytes_out_took_each_byte_once() {
    let whole = 3 * 40 + b"one\ntwo\nthree\n".len();
    for taken in 0..=b"one\ntwo\nthree\n".len() {
        after_death(Phase::Consume, whole, taken);
    }
    // Idle, with the trash not yet emptied.
    after_death(Phase::Idle, whole, b"one\ntwo\nthree\n".len());
}

#[test]
fn a_file_that_was_flushed_or_moved_meanwhile_is_not_filled_again() {
    let dir = scratch("moved");
    let target = target(LogFormat::Cri);
    let (stream, mut app) = stream_of(1, LogStream::Out, &target);
    app.write_all(b"one\n").unwrap();
    fs::create_dir(dir.join("api")).unwrap();
    let log = File::options().append(true).create(true).open(dir.join("api/0.log")).unwrap();
    let seen = log.metadata().unwrap();
    fs::rename(dir.join("api/0.log"), dir.join("api/0.log.1")).unwrap();
    let record = Record {
        phase: Phase::Append,
        pipe: File::from(stream.pipe.try_clone().unwrap()).metadata().unwrap().ino(),
        file: FileId { dev: seen.dev(), ino: seen.ino() },
        taken: 4,
        format: LogFormat::Cri,
        ..Record::IDLE
    };
    let trash = Trash::private().unwrap();
    let bench = Bench::with(dir, Box::new(InMemory(record)), trash, vec![stream], Duration::from_secs(10));
    bench.sync();
    assert!(fs::read_to_string(bench.dir.join("api/0.log.1")).unwrap().ends_with(" stdout F one\n"));
    assert_eq!(bench.log(), b"");
}

/// Not a test by itself: the daemon that the next test kills. Its fds are those of its parent, the holder.
#[test]
fn a_daemon_captures_until_it_is_killed() {
    let Ok(dir) = std::env::var("STEAD_TEST_CAPTURE") else { return };
    let holder = |fd: &str| format!("/proc/{}/fd/{}", std::os::unix::process::parent_id(), std::env::var(fd).unwrap());
    let open = |fd: &str, write: bool| {
        let file = File::options().read(!write).write(write).open(holder(fd));
        OwnedFd::from(file.unwrap())
    };
    let Target { place, format, .. } = (*target(LogFormat::Cri)).clone();
    let target = Arc::new(Target { place, format, max_size: 1 << 20, max_files: 1000, compress: false, max_total: 0 });
    let stream = LogStream::Out;
    // Inherited, so that its offset is common to both.
    let spilled = std::env::var("SPILL").is_ok().then(|| std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (pipe, label) = (open("PIPE", false), "api/0".to_owned());
    let streams = vec![Stream { key: StreamKey(1), pipe, spilled, stream, label, target }];
    let trash = Trash::new(open("TRASH_READ", false), open("TRASH_WRITE", true)).unwrap();
    let record = File::options().read(true).write(true).open(Path::new(&dir).join("record")).unwrap();
    let (sender, reports) = channel();
    let report: Reporter = Arc::new(move |report| drop(sender.send(report)));
    let store = Box::new(InFile::new(record, 0));
    let settings = Settings { store, trash, clock: clock(), report, log_stall: DEADLINE, host_cap: HostCap::None };
    let capture = Capture::start(Path::new(&dir), settings, streams).unwrap();
    while reports.recv().unwrap() != Report::Closed(StreamKey(1)) {}
    drop(capture);
}

#[test]
fn what_was_spilled_comes_first_and_a_line_may_go_on_behind_it() {
    let bench = Bench::new("spilled");
    let target = target(LogFormat::Cri);
    let (mut stream, mut app) = stream_of(1, LogStream::Out, &target);
    let spilled = crate::sys::memfd::growing("spilled").unwrap();
    crate::sys::memfd::write_all(spilled.as_fd(), b"one\ntw").unwrap();
    stream.spilled = Some(spilled);
    app.write_all(b"o\nthree\n").unwrap();
    bench.capture.add(stream);
    assert_eq!(bench.report(), Report::Unspilled(StreamKey(1)));
    bench.sync();
    let lines = bench.lines();
    let lines: Vec<(bool, &[u8])> = lines.iter().map(|(partial, _, text)| (*partial, &text[..])).collect();
    assert_eq!(lines, [(false, &b"one"[..]), (true, b"tw"), (false, b"o"), (false, b"three")]);
    app.write_all(b"four\n").unwrap();
    drop(app);
    assert_eq!(bench.report(), Report::Closed(StreamKey(1)));
    assert_eq!(bench.texts().last().unwrap(), "four");
}

#[test]
fn a_daemon_killed_over_and_over_writes_every_line_once() {
    killed_over_and_over("killed", false);
}

#[test]
fn a_daemon_killed_over_and_over_writes_every_line_once_though_output_is_spilled_meanwhile() {
    killed_over_and_over("killed-spilled", true);
}

fn killed_over_and_over(name: &str, spills: bool) {
    const LINES: usize = 300_000;
    const KILLS: u64 = 40;
    let dir = scratch(name);
    let spilled = File::from(crate::sys::memfd::growing("spilled").unwrap());
    File::create(dir.join("record")).unwrap();
    let (stream, mut app) = stream_of(1, LogStream::Out, &target(LogFormat::Cri));
    let Pipe { read: trash_read, write: trash_write } = Pipe::nonblocking(PIPE_SIZE).unwrap();
    let numbered = |number: usize| format!("{number} {}", "x".repeat(number * 7919 % 160));
    let writer = std::thread::spawn(move || {
        let text: String = (0..LINES).map(|number| numbered(number) + "\n").collect();
        // Odd pieces, so that looks end within lines.
        text.as_bytes().chunks(3001).for_each(|piece| app.write_all(piece).unwrap());
    });
    let start = || {
        let number = |fd: &OwnedFd| std::os::fd::AsRawFd::as_raw_fd(fd).to_string();
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "logs::capture::tests::a_daemon_captures_until_it_is_killed"])
            .env("STEAD_TEST_CAPTURE", &dir)
            .env("PIPE", number(&stream.pipe))
            .env("TRASH_READ", number(&trash_read))
            .env("TRASH_WRITE", number(&trash_write))
            .envs(spills.then_some(("SPILL", "")))
            .stdin(spilled.try_clone().unwrap())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let files = || {
        let mut files: Vec<PathBuf> =
            fs::read_dir(dir.join("api")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort_by_key(|path| Reverse(path.extension().unwrap().to_str().unwrap().parse::<u32>().unwrap_or(0)));
        files
    };
    let written = || files().iter().filter_map(|file| fs::metadata(file).ok()).map(|seen| seen.len()).sum::<u64>();
    let total = (0..LINES).map(|number| numbered(number).len() as u64 + 41).sum::<u64>();
    let mut moved = 0;
    for kill in 1..=KILLS {
        let mut daemon = start();
        // Each is killed at another place, as soon as the log is that long.
        while written() < total * kill / (KILLS + 1) && daemon.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        if spills && kill % 3 > 0 {
            // As the holder does while there is no daemon.
            moved += crate::sys::pipe::move_to_file(stream.pipe.as_fd(), &spilled, usize::MAX).unwrap();
        }
    }
    assert!(!spills || moved > 4 << 20, "only {moved} bytes were spilled");
    let mut last = start();
    writer.join().unwrap();
    assert!(last.wait().unwrap().success());
    let (mut next, mut piece) = (0, Vec::new());
    for file in files() {
        let text = fs::read(&file).unwrap();
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let line = parse_cri(line).unwrap_or_else(|| panic!("torn: {:?}", String::from_utf8_lossy(line)));
            piece.extend_from_slice(&line.text);
            // Where a spill ended, a line goes on in the next record.
            if line.partial && spills {
                continue;
            }
            assert_eq!(String::from_utf8_lossy(&piece), numbered(next), "in {}", file.display());
            piece.clear();
            next += 1;
        }
    }
    assert_eq!(next, LINES);
    fs::remove_dir_all(dir).unwrap();
}
