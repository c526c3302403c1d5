//! Probes over the network: does something answer at this address, and with success?
//! Owns: one attempt. Never: repeats itself; `readiness` decides when to ask again.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One attempt may take this long; a server that needs more is not ready.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Whether a connection to `host:port` is taken.
pub async fn tcp(address: &str) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Whether a GET of `http://host[:port][/path]` is answered by a status from 200 to 399.
pub async fn http(url: &str) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, get(url)).await, Ok(Some(status)) if (200..400).contains(&status))
}

/// The status code of the answer. HTTP/1.0 and `Connection: close`, so that no server keeps the connection.
async fn get(url: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut stream = TcpStream::connect(address).await.ok()?;
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
        assert!(http(&answering("HTTP/1.1 200 OK\r\n\r\n").await).await);
        assert!(http(&answering("HTTP/1.0 302 Found\r\n\r\n").await).await);
        assert!(!http(&answering("HTTP/1.1 503 Busy\r\n\r\n").await).await);
        assert!(!http(&answering("garbage garbage").await).await);
        assert!(!http(&answering("").await).await);
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(tcp(&address).await);
        drop(listener);
        assert!(!tcp(&address).await);
        assert!(!http(&format!("http://{address}")).await);
    }
}
