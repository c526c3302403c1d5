//! The server on a socket of its own, with the daemon's mailbox behind it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::*;
use crate::api::{Ask, LogLevel};
use crate::model::status::Snapshot;

/// A server's address, and what it asks of the daemon.
struct Server {
    path: PathBuf,
    mailbox: mpsc::Receiver<Ask>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn start() -> Server {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("stead-web-{}-{number}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (asks, mailbox) = mpsc::channel(8);
    let snapshots = watch::channel(Arc::new(Snapshot::default())).1;
    let handle = Handle::new(asks, snapshots, watch::channel(LogLevel::Info).0);
    // No time passes: what was taken stays fresh.
    std::thread::spawn(move || serve(Some(listener), None, handle, || Mono(0)));
    Server { path, mailbox }
}

impl Server {
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// One that has asked.
    fn ask(&self) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: stead\r\n\r\n").unwrap();
        stream
    }

    /// Answers one question of the server's.
    fn tell(&mut self, text: &str) {
        match self.mailbox.blocking_recv() {
            Some(Ask::Metrics { owners: Owners::Everybody, answer, .. }) => drop(answer.send(text.to_owned())),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn said(mut stream: UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn many_who_ask_at_once_are_told_the_same_and_the_daemon_is_asked_once() {
    let mut server = start();
    let clients: Vec<UnixStream> = (0..20).map(|_| server.ask()).collect();
    server.tell("figures\n");
    for client in clients {
        let text = said(client);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nfigures\n"), "{text}");
    }
    assert!(server.mailbox.try_recv().is_err(), "asked more than once");
}

#[test]
fn those_who_say_nothing_keep_nobody_from_an_answer() {
    let mut server = start();
    let silent: Vec<UnixStream> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    let client = server.ask();
    server.tell("figures\n");
    assert!(said(client).ends_with("figures\n"));
    let first = silent.into_iter().next().unwrap();
    assert_eq!(said(first), "", "the oldest is hung up on");
}

#[test]
fn who_leaves_before_the_answer_is_no_trouble_to_the_next() {
    let mut server = start();
    drop(server.ask());
    server.tell("figures\n");
    assert!(said(server.ask()).ends_with("figures\n"));
    assert!(server.mailbox.try_recv().is_err(), "what was taken for the first is good for the second");
}

#[test]
fn garbage_is_answered_in_words_and_a_daemon_that_goes_down_is_told_of() {
    let mut server = start();
    let mut client = server.connect();
    client.write_all(b"\x16\x03\x01\x02\x00\r\n\r\n").unwrap();
    assert!(said(client).starts_with("HTTP/1.1 400 Bad Request\r\n"));
    server.mailbox.close();
    let text = said(server.ask());
    assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && text.contains("going down"), "{text}");
}
