//! Figures for machines, over HTTP.
//! Owns: who is answered and for how long; how often figures are taken for all who ask together.
//! Never: runs on the daemon's thread, or answers with anything that changes something. Nothing of it is there unless
//! stead.toml asks for it, and at rest it waits for a connection, with no timer.

#![forbid(unsafe_code)]

mod http;

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::api::{Handle, Owners};
use crate::model::status::MetricsFormat;
use crate::model::time::Mono;
use http::{Question, Wrong};

/// So many are talked to at once. One more, and the oldest of them is hung up on: who asks at once is answered at once,
/// whoever else keeps connections open.
const CONNECTIONS: usize = 32;

/// A client that asks takes no longer than this to do so, and then to take its answer.
const ASKING: Duration = Duration::from_secs(5);
const TAKING: Duration = Duration::from_secs(10);

/// Who asks within this time after the figures were taken gets the same ones. Two scrapers share them, and however many
/// ask, to take them in a format costs at most a fifth of a core: it rests for four times as long as it took.
const SHARED: Duration = Duration::from_millis(250);
const REST: u32 = 4;

/// Between tries to accept, when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on this thread, for good.
pub fn serve(
    socket: Option<UnixListener>,
    port: Option<TcpListener>,
    handle: Handle,
    clock: fn() -> Mono,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = Arc::new(Figures { handle, clock, taken: Default::default() });
    runtime.block_on(async {
        let socket = socket.map(tokio::net::UnixListener::from_std).transpose()?;
        let port = port.map(tokio::net::TcpListener::from_std).transpose()?;
        let local = async {
            let mut clients = Clients::default();
            while let Some(listener) = &socket {
                clients.take(listener.accept().await, &figures).await;
            }
        };
        let remote = async {
            let mut clients = Clients::default();
            while let Some(listener) = &port {
                clients.take(listener.accept().await, &figures).await;
            }
        };
        tokio::join!(local, remote);
        Ok(())
    })
}

/// Those that are talked to at one door, oldest first. A door that is flooded closes no other.
#[derive(Debug, Default)]
struct Clients {
    talking: VecDeque<AbortHandle>,
}

impl Clients {
    async fn take<S, A>(&mut self, accepted: io::Result<(S, A)>, figures: &Arc<Figures>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match accepted {
            Ok((stream, _)) => {
                self.talking.retain(|client| !client.is_finished());
                if self.talking.len() >= CONNECTIONS
                    && let Some(oldest) = self.talking.pop_front()
                {
                    oldest.abort();
                }
                let figures = Arc::clone(figures);
                self.talking.push_back(tokio::spawn(async move { talk(stream, &figures).await }).abort_handle());
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection for metrics: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One question, one answer. A client that goes away in the middle is nobody's trouble.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, figures: &Arc<Figures>) {
    let question = match timeout(ASKING, listen(&mut stream)).await {
        Ok(Ok(Some(question))) => question,
        Ok(Ok(None) | Err(_)) => return,
        Err(_) => Err(Wrong::TooSlow),
    };
    let answer = match question {
        Ok(question) => figures.answer(&question).await,
        Err(wrong) => http::refusal(wrong),
    };
    let _ = timeout(TAKING, async {
        stream.write_all(&answer.head).await?;
        stream.write_all(answer.body.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// None: it has left.
async fn listen(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Result<Question, Wrong>>> {
    let mut buffer = [0; http::HEAD_MAX];
    let mut len = 0;
    loop {
        let read = stream.read(&mut buffer[len..]).await?;
        if read == 0 {
            return Ok(None);
        }
        len += read;
        if let Some(question) = http::read(&buffer[..len]) {
            return Ok(Some(question));
        }
    }
}

/// The figures of a moment, for each format.
#[derive(Debug)]
struct Figures {
    handle: Handle,
    clock: fn() -> Mono,
    taken: [Mutex<Option<Taken>>; MetricsFormat::ALL.len()],
}

#[derive(Debug, Clone)]
struct Taken {
    text: Arc<str>,
    stale_at: Mono,
}

impl Figures {
    async fn answer(self: &Arc<Self>, question: &Question) -> http::Answer {
        let Question::Metrics { format, head_only } = *question;
        // Begun once, it is done, also if who began it is hung up on: it would be begun again and again.
        let figures = Arc::clone(self);
        match tokio::spawn(async move { figures.text(format).await }).await {
            Ok(Ok(text)) => http::metrics(format, text, head_only),
            Ok(Err(why)) => http::unavailable(&why),
            Err(error) => http::unavailable(&error.to_string()),
        }
    }

    /// Whoever asks meanwhile waits for the same.
    async fn text(&self, format: MetricsFormat) -> Result<Arc<str>, String> {
        let mut taken = self.taken[format as usize].lock().await;
        let began = (self.clock)();
        if let Some(taken) = taken.as_ref().filter(|taken| began < taken.stale_at) {
            return Ok(Arc::clone(&taken.text));
        }
        let text = self.handle.metrics(Owners::Everybody, format).await.map_err(|refusal| refusal.to_string())?;
        let text: Arc<str> = text.into();
        let now = (self.clock)();
        let stale_at = now + SHARED.max(now.since(began) * REST);
        *taken = Some(Taken { text: Arc::clone(&text), stale_at });
        Ok(text)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz {
    //! A door for `crate::fuzz`.

    pub fn http(data: &[u8]) {
        let _ = super::http::read(data);
    }
}

#[cfg(test)]
mod tests;
