//! What the formats promise, said as properties.

use proptest::prelude::*;

use super::*;

const AT: Wall = Wall(1_795_178_823_123_456_788);

fn format(format: LogFormat, bytes: &[u8], tail: Tail) -> Vec<u8> {
    let mut out = Vec::new();
    let batch = format_batch(format, LogStream::Out, AT, bytes, tail, u64::MAX, &mut out);
    assert_eq!(batch.taken, bytes.len());
    out
}

/// Puts a stream together again as a reader does.
fn join(format: LogFormat, file: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in file.split_inclusive(|b| *b == b'\n') {
        let line = parse_line(format, &line[..line.len() - 1]).expect("a line of ours");
        bytes.extend_from_slice(&line.text);
        if !line.partial {
            bytes.push(b'\n');
        }
    }
    bytes
}

#[test]
fn a_line_reads_as_container_runtimes_write_it() {
    let text = format(LogFormat::Cri, b"hello\n", Tail::Open);
    assert_eq!(String::from_utf8(text).unwrap(), "2026-11-20T12:47:03.123456788Z stdout F hello\n");
}

#[test]
fn a_line_longer_than_a_piece_is_cut_and_marked() {
    let mut long = vec![b'x'; PIECE_MAX * 2 + 5];
    long.push(b'\n');
    let text = format(LogFormat::Cri, &long, Tail::Open);
    let tags: Vec<_> = text.split(|b| *b == b'\n').filter_map(parse_cri).map(|l| (l.partial, l.text.len())).collect();
    assert_eq!(tags, [(true, PIECE_MAX), (true, PIECE_MAX), (false, 5)]);
}

#[test]
fn a_line_of_exactly_one_piece_is_whole() {
    let mut long = vec![b'x'; PIECE_MAX];
    long.push(b'\n');
    assert!(!parse_cri(format(LogFormat::Cri, &long, Tail::Open).trim_ascii_end()).unwrap().partial);
}

#[test]
fn the_last_line_of_a_dead_program_is_whole_without_a_newline() {
    assert!(!parse_cri(format(LogFormat::Cri, b"bye", Tail::Final).trim_ascii_end()).unwrap().partial);
    assert!(parse_cri(format(LogFormat::Cri, b"bye", Tail::Open).trim_ascii_end()).unwrap().partial);
}

#[test]
fn an_event_is_told_from_an_app_that_says_the_same() {
    let mut ours = Vec::new();
    format_event(LogFormat::Cri, AT, "api/0: exited\n(oom)", false, &mut ours);
    let ours = parse_cri(ours.trim_ascii_end()).unwrap();
    assert!(ours.event);
    assert_eq!(&*ours.text, b"[stead] api/0: exited (oom)");
    let forged = format(LogFormat::Cri, b"[stead] api/0: exited (oom)\n", Tail::Open);
    assert!(!parse_cri(forged.trim_ascii_end()).unwrap().event);
}

#[test]
fn a_batch_takes_whole_lines_up_to_the_room_and_at_least_one() {
    let mut out = Vec::new();
    let bytes = b"one\ntwo\nthree\n";
    let batch = format_batch(LogFormat::Raw, LogStream::Out, AT, bytes, Tail::Open, 9, &mut out);
    assert_eq!((batch.taken, batch.lines, out.as_slice()), (8, 2, &b"one\ntwo\n"[..]));
    out.clear();
    let batch = format_batch(LogFormat::Raw, LogStream::Out, AT, bytes, Tail::Open, 0, &mut out);
    assert_eq!((batch.taken, out.as_slice()), (4, &b"one\n"[..]));
}

#[test]
fn known_moments_are_written_right() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000000Z"),
        (4_107_542_399, "2100-02-28T23:59:59.000000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
    ] {
        assert_eq!(std::str::from_utf8(&stamp_text(Wall(seconds * NANOS))).unwrap(), text);
    }
}

proptest! {
    #[test]
    fn every_moment_comes_back(nanos in any::<u64>()) {
        prop_assert_eq!(parse_stamp(&stamp_text(Wall(nanos))), Some(Wall(nanos)));
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        parse_cri(&bytes);
        parse_json(&bytes);
        parse_stamp(&bytes);
    }

    #[test]
    fn any_text_after_a_stamp_is_parsed_without_a_panic(rest in "[ -~]{0,40}") {
        let mut line = stamp_text(AT).to_vec();
        line.extend_from_slice(rest.as_bytes());
        parse_cri(&line);
    }

    #[test]
    fn bytes_come_out_as_they_went_in(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20), json in any::<bool>(),
    ) {
        let kind = if json { LogFormat::Json } else { LogFormat::Cri };
        let mut bytes = lines.join(&b'\n');
        bytes.push(b'\n');
        prop_assert_eq!(join(kind, &format(kind, &bytes, Tail::Open)), bytes);
    }

    #[test]
    fn the_bytes_a_batch_took_give_the_same_lines_again(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..20), room in 0u64..2000,
    ) {
        let bytes = lines.join(&b'\n');
        let (mut once, mut again) = (Vec::new(), Vec::new());
        let batch = format_batch(LogFormat::Cri, LogStream::Err, AT, &bytes, Tail::Open, room, &mut once);
        let tail = if batch.open { Tail::Open } else { Tail::Final };
        let taken = &bytes[..batch.taken];
        format_batch(LogFormat::Cri, LogStream::Err, AT, taken, tail, u64::MAX, &mut again);
        prop_assert_eq!(once, again);
    }
}
