//! Log records on their way from the daemon to whoever follows: one binary frame each.
//! Owns: the frame's layout and both ends of it. Never: reads or writes a file.
//!
//! All numbers little-endian: u32 length of what follows, u64 wall-clock nanoseconds (0: not known), u8 flags, u16 length
//! of the label, the label (`api/0`), the bytes as the app wrote them, without the newline.

use super::time::Wall;

/// Which of its two streams an app wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogStream {
    Out,
    Err,
}

impl LogStream {
    /// The name CRI, Docker and Kubernetes use.
    pub fn as_str(self) -> &'static str {
        match self {
            LogStream::Out => "stdout",
            LogStream::Err => "stderr",
        }
    }
}

/// One line, or one piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// When stead read it. Wall(0) where the file does not say (`raw`).
    pub at: Wall,
    /// The instance, `api/0`; the app alone where instances share a file.
    pub label: String,
    pub stream: LogStream,
    /// The line goes on in the next record of the same label and stream.
    pub partial: bool,
    /// Said by stead, not by the app.
    pub event: bool,
    pub bytes: Vec<u8>,
}

/// The longest frame after its length field. Longer ones were never encoded: the stream is damaged.
pub const FRAME_MAX: usize = 4 << 20;

const HEAD: usize = 8 + 1 + 2;
const ERR: u8 = 1;
const PARTIAL: u8 = 2;
const EVENT: u8 = 4;

/// The bytes read are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged log stream: {0}")]
pub struct BadFrame(pub &'static str);

/// Appends one frame. A label or text beyond the limits is cut: neither is ever made that long.
pub fn encode_frame(record: &LogRecord, out: &mut Vec<u8>) {
    let label = &record.label.as_bytes()[..record.label.len().min(usize::from(u16::MAX))];
    let bytes = &record.bytes[..record.bytes.len().min(FRAME_MAX - HEAD - label.len())];
    let mut flags = 0;
    if record.stream == LogStream::Err {
        flags |= ERR;
    }
    if record.partial {
        flags |= PARTIAL;
    }
    if record.event {
        flags |= EVENT;
    }
    out.reserve(4 + HEAD + label.len() + bytes.len());
    out.extend_from_slice(&((HEAD + label.len() + bytes.len()) as u32).to_le_bytes());
    out.extend_from_slice(&record.at.0.to_le_bytes());
    out.push(flags);
    out.extend_from_slice(&(label.len() as u16).to_le_bytes());
    out.extend_from_slice(label);
    out.extend_from_slice(bytes);
}

/// Takes bytes as they arrive, gives records as they become whole.
#[derive(Debug, Default)]
pub struct FrameReader {
    held: Vec<u8>,
    start: usize,
}

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.held.drain(..self.start);
            self.start = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// The next whole record; None until more is pushed. After an error nothing that follows has a meaning.
    pub fn next_record(&mut self) -> Result<Option<LogRecord>, BadFrame> {
        let held = &self.held[self.start..];
        let Some((length, rest)) = held.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEAD..=FRAME_MAX).contains(&length) {
            return Err(BadFrame("a frame of impossible length"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let record = decode(&rest[..length])?;
        self.start += 4 + length;
        Ok(Some(record))
    }

    /// Bytes of a frame that has not fully arrived: at the end of a stream they mean that it was cut.
    pub fn pending(&self) -> usize {
        self.held.len() - self.start
    }
}

fn decode(frame: &[u8]) -> Result<LogRecord, BadFrame> {
    const SHORT: BadFrame = BadFrame("a frame shorter than its head");
    let (at, rest) = frame.split_first_chunk::<8>().ok_or(SHORT)?;
    let (flags, rest) = rest.split_first().ok_or(SHORT)?;
    let (label_len, rest) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let label_len = usize::from(u16::from_le_bytes(*label_len));
    let (label, bytes) = rest.split_at_checked(label_len).ok_or(BadFrame("a label longer than its frame"))?;
    Ok(LogRecord {
        at: Wall(u64::from_le_bytes(*at)),
        label: String::from_utf8(label.to_vec()).map_err(|_| BadFrame("a label that is not UTF-8"))?,
        stream: if flags & ERR == 0 { LogStream::Out } else { LogStream::Err },
        partial: flags & PARTIAL != 0,
        event: flags & EVENT != 0,
        bytes: bytes.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = LogRecord> {
        (any::<u64>(), "[a-z]{0,9}/[0-9]", any::<[bool; 3]>(), proptest::collection::vec(any::<u8>(), 0..300)).prop_map(
            |(at, label, [err, partial, event], bytes)| LogRecord {
                at: Wall(at),
                label,
                stream: if err { LogStream::Err } else { LogStream::Out },
                partial,
                event,
                bytes,
            },
        )
    }

    proptest! {
        #[test]
        fn records_come_back_however_their_frames_are_cut(
            records in proptest::collection::vec(record(), 0..8), step in 1usize..97,
        ) {
            let mut wire = Vec::new();
            records.iter().for_each(|r| encode_frame(r, &mut wire));
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for chunk in wire.chunks(step) {
                reader.push(chunk);
                while let Some(record) = reader.next_record().unwrap() {
                    got.push(record);
                }
            }
            prop_assert_eq!(got, records);
            prop_assert_eq!(reader.pending(), 0);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_record() {}
        }
    }
}
