//! The addresses of `listen`: sockets that stead makes and passes to an app.
//! Owns: their grammar, when two of them are in each other's way, and the name of the fd.
//! Never: makes a socket, or looks a host name up.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One socket of an app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listen {
    /// TCP on all addresses of the host: one socket of both families, or IPv4 where there is no IPv6.
    Port(u16),
    /// TCP on one address. An IPv6 one takes IPv6 only, `[::]` too, as in nginx.
    Address(SocketAddr),
    /// A stream socket in the file system; absolute, without `..`.
    Path(String),
}

/// The longest path a client can name (unix(7): `sun_path`, its NUL counted off).
pub const PATH_MAX: usize = 107;

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {mend}")]
pub struct BadListen {
    pub problem: String,
    pub mend: &'static str,
}

const MEND: &str =
    "use a port as \"8080\", an address as \"127.0.0.1:8080\" or \"[::1]:8080\", or the path of a socket";

fn bad<T>(problem: impl Into<String>, mend: &'static str) -> Result<T, BadListen> {
    Err(BadListen { problem: problem.into(), mend })
}

impl Listen {
    /// `8080` and `:8080` are all addresses; `127.0.0.1:8080` and `[::1]:8080` one; what begins with `/` is a path.
    pub fn parse(text: &str) -> Result<Self, BadListen> {
        if text.starts_with('/') {
            return path(text);
        }
        let digits = text.strip_prefix(':').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Listen::Port(port(digits)?));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            if address.port() == 0 {
                port("0")?;
            }
            return match address.ip() {
                IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
                    bad(format!("\"{text}\" is an IPv4 address in IPv6 notation"), "write it as \"127.0.0.1:8080\"")
                }
                _ => Ok(Listen::Address(address)),
            };
        }
        if let Some((scheme, _)) = text.split_once(":/") {
            return bad(format!("\"{scheme}:\" has no meaning here"), "write the address or the path alone");
        }
        match text.rsplit_once(':') {
            _ if text.parse::<IpAddr>().is_ok() => bad(format!("\"{text}\" has no port"), MEND),
            _ if text.starts_with('@') => {
                bad("an abstract socket has no owner and no mode", "use the path of a socket")
            }
            Some((host, digits)) if host.parse::<IpAddr>().is_ok() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                port(digits).and_then(|_| bad(format!("\"{text}\" is not an address and a port"), MEND))
            }
            Some((host, digits)) if digits.parse::<u16>().is_ok() && !host.contains(':') => bad(
                format!("\"{host}\" is not an address"),
                "names are not looked up: write the address, as \"127.0.0.1:8080\"",
            ),
            _ => bad(format!("\"{text}\" is not an address, a port or a path"), MEND),
        }
    }

    /// None for a path.
    pub fn port(&self) -> Option<u16> {
        match self {
            Listen::Port(port) => Some(*port),
            Listen::Address(address) => Some(address.port()),
            Listen::Path(_) => None,
        }
    }

    /// Whether a connection could be meant for either.
    pub fn overlaps(&self, other: &Listen) -> bool {
        match (self, other) {
            (Listen::Path(one), Listen::Path(other)) => one == other,
            (Listen::Path(_), _) | (_, Listen::Path(_)) => false,
            (Listen::Port(one), other) | (other, Listen::Port(one)) => Some(*one) == other.port(),
            (Listen::Address(one), Listen::Address(other)) => {
                let any = |address: &SocketAddr| address.ip().is_unspecified();
                one.port() == other.port()
                    && one.is_ipv4() == other.is_ipv4()
                    && (any(one) || any(other) || one.ip() == other.ip())
            }
        }
    }

    /// Its word in LISTEN_FDNAMES: printable ASCII without colons, which part the words, and at most 255 characters
    /// (sd_listen_fds(3)).
    pub fn fd_name(&self) -> String {
        let text = self.to_string();
        text.chars().map(|c| if c.is_ascii_graphic() && c != ':' { c } else { '_' }).collect()
    }
}

