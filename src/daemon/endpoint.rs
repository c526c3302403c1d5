//! Where figures are served to machines: the socket and the address of stead.toml.
//! Owns: making them, with their owner and mode, and taking the socket's file away at the end.
//! Never: keeps the daemon from its work: what cannot be served is said, and everything else goes on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, OnceLock};

use super::clock;
use crate::api::Handle;
use crate::config::Settings;
use crate::sys::identity;
use crate::sys::listener::{self, Found};
use crate::sys::open;
use crate::web;

/// Whoever is in it sees all apps, by polkit's rule and by this socket alike.
const GROUP: &str = "stead";

/// What is served as long as the daemon lives.
#[derive(Debug)]
pub struct Endpoint {
    /// The socket's path, once it is ours.
    made: Arc<OnceLock<String>>,
}

impl Endpoint {
    /// Without a key of stead.toml there is neither a socket nor a thread.
    pub fn open(settings: &Settings, handle: &Handle) -> io::Result<Self> {
        let endpoint = Self { made: Arc::default() };
        let (path, address) = (settings.metrics_socket.clone(), settings.metrics_listen);
        if path.is_none() && address.is_none() {
            return Ok(endpoint);
        }
        let (made, handle) = (Arc::clone(&endpoint.made), handle.clone());
        // Its own from the beginning: to look up a group may take its time, and what others send keeps nobody waiting.
        let thread = std::thread::Builder::new().name("metrics".to_owned()).stack_size(512 << 10);
        thread.spawn(move || serve(path, address, &made, handle))?;
        Ok(endpoint)
    }

    pub fn close(&self) {
        if let Some(path) = self.made.get() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn serve(path: Option<String>, address: Option<SocketAddr>, ours: &OnceLock<String>, handle: Handle) {
    let socket = path.and_then(|path| {
        let socket = made(&format!("metrics_socket = \"{path}\""), socket(&path))?;
        let _ = ours.set(path);
        Some(socket)
    });
    let port = address.and_then(|address| made(&format!("metrics_listen = \"{address}\""), port(address)));
    if (socket.is_some() || port.is_some())
        && let Err(error) = web::serve(socket, port, handle, clock::mono)
    {
        tracing::error!("metrics are not served: {error}");
    }
}

fn made<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result.map_err(|error| tracing::error!("{what} of stead.toml: metrics are not served there: {error}")).ok()
}

fn port(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// In place of a socket that a dead daemon left, but of nothing else.
fn socket(path: &str) -> io::Result<UnixListener> {
    let taken = |words: String| io::Error::new(io::ErrorKind::AddrInUse, words);
    // It is absolute, and does not end with a slash.
    let (parent, name) = path.rsplit_once('/').ok_or(io::ErrorKind::InvalidInput)?;
    let parent = open::open_dir_path(if parent.is_empty() { "/" } else { parent })?;
    match listener::look(parent.as_fd(), name, path)? {
        Found::Nothing => {}
        Found::Stale { .. } => std::fs::remove_file(path)?,
        Found::Live { pid: Some(pid) } => return Err(taken(format!("process {pid} listens on {path}: stop it"))),
        Found::Live { pid: None } => return Err(taken(format!("somebody else listens on {path}"))),
        Found::Other => return Err(taken(format!("{path} is there, and is no socket: move it away"))),
    }
    // Where the group is missing, as in a test, the socket is root's alone.
    let group = identity::group(GROUP).ok().flatten().unwrap_or_else(|| nix::unistd::getegid().as_raw());
    let owner = nix::unistd::geteuid().as_raw();
    let (fd, _) = listener::bind_path(parent.as_fd(), name, path, owner, group)?;
    listener::listen(&fd)?;
    let listener = UnixListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}
