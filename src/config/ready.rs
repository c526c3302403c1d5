//! The grammar of `ready_on`: a word, a URL, or a command.
//! Owns: what each form looks like. Never: asks whether an app can do it; `resolve` does.

use super::error::quoted;
use super::fields::{fail, words, wrong_type};
use super::keys::Key;
use super::raw::{Node, Value};
use super::reader::Read;
use crate::model::spec::ReadyOn;

const MEND: &str = "use auto, listen, notify, message, instant, \"http://HOST:PORT/PATH\", \"tcp://HOST:PORT\" or a \
    list that is a command";

/// A command is returned as it was written: its program is still to be looked up.
pub(super) fn ready_on(key: &Key, node: &Node) -> Read<ReadyOn> {
    let text = match &node.value {
        Value::Str(text) => text.as_str(),
        Value::List(_) => {
            let argv = words(key, node)?;
            return match argv.first() {
                Some(program) if !program.is_empty() => Ok(ReadyOn::Exec { argv }),
                _ => fail("an empty command", MEND),
            };
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Table(_) => return wrong_type(key, node),
    };
    match text {
        "auto" => return Ok(ReadyOn::Auto),
        "listen" => return Ok(ReadyOn::Listen),
        "notify" => return Ok(ReadyOn::Notify),
        "message" => return Ok(ReadyOn::Message),
        "instant" => return Ok(ReadyOn::Instant),
        _ => {}
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fail(format!("unknown value {}", quoted(text)), MEND);
    }
    match text.split_once("://") {
        Some(("http", rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            // The path goes into the request line as it stands.
            if !path.is_ascii() || path.contains('#') {
                return fail(
                    format!("{} is not a URL that can be asked for", quoted(text)),
                    "encode its path with %XX, without \"#\"",
                );
            }
            match host_port(authority) {
                Some(_) => Ok(ReadyOn::Http { url: text.to_owned() }),
                None => fail(format!("no host in {}", quoted(text)), "write it as \"http://127.0.0.1:8080/health\""),
            }
        }
        Some(("https", _)) => fail("the probe does not speak TLS", "use http:// or tcp:// on a port of the app itself"),
        Some(("tcp", address)) => match host_port(address) {
            Some(Some(_)) => Ok(ReadyOn::Tcp { address: address.to_owned() }),
            _ => fail(format!("no host and port in {}", quoted(text)), "write it as \"tcp://127.0.0.1:5432\""),
        },
        _ => fail(format!("unknown value {}", quoted(text)), MEND),
    }
}

/// `host`, `host:80`, `[::1]:80`. The outer None: no such thing; the inner: no port.
fn host_port(text: &str) -> Option<Option<u16>> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<::core::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(legal) {
        return None;
    }
    match port {
        None => Some(None),
        Some(digits) => {
            let number = digits.parse::<u16>().ok().filter(|n| *n > 0 && digits.bytes().all(|b| b.is_ascii_digit()))?;
            Some(Some(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    fn read(value: Value) -> Option<ReadyOn> {
        ready_on(keys::find("ready_on").unwrap(), &Node::from(value)).ok()
    }

    #[test]
    fn a_text_is_a_word_or_a_url_and_a_list_is_a_command() {
        assert_eq!(read("notify".into()), Some(ReadyOn::Notify));
        for url in ["http://localhost", "http://127.0.0.1:80/x?y=1", "http://[::1]:8080/"] {
            assert_eq!(read(url.into()), Some(ReadyOn::Http { url: url.into() }));
        }
        assert_eq!(read("tcp://db:5432".into()), Some(ReadyOn::Tcp { address: "db:5432".into() }));
        let argv = vec!["pg_isready".to_owned(), "-q".to_owned()];
        assert_eq!(read(Value::texts(argv.clone())), Some(ReadyOn::Exec { argv }));
    }

    #[test]
    fn what_could_not_be_probed_is_refused() {
        for text in [
            "",
            "ready",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://u@h/",
            "http://h/a b",
            "http://h/\r\nX: y",
            "http://[::1/",
            "http://h/é",
            "https://h/",
            "tcp://h",
            "tcp://:80",
            "tcp://h:+80",
            "udp://h:1",
        ] {
            assert_eq!(read(text.into()), None, "{text:?}");
        }
        assert_eq!(read(Value::List(Vec::new())), None);
        assert_eq!(read(Value::Bool(true)), None);
    }
}
