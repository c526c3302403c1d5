//! stead.toml: what the daemon itself is told.
//! Owns: its keys and defaults.
//! Never: reads a file. What is wrong is said; what is right in the same file counts, and the rest is as usual: a slip in
//! a file must not keep a daemon from looking after its apps.

use core::net::SocketAddr;

use toml::de::DeTable;

use super::error::{Errors, Fault, nearest};
use super::parse::{entries, syntax_faults};
use super::raw::Value;
use super::source::Source;
use crate::model::quantity::Bytes;

/// How much of something there may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// 0: no limit.
    Bytes(Bytes),
    /// Of the whole, 1 to 100.
    Percent(u8),
}

impl Share {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().strip_suffix('%') {
            Some(digits) => match digits.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Share::Percent(percent)),
                _ => Err(format!("\"{text}\" is not a share of the disk")),
            },
            None => Bytes::parse(text).map(Share::Bytes).map_err(|error| error.problem),
        }
    }
}

/// What stead.toml says, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For the rotated files of all logs together; the whole is the file system that they are on.
    pub log_max_total: Share,
    /// An absolute path that fits into a socket's address.
    pub metrics_socket: Option<String>,
    pub metrics_listen: Option<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { log_max_total: Share::Percent(10), metrics_socket: None, metrics_listen: None }
    }
}

/// One key of stead.toml.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    /// What an absent key means, as it would be written.
    pub default: &'static str,
    /// One line, without a full stop.
    pub help: &'static str,
    /// What else there is to know, in full sentences.
    pub doc: &'static str,
    /// What can be written, as the object of "use".
    pub values: &'static str,
}

/// Every key there is.
pub static SETTINGS: [Setting; 3] = [
    Setting {
        name: "log_max_total",
        default: "\"10%\"",
        help: "How much the rotated log files of all apps together may take",
        doc: "Over it the oldest go first, whosever they are. A share is one of the file system that they are on.",
        values: SHARE,
    },
    Setting {
        name: "metrics_socket",
        default: "false",
        help: "Where figures of all apps are served to machines, over HTTP on a socket of this host",
        doc: "GET /metrics answers with OpenMetrics, or with Prometheus' text format if that is what is accepted. Root and \
              the group stead may connect.",
        values: SOCKET,
    },
    Setting {
        name: "metrics_listen",
        default: "false",
        help: "The same on a TCP address, for a Prometheus that cannot reach a socket",
        doc: "Whoever can connect to it sees all apps, without a password: not an address that others reach.",
        values: ADDRESS,
    },
];

/// The stead.toml that packages bring: every key with what is said of it, commented out with its default.
pub fn template() -> String {
    let mut text = comment(
        "Settings of the stead daemon: see stead.toml(5). \"stead upgrade\" has them read again, and touches no app. Apps do \
         not stand here, but in files of apps.d beside it.",
    );
    for Setting { name, default, help, doc, values } in &SETTINGS {
        text.push_str(&format!("\n{}", comment(&format!("{help}. {doc} Use {values}."))));
        text.push_str(&format!("#{name} = {default}\n"));
    }
    text
}

