//! Probes over the network: does something answer at this address, and with success?
//! Owns: one attempt, and that it reaches the run it is meant for. Never: repeats itself; `readiness` decides when to
//! ask again.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// One attempt may take this long; a server that needs more is not ready.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Whom an attempt reaches.
#[derive(Debug)]
pub enum Aim {
    /// Whoever listens there.
    Anybody,
    /// The run it is meant for, though others share its port.
    At(From),
    /// Only others: there is nothing to try yet.
    Nobody,
}

/// A socket that is bound to a loopback port of its own.
#[derive(Debug)]
pub struct From {
    socket: TcpSocket,
    pub port: u16,
}

impl From {
    /// Of the family of `to`.
    pub fn loopback(to: SocketAddr) -> io::Result<Self> {
        let (socket, ip) = match to {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::LOCALHOST.into()),
        };
        socket.bind(SocketAddr::new(ip, 0))?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port })
    }
}

/// Tells whom a connection to an address would reach, and hears when the connection has been made, or not.
pub trait Aimer {
    fn aim(&self, to: SocketAddr) -> impl Future<Output = Aim> + Send;
    fn done(&self, from: u16);
}

/// Whether a connection to `host:port` is taken.
pub async fn tcp(address: &str, aimer: &impl Aimer) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, connect(address, aimer)).await, Ok(Some(_)))
}

/// Whether a GET of `http://host[:port][/path]` is answered by a status from 200 to 399.
pub async fn http(url: &str, aimer: &impl Aimer) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, get(url, aimer)).await, Ok(Some(status)) if (200..400).contains(&status))
}

async fn connect(address: &str, aimer: &impl Aimer) -> Option<TcpStream> {
    for to in lookup_host(address).await.ok()? {
        let stream = match aimer.aim(to).await {
            Aim::Nobody => continue,
            Aim::Anybody => TcpStream::connect(to).await,
            Aim::At(From { socket, port }) => {
                let _done = Done(aimer, port);
                socket.connect(to).await
            }
        };
        if let Ok(stream) = stream {
            return Some(stream);
        }
    }
    None
}

/// Says so even if the attempt is given up half-way.
struct Done<'a, A: Aimer>(&'a A, u16);

impl<A: Aimer> Drop for Done<'_, A> {
    fn drop(&mut self) {
        self.0.done(self.1);
    }
}

/// The status code of the answer. HTTP/1.0 and `Connection: close`, so that no server keeps the connection.
async fn get(url: &str, aimer: &impl Aimer) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut stream = connect(&address, aimer).await?;
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: stead\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    // "HTTP/1.1 200": the status stands in the first twelve bytes (RFC 9112, section 4).
    let mut head = [0u8; 12];
    stream.read_exact(&mut head).await.ok()?;
    if !head.starts_with(b"HTTP/1.") {
        return None;
    }
    std::str::from_utf8(&head[9..12]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    struct Plain;

    impl Aimer for Plain {
        async fn aim(&self, _: SocketAddr) -> Aim {
            Aim::Anybody
        }

        fn done(&self, _: u16) {}
    }

    /// As one whose run listens, or does not.
    struct Shared(bool);

    impl Aimer for Shared {
        async fn aim(&self, to: SocketAddr) -> Aim {
            if self.0 { Aim::At(From::loopback(to).unwrap()) } else { Aim::Nobody }
        }

        fn done(&self, from: u16) {
            assert_ne!(from, 0);
        }
    }

    async fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        format!("http://{address}/health")
    }

    #[tokio::test]
    async fn only_success_and_redirects_count_as_healthy() {
        assert!(http(&answering("HTTP/1.1 200 OK\r\n\r\n").await, &Plain).await);
        assert!(http(&answering("HTTP/1.0 302 Found\r\n\r\n").await, &Plain).await);
        assert!(!http(&answering("HTTP/1.1 503 Busy\r\n\r\n").await, &Plain).await);
        assert!(!http(&answering("garbage garbage").await, &Plain).await);
        assert!(!http(&answering("").await, &Plain).await);
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(tcp(&address, &Plain).await);
        drop(listener);
        assert!(!tcp(&address, &Plain).await);
        assert!(!http(&format!("http://{address}"), &Plain).await);
    }

    #[tokio::test]
    async fn an_aimed_probe_connects_from_loopback_or_not_at_all() {
        assert!(http(&answering("HTTP/1.1 200 OK\r\n\r\n").await, &Shared(true)).await);
        assert!(!http(&answering("HTTP/1.1 200 OK\r\n\r\n").await, &Shared(false)).await);
    }
}
