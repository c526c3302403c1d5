//! The kernel's text files, read.
//! Owns: the parsers of the hot path, each total: any bytes give an answer or None, never a panic.
//! Never: opens a file.

/// A file that holds one number. `max`, as limits may read, is None.
pub fn number(text: &[u8]) -> Option<u64> {
    digits(text.trim_ascii())
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// The value of `key` in a file of `key value` lines: memory.stat, cpu.stat, memory.events.
pub fn field(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| {
        let rest = line.strip_prefix(key)?.strip_prefix(b" ")?;
        digits(rest.trim_ascii())
    })
}

/// The numbers of a file that holds one on each line: cgroup.procs, cgroup.threads.
pub fn pids(text: &[u8]) -> impl Iterator<Item = i32> {
    lines(text).filter_map(digits).filter_map(|pid| i32::try_from(pid).ok())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).chain(std::iter::once(text.len())).map(move |end| {
        let line = &text[start..end];
        start = end + 1;
        line
    })
}

/// What `/proc/PID/status` says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    pub anon: u64,
    /// Mapped files, without shared memory.
    pub file: u64,
    pub shmem: u64,
    /// The most that was ever resident.
    pub peak: u64,
    pub threads: u64,
}

/// Fields that are missing, as those of memory are for a zombie, are 0.
pub fn status(text: &[u8]) -> Status {
    let mut status = Status::default();
    // One walk: this runs for every process of every instance.
    for line in lines(text) {
        // Those that are wanted begin with one of these, and most do not.
        if !matches!(line.first(), Some(b'R' | b'V' | b'T')) {
            continue;
        }
        let Some((key, value)) = split_at_colon(line) else { continue };
        let place = match key {
            b"RssAnon" => &mut status.anon,
            b"RssFile" => &mut status.file,
            b"RssShmem" => &mut status.shmem,
            b"VmHWM" => &mut status.peak,
            b"Threads" => {
                status.threads = digits(value).unwrap_or(0);
                // The fields wanted all stand before this one.
                break;
            }
            _ => continue,
        };
        let kib = value.strip_suffix(b" kB").and_then(digits).unwrap_or(0);
        *place = kib.saturating_mul(1024);
    }
    status
}

fn split_at_colon(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// What `/proc/PID/statm` says is resident, anonymous and shared memory and mapped files together.
pub fn resident_pages(text: &[u8]) -> Option<u64> {
    text.split(|byte| *byte == b' ').nth(1).and_then(digits)
}

/// What `/proc/PID/stat` says of time and family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    pub parent: i32,
    /// User and system time of the process and of the children it has waited for, in clock ticks.
    pub ticks: u64,
    pub threads: u64,
    /// When it began, in clock ticks since the host did.
    pub started: u64,
}

/// The name in parentheses can hold anything, parentheses too, so fields are counted from the last of them.
pub fn stat(text: &[u8]) -> Option<Stat> {
    let after = memchr::memrchr(b')', text)? + 2;
    let mut fields = text.get(after..)?.split(|byte| *byte == b' ');
    // proc_pid_stat(5) numbers: state 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17, num_threads 20,
    // starttime 22.
    let parent = fields.nth(1).and_then(digits).and_then(|pid| i32::try_from(pid).ok())?;
    let utime = fields.nth(9).and_then(digits)?;
    let mut ticks = utime;
    for _ in 0..3 {
        ticks = ticks.saturating_add(fields.next().and_then(digits)?);
    }
    let threads = fields.nth(2).and_then(digits)?;
    let started = fields.nth(1).and_then(digits)?;
    Some(Stat { parent, ticks, threads, started })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_not_found_within_another() {
        assert_eq!(field(b"anon_thp 5\nanon 7\n", b"anon"), Some(7));
        assert_eq!(field(b"anon_thp 5\n", b"anon"), None);
        assert_eq!(field(b"anon x\n", b"anon"), None);
    }

    #[test]
    fn a_limit_that_is_not_set_is_no_number() {
        assert_eq!((number(b"max\n"), number(b"4096\n"), number(b"")), (None, Some(4096), None));
        assert_eq!(number(b"99999999999999999999"), None);
    }

    #[test]
    fn a_process_with_a_nasty_name_is_read_right() {
        let text =
            b"42 (a) R 1 (x) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 5 0 123456 1000 50 18446744073709551615";
        assert_eq!(stat(text), Some(Stat { parent: 7, ticks: 110, threads: 5, started: 123_456 }));
    }

    #[test]
    fn status_is_in_bytes() {
        let text = b"Name:\tx\nVmHWM:\t    1000 kB\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\nRssShmem:\t 30 kB\nThreads:\t4\nX:\t9\n";
        let k = 1024;
        assert_eq!(status(text), Status { anon: 10 * k, file: 20 * k, shmem: 30 * k, peak: 1000 * k, threads: 4 });
    }

    #[test]
    fn our_own_files_are_read() {
        let read = |name: &str| std::fs::read(format!("/proc/self/{name}")).unwrap();
        let (status, stat) = (status(&read("status")), stat(&read("stat")).unwrap());
        assert!(status.anon > 0 && status.peak >= status.anon && status.threads > 0);
        assert!(resident_pages(&read("statm")).is_some_and(|pages| pages > 0));
        assert!(stat.parent > 0 && stat.threads > 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            number(&text);
            field(&text, b"anon");
            pids(&text).for_each(drop);
            status(&text);
            resident_pages(&text);
            stat(&text);
        }

        #[test]
        fn any_text_of_fields_is_parsed_without_a_panic(text in "[0-9 ():\\nA-Za-z]{0,300}") {
            stat(text.as_bytes());
            status(text.as_bytes());
            field(text.as_bytes(), b"a");
        }

        #[test]
        fn numbers_come_back(value in any::<u64>(), list in proptest::collection::vec(1i32.., 0..20)) {
            prop_assert_eq!(number(format!("{value}\n").as_bytes()), Some(value));
            let text: String = list.iter().map(|pid| format!("{pid}\n")).collect();
            prop_assert_eq!(pids(text.as_bytes()).collect::<Vec<_>>(), list);
        }
    }
}
