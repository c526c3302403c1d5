//! How fast app output reaches its files: one app with 2 M lines of 100 bytes in 4 KiB writes, and ten with 200 k each.
//! Writers are processes of their own, as apps are, so the CPU time shown is that of capturing alone.
//! `cargo bench --bench log_capture`; prints one row for each, and fails if a line was lost, doubled or torn.

#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use stead::logs::archive::HostCap;
use stead::logs::capture::{Capture, Clock, Report, Reporter, Settings, Stream, StreamKey};
use stead::logs::file::{Place, Target};
use stead::logs::record::{InMemory, Record};
use stead::logs::trash::{PIPE_SIZE, Trash};
use stead::model::ids::AppName;
use stead::model::logframe::LogStream;
use stead::model::spec::LogFormat;
use stead::model::time::{Mono, Now, Wall};
use stead::sys::pipe::Pipe;

const LINE: usize = 100;
const WRITE: usize = 4096;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, lines] = args.as_slice()
        && word == "write-lines"
    {
        return write_lines(lines.parse().expect("a number of lines"));
    }
    println!("{:<28} {:>12} {:>14} {:>12}", "log capture, CRI files", "M lines/s", "CPU s per GB", "wall ms");
    for round in 0..3 {
        run(&format!("1 app, 2 M lines ({round})"), 1, 2_000_000);
        run(&format!("10 apps, 200 k lines ({round})"), 10, 200_000);
    }
}

/// What an app does that fills a buffer of 4 KiB before it writes. Each line begins with its number.
fn write_lines(lines: usize) {
    let out = std::io::stdout().lock();
    let filler = "x".repeat(LINE);
    let mut text = Vec::with_capacity(lines * LINE);
    for number in 0..lines {
        let start = text.len();
        write!(text, "{number:010} {filler}").expect("a Vec takes all");
        text.truncate(start + LINE - 1);
        text.push(b'\n');
    }
    // All is formatted before the first byte is written, so that the writer is no slower than a pipe is.
    std::io::stdin().read_exact(&mut [0]).expect("the word to begin");
    let mut out = File::from(std::os::fd::AsFd::as_fd(&out).try_clone_to_owned().expect("a copy of stdout"));
    for piece in text.chunks(WRITE) {
        out.write_all(piece).expect("the pipe is read");
    }
}

fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock set after 1970").as_nanos() as u64;
    // Nobody sets the clock during a benchmark.
    Now { mono: Mono(wall), wall: Wall(wall) }
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("our own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}

fn run(name: &str, apps: usize, lines: usize) {
    let dir = std::env::temp_dir().join(format!("stead-bench-logs-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("the temporary directory takes a directory");
    let clock: Clock = Arc::new(now);
    let (sender, reports) = channel();
    let report: Reporter = Arc::new(move |report| drop(sender.send(report)));
    let trash = Trash::private().expect("a pipe");
    let store = Box::new(InMemory(Record::IDLE));
    let settings = Settings { store, trash, clock, report, log_stall: Duration::from_secs(1), host_cap: HostCap::None };
    let capture = Capture::start(&dir, settings, Vec::new()).expect("the capture thread");
    let mut writers = Vec::new();
    for app in 0..apps {
        let Pipe { read, write } = Pipe::nonblocking(PIPE_SIZE).expect("a pipe");
        nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).expect("a blocking pipe");
        let place =
            Place::Kept { app: AppName::parse(&format!("app{app}")).expect("a name"), file: "0.log".into(), gid: None };
        let target = Arc::new(Target {
            place,
            format: LogFormat::Cri,
            max_size: 0,
            max_files: 0,
            compress: false,
            max_total: 0,
        });
        let key = StreamKey(app as u64);
        capture.add(Stream {
            key,
            pipe: read,
            spilled: None,
            stream: LogStream::Out,
            label: format!("app{app}/0"),
            target,
        });
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(["write-lines", &lines.to_string()]).stdin(Stdio::piped()).stdout(write);
        writers.push(command.spawn().expect("a writer"));
        // The command holds a write end; the pipe would never end.
        drop(command);
    }
    let stdins: Vec<_> = writers.iter_mut().map(|writer| writer.stdin.take().expect("a pipe")).collect();
    wait_until_asleep(&writers.iter().map(|writer| writer.id()).collect::<Vec<_>>());
    let (began, used) = (Instant::now(), cpu());
    for mut stdin in stdins {
        stdin.write_all(b"!").expect("the writer waits");
    }
    for _ in 0..apps {
        match reports.recv().expect("the thread lives") {
            Report::Closed(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let (wall, used) = (began.elapsed(), cpu() - used);
    writers.iter_mut().for_each(|writer| drop(writer.wait()));
    let gigabytes = (apps * lines * LINE) as f64 / 1e9;
    let rate = (apps * lines) as f64 / wall.as_secs_f64() / 1e6;
    println!("{name:<28} {rate:>12.2} {:>14.2} {:>12}", used.as_secs_f64() / gigabytes, wall.as_millis());
    drop(capture);
    (0..apps).for_each(|app| check(&dir.join(format!("app{app}/0.log")), lines));
    fs::remove_dir_all(&dir).expect("our own directory");
}

/// A writer sleeps when it has formatted its lines and waits for the word.
fn wait_until_asleep(pids: &[u32]) {
    let asleep = |pid: &u32| {
        let path: PathBuf = format!("/proc/{pid}/stat").into();
        let memory = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let resident: u64 = memory.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        resident > 2000 && fs::read_to_string(path).unwrap_or_default().contains(") S ")
    };
    while !pids.iter().all(asleep) {
        std::thread::yield_now();
    }
}

fn check(path: &Path, lines: usize) {
    let text = fs::read(path).expect("the log");
    let mut expected = 0;
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let line = stead::logs::format::parse_cri(line).expect("a CRI line");
        let number: usize = std::str::from_utf8(&line.text[..10]).ok().and_then(|n| n.parse().ok()).expect("a number");
        assert_eq!((number, line.text.len(), line.partial), (expected, LINE - 1, false), "in {}", path.display());
        expected += 1;
    }
    assert_eq!(expected, lines, "in {}", path.display());
}
