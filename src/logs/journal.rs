//! journald, which takes lines as datagrams of named fields (systemd's "Native Journal Protocol").
//! Owns: the socket, and the fields of an app's line. Never: waits, unless it is asked to.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use nix::sys::socket::{MsgFlags, UnixAddr, sendto, setsockopt, sockopt};

use crate::model::ids::InstanceId;
use crate::model::logframe::LogStream;

use super::format::parse_cri;

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// As libsystemd sets it: the longest piece of a line is more than what a socket sends otherwise.
const SEND_BUFFER: usize = 8 << 20;

/// What a line of an app's is, unless it says so itself as sd-daemon(3) has it: `<3>text`.
const INFO: u8 = 6;
const ERROR: u8 = 3;

/// A kind of life-cycle event, which the catalog (`units/stead.catalog`) explains.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    /// MESSAGE_ID.
    pub id: &'static str,
    /// As syslog(3) numbers them.
    pub priority: u8,
}

/// An event as the journal gets it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: &'static Kind,
    pub instance: InstanceId,
}

/// Sends an event, if journald has room for it: nobody's output waits for that.
pub fn send_event(Entry { kind, instance }: &Entry, text: &str) -> io::Result<()> {
    let digit = [b'0' + kind.priority];
    let name = instance.to_string();
    let fields = [
        ("MESSAGE", text.as_bytes()),
        ("MESSAGE_ID", kind.id.as_bytes()),
        ("PRIORITY", &digit),
        ("SYSLOG_IDENTIFIER", b"stead"),
        ("STEAD_APP", instance.app.as_str().as_bytes()),
        ("STEAD_INSTANCE", name.as_bytes()),
        ("STEAD_EVENT", kind.name.as_bytes()),
    ];
    send(&fields, false)
}

fn socket() -> io::Result<&'static UnixDatagram> {
    static ONE: OnceLock<UnixDatagram> = OnceLock::new();
    if let Some(known) = ONE.get() {
        return Ok(known);
    }
    let made = UnixDatagram::unbound()?;
    // Without it lines of more than some 200 KB are refused, and counted as lost.
    let _ = setsockopt(&made, sockopt::SndBufForce, &SEND_BUFFER);
    Ok(ONE.get_or_init(|| made))
}

/// Sends one entry. `wait`: until journald has room, as a full pipe is waited for; else it fails when there is none.
pub fn send(fields: &[(&str, &[u8])], wait: bool) -> io::Result<()> {
    let mut entry = Vec::new();
    for (name, value) in fields {
        entry.extend_from_slice(name.as_bytes());
        if value.contains(&b'\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value);
        entry.push(b'\n');
    }
    let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    let to = UnixAddr::new(SOCKET)?;
    sendto(socket()?.as_raw_fd(), &entry, &to, flags | MsgFlags::MSG_NOSIGNAL)?;
    Ok(())
}

/// Sends lines that `format_batch` made of an app's output as CRI. `sent` grows with each that journald has.
pub fn send_lines(instance: &InstanceId, lines: &[u8], sent: &mut usize) -> io::Result<()> {
    let (app, name) = (instance.app.as_str(), instance.to_string());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if let Some(line) = parse_cri(line.strip_suffix(b"\n").unwrap_or(line)) {
            let usual = if line.stream == LogStream::Err { ERROR } else { INFO };
            let (priority, text) = priority(&line.text, usual);
            let digit = [b'0' + priority];
            let mut fields = vec![
                ("MESSAGE", text),
                ("PRIORITY", &digit),
                ("SYSLOG_IDENTIFIER", app.as_bytes()),
                ("STEAD_APP", app.as_bytes()),
                ("STEAD_INSTANCE", name.as_bytes()),
                ("STEAD_STREAM", line.stream.as_str().as_bytes()),
            ];
            if line.partial {
                // As container runtimes mark what goes on in the next entry.
                fields.push(("CONTAINER_PARTIAL_MESSAGE", b"true"));
            }
            send(&fields, true)?;
        }
        *sent += line.len();
    }
    Ok(())
}

/// `<0>` to `<7>` before a line is its priority.
fn priority(text: &[u8], usual: u8) -> (u8, &[u8]) {
    match text {
        [b'<', digit @ b'0'..=b'7', b'>', rest @ ..] => (digit - b'0', rest),
        _ => (usual, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_say_its_own_priority() {
        assert_eq!(priority(b"<3>it burns", INFO), (3, &b"it burns"[..]));
        assert_eq!(priority(b"<8>no", ERROR), (ERROR, &b"<8>no"[..]));
        assert_eq!(priority(b"<", INFO), (INFO, &b"<"[..]));
    }
}
