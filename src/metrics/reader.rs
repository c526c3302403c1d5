//! The kernel's small files, read over and over.
//! Owns: which of them stay open between two reads. To open, read and close one takes five times as long as to read it
//! again, and each costs the kernel a page while it is open.
//! Never: takes the last descriptors: what got a number above a limit is closed at once, and lower ones are given first.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Half a page: see `fill`.
const SHORT: usize = 2048;

/// A file that may be open. It is closed with its owner.
#[derive(Debug, Default)]
pub struct Kept(Option<File>);

/// What reading takes, used again for each file.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    path: String,
    keep_below: i32,
}

impl Reader {
    /// Files whose descriptor is below `keep_below` stay open.
    pub fn new(keep_below: i32) -> Self {
        Self { buffer: vec![0; 8192], path: String::new(), keep_below }
    }

    /// All that the file says at this moment, in a buffer that the next read takes over. None: it is gone.
    pub fn read(&mut self, kept: &mut Kept, dir: &str, name: &str) -> Option<&[u8]> {
        self.read_at(kept, |path| path.extend([dir, "/", name]))
    }

    /// As `read`, of a file in `/proc/PID`.
    pub fn read_proc(&mut self, kept: &mut Kept, pid: i32, name: &str) -> Option<&[u8]> {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        self.read_at(kept, |path| path.write_fmt(format_args!("/proc/{pid}/{name}")).unwrap_or(()))
    }

    fn read_at(&mut self, kept: &mut Kept, name: impl FnOnce(&mut String)) -> Option<&[u8]> {
        // What was open may be of a process that is gone, and its number that of another by now.
        let again = kept.0.as_ref().and_then(|file| fill(file, &mut self.buffer).ok());
        let len = match again {
            Some(len) => len,
            None => {
                kept.0 = None;
                self.path.clear();
                name(&mut self.path);
                let file = File::open(&self.path).ok()?;
                let len = fill(&file, &mut self.buffer).ok()?;
                if file.as_raw_fd() < self.keep_below {
                    kept.0 = Some(file);
                }
                len
            }
        };
        Some(&self.buffer[..len])
    }
}

/// Reads the whole file from its beginning, and says how long it is.
fn fill(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut len = 0;
    loop {
        match file.read_at(&mut buffer[len..], len as u64)? {
            0 => return Ok(len),
            read => len += read,
        }
        // The kernel gives these files a page at a time; less than half of one is all there is.
        if len < SHORT {
            return Ok(len);
        }
        if len == buffer.len() {
            buffer.resize(len * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, i32) {
        let child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id() as i32;
        (child, pid)
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_kept_file_tells_the_news() {
        let path = std::env::temp_dir().join(format!("stead-reader-{}", std::process::id()));
        let (dir, name) = (path.parent().unwrap().to_str().unwrap(), path.file_name().unwrap().to_str().unwrap());
        let (mut reader, mut kept) = (Reader::new(i32::MAX), Kept::default());
        for text in ["one", "three", &"long ".repeat(5000), ""] {
            fs::write(&path, text).unwrap();
            assert_eq!(reader.read(&mut kept, dir, name), Some(text.as_bytes()));
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_has_a_high_number_is_not_kept() {
        let mut kept = Kept::default();
        assert!(Reader::new(0).read_proc(&mut kept, 1, "stat").is_some());
        assert!(kept.0.is_none());
        assert!(Reader::new(i32::MAX).read_proc(&mut kept, 1, "stat").is_some());
        assert!(kept.0.is_some());
    }

    #[test]
    fn a_process_that_is_gone_is_not_taken_for_one_that_has_its_number_now() {
        let (mut reader, mut kept) = (Reader::new(i32::MAX), Kept::default());
        let (first, first_pid) = sleeper();
        let (second, second_pid) = sleeper();
        assert!(reader.read_proc(&mut kept, first_pid, "stat").is_some());
        end(first);
        let text = reader.read_proc(&mut kept, second_pid, "stat").map(<[u8]>::to_vec);
        assert!(text.is_some_and(|text| text.starts_with(second_pid.to_string().as_bytes())));
        end(second);
        assert_eq!(reader.read_proc(&mut kept, second_pid, "stat"), None);
        assert!(kept.0.is_none(), "closed as soon as it is known to be gone");
    }
}
