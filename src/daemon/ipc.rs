//! Node's IPC channel, as `child_process.fork` gives it: newline-delimited JSON over a socket pair, its number in
//! NODE_CHANNEL_FD (Node.js documentation, "child_process", advanced serialization off).
//! Owns: reading it. Never: trusts what comes; a line that is too long or no JSON is passed over.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;

/// A message longer than this is not one of ours; the rest of its line is skipped.
const LINE_MAX: u64 = 64 * 1024;

/// Calls `ready` at the first `process.send('ready')`. Goes on reading until the app closes the channel: an app whose
/// messages nobody takes would block or grow.
pub async fn serve(channel: OwnedFd, ready: impl FnOnce()) -> std::io::Result<()> {
    let stream = StdStream::from(channel);
    stream.set_nonblocking(true)?;
    let mut reader = BufReader::with_capacity(1024, UnixStream::from_std(stream)?);
    let mut ready = Some(ready);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(());
        }
        if is_ready(&line)
            && let Some(ready) = ready.take()
        {
            ready();
        }
        // Not kept: most apps say one short word in their life.
        if line.capacity() > 4096 {
            line = Vec::new();
        }
    }
}

/// Node sends a string as a JSON string.
pub(super) fn is_ready(line: &[u8]) -> bool {
    matches!(serde_json::from_slice::<serde_json::Value>(line), Ok(serde_json::Value::String(text)) if text == "ready")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn only_the_word_ready_counts_and_only_once() {
        let (ours, mut theirs) = StdStream::pair().unwrap();
        let count = Arc::new(AtomicU32::new(0));
        let seen = count.clone();
        let writer = std::thread::spawn(move || {
            theirs.write_all(b"{\"cmd\":\"NODE_x\"}\n\xff\xfe\n\"read\"\n").unwrap();
            theirs.write_all(&vec![b'x'; 300_000]).unwrap();
            theirs.write_all(b"\n\"ready\"\n\"ready\"\n").unwrap();
        });
        serve(ours.into(), move || {
            seen.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .unwrap();
        writer.join().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