/// Lines of at most 80 columns.
fn comment(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 80 => *line = format!("{line} {word}"),
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// What a file says, and what is wrong with it.
pub fn parse_settings(source: &Source) -> (Settings, Option<Errors>) {
    let mut settings = Settings::default();
    let (document, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        return (settings, Errors::place(syntax_faults(source.text(), &errors), Some(source)));
    }
    let mut faults = Vec::new();
    for entry in entries(document.get_ref()) {
        let mut fault = |problem: String, mend: &str| {
            faults.push(Fault::new(entry.node.span.clone(), problem, mend).key(entry.key.as_str()));
        };
        match (entry.key.as_str(), &entry.node.value) {
            ("log_max_total", Value::Str(text)) => match Share::parse(text) {
                Ok(share) => settings.log_max_total = share,
                Err(problem) => fault(problem, &format!("give {SHARE}")),
            },
            ("log_max_total", Value::Int(0)) => settings.log_max_total = Share::Bytes(Bytes(0)),
            ("log_max_total", other) => {
                fault(format!("must be a size, not {}", other.type_name()), &format!("give {SHARE}"));
            }
            ("metrics_socket" | "metrics_listen", Value::Bool(false)) => {}
            ("metrics_socket", Value::Str(path)) => match socket_path(path) {
                Ok(path) => settings.metrics_socket = Some(path),
                Err(problem) => fault(problem, &format!("give {SOCKET}")),
            },
            ("metrics_listen", Value::Str(text)) => match text.parse() {
                Ok(address) => settings.metrics_listen = Some(address),
                Err(_) => fault(format!("\"{text}\" is not an IP address with a port"), &format!("give {ADDRESS}")),
            },
            ("metrics_socket", other) => {
                fault(format!("must be a path, not {}", other.type_name()), &format!("give {SOCKET}"));
            }
            ("metrics_listen", other) => {
                fault(format!("must be an address, not {}", other.type_name()), &format!("give {ADDRESS}"));
            }
            ("app", _) => {
                fault("apps do not stand in stead.toml".to_owned(), "put them into a file of apps.d beside it")
            }
            (key, _) => {
                let names = SETTINGS.iter().map(|setting| setting.name);
                let mend = match nearest(key, names.clone()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("there is {}", names.collect::<Vec<_>>().join(", ")),
                };
                fault("no such key".to_owned(), &mend);
            }
        }
    }
    (settings, Errors::place(faults, Some(source)))
}

const SHARE: &str = "a size, as in \"20G\", a share of the disk, as in \"10%\", or 0 for no limit";

const SOCKET: &str = "an absolute path, as in \"/run/stead/metrics.sock\", or false for none";
const ADDRESS: &str = "an IP address with a port, as in \"127.0.0.1:9907\", or false for none";

/// unix(7): 108 bytes, a NUL at the end among them.
const SOCKET_PATH_MAX: usize = 107;

fn socket_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("\"{path}\" is not an absolute path"));
    }
    if path.ends_with('/') || path.contains('\0') {
        return Err(format!("\"{path}\" cannot be a socket"));
    }
    if path.len() > SOCKET_PATH_MAX {
        return Err(format!("\"{path}\" is too long for a socket, which has at most {SOCKET_PATH_MAX} bytes"));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Share, String) {
        let (settings, errors) = parse_settings(&Source::new("stead.toml", text));
        (settings.log_max_total, errors.map(|errors| errors.to_string()).unwrap_or_default())
    }

    #[test]
    fn a_share_is_a_size_a_percentage_or_nothing() {
        assert_eq!(read(""), (Share::Percent(10), String::new()));
        assert_eq!(read("log_max_total = \"20G\"").0, Share::Bytes(Bytes(20 << 30)));
        assert_eq!(read("log_max_total = \"5%\"").0, Share::Percent(5));
        assert_eq!(read("log_max_total = 0").0, Share::Bytes(Bytes(0)));
    }

    #[test]
    fn figures_are_served_where_it_says_and_nowhere_unless_it_does() {
        let read = |text| parse_settings(&Source::new("stead.toml", text)).0;
        assert_eq!((read("").metrics_socket, read("").metrics_listen), (None, None));
        let text = "metrics_socket = \"/run/stead/metrics.sock\"\nmetrics_listen = \"[::1]:9907\"";
        let settings = read(text);
        assert_eq!(settings.metrics_socket.as_deref(), Some("/run/stead/metrics.sock"));
        assert_eq!(settings.metrics_listen, Some("[::1]:9907".parse().unwrap()));
    }

    #[test]
    fn the_file_that_packages_bring_changes_nothing_and_neither_does_a_key_of_it_made_to_count() {
        let template = template();
        assert_eq!(read(&template), (Share::Percent(10), String::new()));
        let counting: Vec<&str> = template
            .lines()
            .map(|line| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line))
            .collect();
        let (settings, errors) = parse_settings(&Source::new("stead.toml", counting.join("\n").as_str()));
        assert_eq!((settings, errors.map(|errors| errors.to_string())), (Settings::default(), None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_its_mend() {
        for (text, said) in [
            ("log_max_total = \"200%\"", "\"200%\" is not a share of the disk"),
            ("log_max_total = true", "must be a size"),
            ("log_max_totl = \"5%\"", "did you mean \"log_max_total\"?"),
            ("[[app]]\nname = \"x\"", "apps do not stand in stead.toml"),
            ("log_max_total = ", "stead.toml:1:"),
            ("metrics_socket = \"metrics.sock\"", "\"metrics.sock\" is not an absolute path"),
            ("metrics_socket = \"/run/\"", "cannot be a socket"),
            ("metrics_socket = true", "must be a path"),
            ("metrics_listen = \"9907\"", "\"9907\" is not an IP address with a port"),
            ("metrics_listen = \"localhost:9907\"", "is not an IP address with a port"),
            ("metrics_listen = 9907", "must be an address"),
        ] {
            let (share, error) = read(text);
            assert_eq!(share, Share::Percent(10));
            assert!(error.contains(said) && error.starts_with("stead.toml:1:"), "{error}");
        }
    }
}
