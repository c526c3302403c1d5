//! Lines come out as they went in, in order, whole, once.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Stead, eventually, program};

#[test]
fn fifty_thousand_lines_of_a_program_that_exits_at_once_all_arrive_in_order() {
    let stead = Stead::new();
    let logger = program("logger");
    stead
        .run(&[
            "start",
            logger.to_str().unwrap(),
            "--name",
            "l",
            "--restart",
            "never",
            "--ready-on",
            "instant",
            "--",
            "50000",
        ])
        .ok();
    stead.wait("l/0", "stopped", |row| row["status"] == "stopped");
    let numbers = || -> Vec<u64> {
        let text = std::fs::read_to_string(stead.path("log/l/0.log")).unwrap();
        // What stood still for a second on a machine with other things to do comes in pieces.
        let mut line = String::new();
        let mut numbers = Vec::new();
        for (tag, piece) in text.lines().filter_map(|line| line.split_once(" stdout ")?.1.split_once(' ')) {
            line.push_str(piece);
            if tag == "F" {
                numbers.extend(line.split(' ').find_map(|word| word.parse::<u64>().ok()));
                line.clear();
            }
        }
        numbers
    };
    // It is gone; what it left in its pipe may still be on the way.
    assert!(eventually(|| numbers().len() >= 50_000), "{} lines", numbers().len());
    let numbers = numbers();
    assert_eq!(numbers.len(), 50_000);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "lines are out of order");
}

#[test]
fn bytes_that_are_no_text_come_out_as_they_went_in() {
    let stead = Stead::new();
    let file = stead.path("bytes");
    let bytes: Vec<u8> = b"a\0b\xff\xfe\xc3(\r\n".iter().copied().chain(*b"last without newline").collect();
    std::fs::write(&file, &bytes).unwrap();
    let line = format!("cat {}", file.display());
    stead.run(&["start", "sh", "--name", "b", "--restart", "never", "--ready-on", "instant", "--", "-c", &line]).ok();
    stead.wait("b/0", "stopped", |row| row["status"] == "stopped");
    let output = stead.command(&["logs", "b", "--no-follow", "--raw", "--out"]).output().unwrap();
    let found = output.stdout.windows(9).any(|w| w == b"a\0b\xff\xfe\xc3(\r\n");
    assert!(found, "{:?}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("last without newline"));
}

#[test]
fn a_line_of_a_hundred_megabytes_does_no_harm_and_loses_nothing() {
    let stead = Stead::new();
    stead
        .run(&[
            "start",
            "sh",
            "--name",
            "long",
            "--restart",
            "never",
            "--ready-on",
            "instant",
            "--",
            "-c",
            "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo after",
        ])
        .ok();
    stead.wait("long/0", "stopped", |row| row["status"] == "stopped");
    let mut count = 0usize;
    let mut after = false;
    let dir = stead.path("log/long");
    for entry in std::fs::read_dir(dir).unwrap() {
        let mut reader = BufReader::new(std::fs::File::open(entry.unwrap().path()).unwrap());
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            if !line.windows(7).any(|w| w == b"[stead]") {
                count += line.iter().filter(|b| **b == b'x').count();
            }
            after |= line.ends_with(b" stdout F after\n");
            line.clear();
        }
    }
    assert_eq!(count, 100_000_000);
    assert!(after);
}

#[test]
fn following_shows_new_lines_of_all_instances_and_survives_rotation() {
    let stead = Stead::new();
    let file = stead.file(
        "l.toml",
        "[[app]]\nname = \"l\"\ninstances = 2\nready_on = \"instant\"\nlog_max_size = \"16K\"\nlog_max_files = 100\nrun = [\"/bin/sh\", \"-c\", \"while [ ! -e $GO ]; do sleep 0.05; done; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000\"]\n",
    );
    let go = stead.path("go");
    let env = format!("GO={}", go.display());
    stead.run(&["start", file.to_str().unwrap(), "--env", &env]).ok();
    let mut follow = stead
        .command(&["logs", "l", "-f", "--raw", "--out", "--lines", "100000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    std::fs::write(&go, "").unwrap();
    let mut seen = 0;
    for line in lines.by_ref() {
        if line.unwrap().starts_with("line ") {
            seen += 1;
        }
        if seen == 4000 {
            break;
        }
    }
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(stead.path("log/l/0.log.1").exists(), "nothing was rotated");
}

#[test]
fn flush_empties_the_files_and_the_app_goes_on_logging() {
    let stead = Stead::new();
    stead
        .run(&[
            "start",
            "sh",
            "--name",
            "t",
            "--ready-on",
            "instant",
            "--",
            "-c",
            "while :; do echo tick; sleep 0.05; done",
        ])
        .ok();
    let file = stead.path("log/t/0.log");
    let size = || std::fs::metadata(&file).map(|m| m.len()).unwrap_or(0);
    assert!(eventually(|| size() > 500));
    stead.run(&["flush", "t"]).ok();
    let after = size();
    assert!(after < 500, "{after}");
    assert!(eventually(|| size() > after));
}
