//! The grammar of `listen` and of `balance`: where an app's connections come in, and how they are spread.
//! Owns: the list as it is written, and what in it contradicts itself.
//! Never: asks the host whether an address is free; the daemon does.

use super::error::{Fault, quoted};
use super::fields::{absolute, choice, fail, wrong_type};
use super::keys::Key;
use super::raw::{Node, RawApp, Value};
use super::reader::{Read, Reader};
use super::resolve::Context;
use super::write::BALANCE;
use crate::model::listen::Listen;
use crate::model::spec::{AppSpec, Balance, ReadyOn};

/// So many fds can be passed beside the standard streams and Node's channel.
const LISTEN_MAX: usize = 32;

pub(super) fn balance(key: &Key, node: &Node) -> Read<Balance> {
    match &node.value {
        Value::Str(word) if word.starts_with("least") => fail(
            format!("cannot be {}: stead does not count the connections of each instance", quoted(word)),
            "use \"round-robin\", \"hash\" or \"off\"",
        ),
        _ => choice(BALANCE)(key, node),
    }
}

/// A list, or one item that is not in a list. A path may be relative, as in every key with a path.
pub(super) fn listen(base: &str) -> impl Fn(&Key, &Node) -> Read<Vec<Listen>> + '_ {
    move |key, node| {
        let one = std::slice::from_ref(node);
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Str(_) | Value::Int(_) => one,
            Value::Bool(_) | Value::Float(_) | Value::Table(_) => return wrong_type(key, node),
        };
        let mut found: Vec<Listen> = Vec::with_capacity(items.len());
        let mut faults = Vec::new();
        for item in items {
            match item_of(base, item, &found) {
                Ok(listen) => found.push(listen),
                Err(wrong) => faults.extend(wrong),
            }
        }
        if found.len() > LISTEN_MAX {
            return fail(format!("{} sockets are too many", found.len()), format!("give at most {LISTEN_MAX}"));
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }
}

fn item_of(base: &str, item: &Node, before: &[Listen]) -> Read<Listen> {
    let wrong = |problem: String, mend: String| vec![Fault::new(item.span.clone(), problem, mend)];
    let text = match &item.value {
        Value::Str(text) if is_path(text) => absolute(base, text),
        Value::Str(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        other => {
            let problem = format!("a list of addresses cannot hold {}", other.type_name());
            return Err(wrong(problem, "put it in quotes".to_owned()));
        }
    };
    let listen = Listen::parse(&text).map_err(|bad| wrong(bad.problem, bad.mend.to_owned()))?;
    match before.iter().find(|other| other.overlaps(&listen)) {
        Some(other) if *other == listen => {
            Err(wrong(format!("\"{listen}\" is given twice"), "leave one of them out".to_owned()))
        }
        Some(other) => {
            let problem = format!("\"{listen}\" and \"{other}\" would take the same connections");
            Err(wrong(problem, "leave one of them out".to_owned()))
        }
        None => Ok(listen),
    }
}

/// `run/api.sock` too; not `unix:/run/x`, nor a directory, which `Listen` has words for.
fn is_path(text: &str) -> bool {
    let relative = text.contains('/') && !text.contains([':', '@', '\0']);
    (text.starts_with('/') || relative) && !text.ends_with('/')
}

/// Two apps of one file cannot have the same address.
pub(super) fn clash(raw: &RawApp, spec: &AppSpec, before: &[AppSpec]) -> Option<Fault> {
    let (listen, other) = spec.listen.iter().find_map(|listen| {
        let taken = |other: &&AppSpec| other.listen.iter().any(|taken| taken.overlaps(listen));
        Some((listen, before.iter().find(taken)?))
    })?;
    let span = raw.get("listen").and_then(|node| node.span.clone());
    let problem = format!("\"{listen}\" is what app {} listens on", quoted(other.name.as_str()));
    Some(Fault::new(span, problem, "give one of them another address").key("listen"))
}

/// What of it is root's. Whether the app's user could make a socket at a path is seen where it is made.
pub(super) fn check_ports(r: &mut Reader<'_>, spec: &AppSpec, ctx: &Context<'_>) {
    let low = spec.listen.iter().filter_map(Listen::port).find(|port| *port < ctx.unprivileged_port_start);
    if let Some(port) = low {
        let problem = format!("only root may set port {port}, which is below {}", ctx.unprivileged_port_start);
        r.fault("listen", problem, "choose a higher one, or have root start the app");
    }
}

/// What would be true before the app has done anything says nothing of the app.
pub(super) fn check_readiness(r: &mut Reader<'_>, spec: &AppSpec) {
    if spec.listen.is_empty() {
        return;
    }
    let mend = "use \"auto\", \"notify\" or an http:// URL that it answers";
    match &spec.ready_on {
        ReadyOn::Listen => {
            let problem =
                "the app gets its sockets from stead (`listen`), so it would never be seen to begin to listen";
            r.fault("ready_on", problem, mend);
        }
        ReadyOn::Tcp { address } => {
            let port = address.rsplit_once(':').and_then(|(_, digits)| digits.parse::<u16>().ok());
            if port.is_some() && spec.listen.iter().any(|listen| listen.port() == port) {
                let problem = "stead listens there before the app runs (`listen`), so it would be ready at once";
                r.fault("ready_on", problem, mend);
            }
        }
        ReadyOn::Auto | ReadyOn::Notify | ReadyOn::Message | ReadyOn::Instant => {}
        ReadyOn::Http { .. } | ReadyOn::Exec { .. } => {}
    }
}