fn port(digits: &str) -> Result<u16, BadListen> {
    match digits.parse() {
        Ok(0) => bad("port 0 is any free port, and no client would know which", "choose one from 1 to 65535"),
        Ok(port) => Ok(port),
        Err(_) => bad(format!("{digits} is not a port"), "choose one from 1 to 65535"),
    }
}

fn path(text: &str) -> Result<Listen, BadListen> {
    if text.len() > PATH_MAX {
        return bad(format!("the path of a socket cannot be longer than {PATH_MAX} bytes"), "use a shorter one");
    }
    if text.contains('\0') {
        return bad("holds a NUL character", "take it out");
    }
    // What `..` leads to can change between a look and the next.
    if text.split('/').any(|part| part == "..") {
        return bad(format!("\"{text}\" has \"..\" in it"), "write the path without it");
    }
    match text.rsplit('/').next() {
        Some("" | ".") | None => bad(format!("\"{text}\" names a directory"), "name the socket in it too"),
        Some(_) => Ok(Listen::Path(text.to_owned())),
    }
}

impl fmt::Display for Listen {
    /// What `parse` reads back as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Port(port) => write!(f, "{port}"),
            Listen::Address(address) => write!(f, "{address}"),
            Listen::Path(path) => f.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listen(text: &str) -> Listen {
        Listen::parse(text).unwrap()
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for (text, shown) in [
            ("8080", "8080"),
            (":8080", "8080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[fe80::1%2]:8080", "[fe80::1%2]:8080"),
            ("/run/api.sock", "/run/api.sock"),
        ] {
            assert_eq!(listen(text).to_string(), shown);
            assert_eq!(listen(shown), listen(text));
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_it_is() {
        for (text, said) in [
            ("0", "port 0"),
            ("65536", "65536 is not a port"),
            ("127.0.0.1:70000", "70000 is not a port"),
            ("127.0.0.1:0", "port 0"),
            ("localhost:80", "names are not looked up"),
            ("127.0.0.1", "has no port"),
            ("::1", "has no port"),
            ("[::ffff:127.0.0.1]:80", "IPv4 address in IPv6 notation"),
            ("unix:/run/x", "\"unix:\" has no meaning here"),
            ("tcp://127.0.0.1:80", "\"tcp:\" has no meaning here"),
            ("@x", "abstract"),
            ("/", "names a directory"),
            ("/run/", "names a directory"),
            ("/run/../x", "\"..\""),
            ("", "not an address"),
            ("eth0", "not an address"),
        ] {
            let error = Listen::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        assert!(Listen::parse(&format!("/{}", "x".repeat(PATH_MAX))).is_err());
    }

    #[test]
    fn two_overlap_if_one_connection_could_be_for_either() {
        for (one, other, overlap) in [
            ("80", "127.0.0.1:80", true),
            ("80", "[::1]:80", true),
            ("80", "81", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::]:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("/run/a", "/run/a", true),
            ("/run/a", "/run/b", false),
            ("/run/a", "80", false),
        ] {
            assert_eq!(listen(one).overlaps(&listen(other)), overlap, "{one} {other}");
            assert_eq!(listen(other).overlaps(&listen(one)), overlap, "{other} {one}");
        }
    }

    #[test]
    fn an_fd_name_has_no_colon() {
        assert_eq!(listen("[::1]:8080").fd_name(), "[__1]_8080");
        assert_eq!(listen("/run/é.sock").fd_name(), "/run/_.sock");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_and_comes_back(text in prop_oneof![any::<String>(), "[0-9a-f:.\\[\\]/@]{0,24}"]) {
            if let Ok(listen) = Listen::parse(&text) {
                prop_assert_eq!(Listen::parse(&listen.to_string()), Ok(listen));
            }
        }
    }
}
