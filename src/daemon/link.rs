//! The daemon's end of the socket to the holder.
//! Owns: sending requests without ever blocking, and putting each message into the words of the executor.
//! Never: decides what to send.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::watched::watched;
use crate::holder::plan::Plan;
use crate::holder::protocol::{self, Ends, Message, Request, Row, Stream};
use crate::model::exit::Exit;
use crate::model::signal::Signal;
use crate::sys::socket;

/// Our ends of a proc's streams.
#[derive(Debug, Default)]
pub struct Streams {
    pub out: Option<OwnedFd>,
    pub err: Option<OwnedFd>,
    pub ipc: Option<OwnedFd>,
    /// What the holder took out of stdout and stderr while there was no daemon.
    pub spilled: [Option<OwnedFd>; 2],
}

impl Streams {
    fn of(Ends { stdout, stderr, ipc, spilled_out, spilled_err, .. }: Ends) -> Self {
        Self { out: stdout, err: stderr, ipc, spilled: [spilled_out, spilled_err] }
    }
}

/// News of a process.
#[derive(Debug)]
pub enum FromHolder {
    Spawned {
        token: u64,
        pid: i32,
        streams: Streams,
    },
    SpawnFailed {
        token: u64,
        why: String,
    },
    Exited {
        token: u64,
        exit: Exit,
    },
    /// SIGTERM came: stop everything.
    Terminate,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("steadd is started by stead-holder, which gives it a socket in {}; it was not", protocol::FD_VARIABLE)]
    NotAChild,
    #[error("the socket to the holder: {0}")]
    Socket(#[from] io::Error),
    #[error("the holder has gone")]
    Closed,
    #[error("the holder speaks version {found} of the protocol, this daemon {}: upgrade both", protocol::VERSION)]
    Version { found: u32 },
    #[error("the holder sent what cannot be: {0}")]
    Malformed(#[from] protocol::Malformed),
}

/// How long the holder may take to hear the last word.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(5);

pub struct Link {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    /// Requests that nobody waits for: sent when the loop has nothing more urgent to do.
    later: Vec<Request>,
    /// Requests that the holder had no room for yet, in order, each with the fd that goes with it.
    outbox: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    /// Watched for room only while something is in the outbox: otherwise each message that the holder takes wakes us.
    room: Option<AsyncFd<OwnedFd>>,
    /// What came while an answer was waited for, in order.
    unheard: VecDeque<(Message, Vec<OwnedFd>)>,
    /// SIGTERM came while an answer was waited for.
    terminate: bool,
    /// Plans whose spawn is not answered: a failure is told in their words.
    plans: HashMap<u64, Plan>,
    /// What the holder speaks: it says so before anything else.
    version: u32,
}

impl Link {
    /// Takes the socket that the holder left open for us. Inside a tokio runtime.
    pub fn inherit() -> Result<Self, LinkError> {
        let number = std::env::var(protocol::FD_VARIABLE).ok().and_then(|text| text.parse().ok());
        Self::over(socket::inherited(number.ok_or(LinkError::NotAChild)?)?)
    }

    fn over(socket: OwnedFd) -> Result<Self, LinkError> {
        Ok(Self {
            socket: watched(socket, Interest::READABLE)?,
            buffer: vec![0; 64 * 1024],
            later: Vec::new(),
            outbox: VecDeque::new(),
            room: None,
            unheard: VecDeque::new(),
            terminate: false,
            plans: HashMap::new(),
            version: protocol::OLDEST,
        })
    }

    /// The next news. Sends what is waiting to be sent meanwhile. Safe to drop before it is done.
    pub async fn receive(&mut self) -> Result<FromHolder, LinkError> {
        if std::mem::take(&mut self.terminate) {
            return Ok(FromHolder::Terminate);
        }
        while let Some((message, fds)) = self.unheard.pop_front() {
            if let Some(news) = self.news(message, fds)? {
                return Ok(news);
            }
        }
        loop {
            if !self.outbox.is_empty() {
                self.send_outbox()?;
            }
            let mut guard = match &self.room {
                None => self.socket.readable().await?,
                Some(room) => tokio::select! {
                    guard = self.socket.readable() => guard?,
                    guard = room.writable() => {
                        guard?.clear_ready();
                        continue;
                    }
                },
            };
            let received = match socket::receive(self.socket.as_fd(), &mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    guard.clear_ready();
                    continue;
                }
                received => received?,
            };
            if received.len == 0 {
                return Err(LinkError::Closed);
            }
            let message = Message::decode(&self.buffer[..received.len])?;
            if let Some(news) = self.news(message, received.fds)? {
                return Ok(news);
            }
        }
    }

    fn send_outbox(&mut self) -> Result<(), LinkError> {
        while let Some((bytes, fd)) = self.outbox.front() {
            match send(&self.socket, bytes, fd.as_ref()) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.room.is_none() {
                        let copy = self.socket.get_ref().try_clone()?;
                        self.room = Some(watched(copy, Interest::WRITABLE)?);
                    }
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.room = None;
        Ok(())
    }

    /// Sends what nobody waited for.
    pub fn send_later(&mut self) {
        for request in std::mem::take(&mut self.later) {
            self.request(&request);
        }
    }

    fn news(&mut self, message: Message, fds: Vec<OwnedFd>) -> Result<Option<FromHolder>, LinkError> {
        Ok(match message {
            Message::Hello { version } => {
                self.version = greet(version)?;
                None
            }
            Message::Spawned { token, pid, fds: kinds } => {
                self.plans.remove(&token);
                let ends = Ends::sort(kinds, fds)?;
                let streams = Streams::of(ends);
                Some(FromHolder::Spawned { token, pid, streams })
            }
            Message::SpawnFailed { token, failure } => {
                let plan = self.plans.remove(&token).unwrap_or_default();
                Some(FromHolder::SpawnFailed { token, why: failure.sentence(&plan) })
            }
            Message::Exited { token, exit } => Some(FromHolder::Exited { token, exit: exit_of(exit) }),
            Message::Terminate => Some(FromHolder::Terminate),
            Message::Refused { token: Some(token), why } if self.plans.remove(&token).is_some() => {
                Some(FromHolder::SpawnFailed { token, why: format!("the holder refused to start it: {why}") })
            }
            Message::Refused { token, why } => {
                tracing::error!(?token, "the holder refused a request: {why}");
                None
            }
            Message::Reload => None,
            Message::Ping => {
                self.request(&Request::Pong);
                None
            }
            Message::Taken { .. } | Message::Inventory { .. } | Message::Fetched { .. } => None,
        })
    }

    /// The next answer to a request at start. News that comes meanwhile is kept for `receive`.
    async fn answer(&mut self) -> Result<(Message, Vec<OwnedFd>), LinkError> {
        loop {
            let mut guard = self.socket.ready(Interest::READABLE).await?;
            match socket::receive(self.socket.as_fd(), &mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Err(error.into()),
                Ok(received) if received.len == 0 => return Err(LinkError::Closed),
                Ok(received) => match Message::decode(&self.buffer[..received.len])? {
                    Message::Hello { version } => self.version = greet(version)?,
                    message @ (Message::Fetched { .. } | Message::Inventory { .. } | Message::Taken { .. }) => {
                        return Ok((message, received.fds));
                    }
                    Message::Terminate => self.terminate = true,
                    message => self.unheard.push_back((message, received.fds)),
                },
            }
        }
    }

    /// What the holder keeps under this name. Only at start.
    pub async fn fetch(&mut self, name: &str) -> Result<Option<OwnedFd>, LinkError> {
        self.request(&Request::Fetch { name: name.to_owned() });
        loop {
            let (answer, mut fds) = self.answer().await?;
            if let Message::Fetched { name: found, .. } = answer
                && found == name
            {
                return Ok(fds.pop());
            }
        }
    }

    /// Every process that the holder knows, and the names of what it keeps. Only at start.
    pub async fn inventory(&mut self) -> Result<(Vec<Row>, Vec<String>), LinkError> {
        self.request(&Request::Inventory);
        let (mut rows, mut stored) = (Vec::new(), Vec::new());
        loop {
            if let (Message::Inventory { rows: some, stored: names, last }, _) = self.answer().await? {
                rows.extend(some);
                stored.extend(names);
                if last {
                    // What it said before is in these rows.
                    self.unheard.clear();
                    return Ok((rows, stored));
                }
            }
        }
    }

    /// Our ends of the streams of these processes, in order. Only at start.
    pub async fn take(&mut self, tokens: &[u64]) -> Result<Vec<Streams>, LinkError> {
        tokens.iter().for_each(|&token| self.request(&Request::Take { token }));
        let mut taken = Vec::with_capacity(tokens.len());
        while taken.len() < tokens.len() {
            self.send_outbox()?;
            let answer = tokio::time::timeout(FAREWELL, self.answer()).await;
            let (answer, fds) = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if let Message::Taken { token, fds: kinds } = answer
                && token == tokens[taken.len()]
            {
                let ends = Ends::sort(kinds, fds)?;
                taken.push(Streams::of(ends));
            }
        }
        Ok(taken)
    }

    pub fn request(&mut self, request: &Request) {
        self.request_with(request, None);
    }

    fn request_with(&mut self, request: &Request, fd: Option<OwnedFd>) {
        if let Err(error) = self.push(request.encode(), fd) {
            // `receive` meets what is wrong with the socket, and ends the daemon with it.
            tracing::error!("the socket to the holder: {error}");
        }
    }

    /// Refuses a plan that no message can hold: the kernel would refuse most of these, too (execve(2), E2BIG). And one
    /// that the holder could not carry out as it is meant.
    pub fn spawn(&mut self, token: u64, plan: Plan) -> Result<(), String> {
        if plan.version() > self.version {
            return Err(format!(
                "the holder is older than this daemon and cannot confine an app (it speaks version {} of the protocol, \
                 not {}): `stead upgrade` replaces it, and no app is touched",
                self.version,
                plan.version()
            ));
        }
        let request = Request::Spawn { token, plan: Box::new(plan) };
        let bytes = request.encode();
        if bytes.len() > protocol::MAX_MESSAGE {
            return Err(format!("its arguments and environment are {} bytes; at most 1 MiB can be given", bytes.len()));
        }
        if let Request::Spawn { plan, .. } = request {
            self.plans.insert(token, *plan);
        }
        self.push(bytes, None).inspect_err(|_| drop(self.plans.remove(&token))).map_err(|error| {
            // EMSGSIZE and ENOBUFS: this message, and only it, is too large for the socket here.
            format!("its arguments and environment cannot be given to the holder: {error}")
        })
    }

    pub fn signal(&mut self, token: u64, signal: Signal) {
        self.request(&Request::Signal { token, signal: signal.0 });
    }

    pub fn signal_group(&mut self, token: u64, signal: Signal) {
        self.request(&Request::SignalGroup { token, signal: signal.0 });
    }

    /// At the end of the loop's turn: a successor's spawn goes first.
    pub fn reap(&mut self, token: u64) {
        self.later.push(Request::Reap { token });
    }

    /// At the end of the loop's turn.
    pub fn forget(&mut self, token: u64) {
        self.later.push(Request::Forget { token });
    }

    /// Gives an fd away: the holder keeps it under this name, and ours is closed once it has been sent.
    pub fn give(&mut self, name: String, fd: OwnedFd) {
        self.request_with(&Request::Store { name }, Some(fd));
    }

    /// Has the holder close what it keeps under this name.
    pub fn take_back(&mut self, name: String) {
        self.request(&Request::Drop { name });
    }

    /// Gives the holder a copy of an fd to keep. Only at start, when nothing else is under way.
    pub fn store(&mut self, name: &str, fd: &OwnedFd) -> Result<(), LinkError> {
        let bytes = Request::Store { name: name.to_owned() }.encode();
        Ok(socket::send(self.socket.as_fd(), &bytes, &[fd.as_fd()])?)
    }

    /// 0 is stdout, 1 stderr.
    pub fn drop_stream(&mut self, token: u64, index: u64) {
        let stream = if index == 0 { Stream::Stdout } else { Stream::Stderr };
        self.request(&Request::DropStream { token, stream });
    }

    /// All that was spilled of a stream is in its file.
    pub fn drop_spill(&mut self, token: u64, index: u64) {
        let stream = if index == 0 { Stream::SpilledOut } else { Stream::SpilledErr };
        self.request(&Request::DropStream { token, stream });
    }

    /// This daemon is killed soon after, or nothing happens and the holder says why.
    pub fn upgrade(&mut self) {
        self.request(&Request::Upgrade);
    }

    pub fn serving(&mut self) {
        self.request(&Request::Serving);
    }

    /// The farewell: waits until the holder has taken it, or has refused, but not for ever.
    pub async fn quit(&mut self) {
        self.send_later();
        self.request(&Request::Quit);
        let end = async {
            // It answers only if it refuses; its taking shows in an empty outbox.
            while !self.outbox.is_empty() {
                if self.receive().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(FAREWELL, end).await.is_err() {
            tracing::error!("the holder does not take its farewell");
        }
    }

    fn push(&mut self, bytes: Vec<u8>, fd: Option<OwnedFd>) -> io::Result<()> {
        if self.outbox.is_empty() {
            match send(&self.socket, &bytes, fd.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
        self.outbox.push_back((bytes, fd));
        Ok(())
    }
}

/// The version, if this daemon can work with a holder of it.
fn greet(version: u32) -> Result<u32, LinkError> {
    match version {
        protocol::VERSION => Ok(version),
        protocol::OLDEST..protocol::VERSION => {
            tracing::warn!(
                "the holder speaks version {version} of the protocol, this daemon {}: what is new in it does not work until \
                 the holder is replaced, too",
                protocol::VERSION
            );
            Ok(version)
        }
        found => Err(LinkError::Version { found }),
    }
}

fn send(socket: &AsyncFd<OwnedFd>, bytes: &[u8], fd: Option<&OwnedFd>) -> io::Result<()> {
    let fds: Vec<_> = fd.into_iter().map(AsFd::as_fd).collect();
    socket::send(socket.as_fd(), bytes, &fds)
}

pub(super) fn exit_of(exit: protocol::Exit) -> Exit {
    match exit {
        protocol::Exit::Code(code) => Exit::Code(code),
        protocol::Exit::Signal { signal, core_dumped } => Exit::Signal { signal: Signal(signal), core_dumped },
        protocol::Exit::Unknown => Exit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holder::plan::Step;

    #[tokio::test]
    async fn an_older_holder_is_asked_for_nothing_that_it_cannot_do() {
        let (ours, _theirs) = socket::packet_pair().unwrap();
        let mut link = Link::over(ours).unwrap();
        link.news(Message::Hello { version: 3 }, Vec::new()).unwrap();
        let plan = |step| Plan { steps: vec![step], ..Plan::default() };
        assert_eq!(link.spawn(1, plan(Step::Setsid)), Ok(()));
        let refused = link.spawn(2, plan(Step::MountNamespace)).unwrap_err();
        assert!(refused.contains("speaks version 3") && refused.contains("`stead upgrade`"), "{refused}");
        link.news(Message::Hello { version: protocol::VERSION }, Vec::new()).unwrap();
        assert_eq!(link.spawn(2, plan(Step::MountNamespace)), Ok(()));
    }
}
