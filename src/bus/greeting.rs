//! How the two ends of the private socket greet each other: D-Bus's handshake, with no time lost on it.
//! Owns: the client's half, which is said in one piece with the first call behind it, as sd-bus does; and the answer to
//! zbus's question who the peer is, which would start a thread and read the user database.
//! Never: decides who is let in; `server` has, before.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;

/// The server's end of a connection whose peer is known.
pub struct Known {
    pub stream: UnixStream,
    pub uid: u32,
}

#[derive(Debug)]
pub struct KnownRead {
    half: OwnedReadHalf,
    uid: u32,
}

impl Socket for Known {
    type ReadHalf = KnownRead;
    type WriteHalf = OwnedWriteHalf;

    fn split(self) -> Split<KnownRead, OwnedWriteHalf> {
        let (half, write) = self.stream.into_split();
        Split::new(KnownRead { half, uid: self.uid }, write)
    }
}

#[async_trait]
impl ReadHalf for KnownRead {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.half.recvmsg(buffer).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(ConnectionCredentials::default().set_unix_user_id(self.uid))
    }
}

/// The client's end of a connection: what it says to begin with is sent, and not answered yet.
pub struct Greeted(UnixStream);

#[derive(Debug)]
pub struct GreetedRead {
    half: OwnedReadHalf,
    /// What has come of the answer.
    answer: Vec<u8>,
}

/// What the server says if all is well, but for the 32 digits of its id.
const ACCEPTED: (&[u8], &[u8]) = (b"OK ", b"\r\nAGREE_UNIX_FD\r\n");
const ANSWER: usize = ACCEPTED.0.len() + 32 + ACCEPTED.1.len();

impl Greeted {
    /// Says who is here and what is wanted of the connection.
    pub async fn new(mut stream: UnixStream, uid: u32) -> io::Result<Self> {
        let digits: String = uid.to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        let words = format!("\0AUTH EXTERNAL {digits}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
        stream.write_all(words.as_bytes()).await?;
        Ok(Self(stream))
    }
}

impl Socket for Greeted {
    type ReadHalf = GreetedRead;
    type WriteHalf = OwnedWriteHalf;

    fn split(self) -> Split<GreetedRead, OwnedWriteHalf> {
        let (half, write) = self.0.into_split();
        Split::new(GreetedRead { half, answer: Vec::with_capacity(ANSWER) }, write)
    }
}

#[async_trait]
impl ReadHalf for GreetedRead {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        while self.answer.len() < ANSWER {
            // Not a byte more: with the next may come a descriptor that belongs to a message.
            let mut rest = [0; ANSWER];
            let (read, _) = self.half.recvmsg(&mut rest[self.answer.len()..]).await?;
            self.answer.extend(&rest[self.answer.len()..][..read]);
            accepted(&self.answer)?;
        }
        self.half.recvmsg(buffer).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// Whether what has come so far is the answer hoped for.
fn accepted(answer: &[u8]) -> io::Result<()> {
    let (begin, end) = ACCEPTED;
    let begins = begin.starts_with(&answer[..answer.len().min(begin.len())]);
    let ends = end.starts_with(answer.get(ANSWER - end.len()..).unwrap_or_default());
    if begins && ends {
        return Ok(());
    }
    let text = format!("the other end does not greet as D-Bus does: {:?}", String::from_utf8_lossy(answer));
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's end, and what is to be said to it.
    async fn greeted() -> (GreetedRead, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, write) = Greeted::new(ours, 0).await.unwrap().split().take();
        // The other direction must stay open.
        std::mem::forget(write);
        (read, theirs)
    }

    #[tokio::test]
    async fn a_message_that_follows_the_answer_is_left_whole() {
        let (mut read, mut theirs) = greeted().await;
        theirs.write_all(b"OK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\nlmessage").await.unwrap();
        let mut buffer = [0; 100];
        let (len, _) = read.recvmsg(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"lmessage");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_an_error_with_what_came() {
        for text in [
            "REJECTED EXTERNAL\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "OK 0123456789abcdef0123456789abcdef\r\nERROR\r\n",
        ] {
            let (mut read, mut theirs) = greeted().await;
            theirs.write_all(text.as_bytes()).await.unwrap();
            let error = read.recvmsg(&mut [0; 100]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}");
            assert!(error.to_string().contains(&text[..2]), "{error}");
        }
    }
}
