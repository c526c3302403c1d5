//! How an app ends and comes back: the values of `stop_exit_codes` and `exp_backoff_restart_delay`.
//! Never: decides when something is restarted; the core does.

use std::time::Duration;

use super::fields as f;
use super::keys::Key;
use super::raw::{Node, Value};
use super::reader::Read;

/// Where a delay stops growing.
const LONGEST: Duration = Duration::from_secs(15);

/// In order, each once.
pub(super) fn codes(key: &Key, node: &Node) -> Read<Vec<u8>> {
    let one;
    let items = match &node.value {
        Value::Int(_) => {
            one = [node.clone()];
            &one
        }
        Value::List(items) => items.as_slice(),
        _ => return f::wrong_type(key, node),
    };
    let mut codes = f::each(items, |item| match &item.value {
        Value::Int(code) => u8::try_from(*code)
            .or_else(|_| f::fail(format!("no program ends with {code}"), "exit codes are from 0 to 255")),
        other => f::fail(format!("a list of exit codes cannot hold {}", other.type_name()), "write a number"),
    })?;
    codes.sort_unstable();
    codes.dedup();
    Ok(codes)
}

pub(super) fn first_delay(key: &Key, node: &Node) -> Read<Duration> {
    match f::span(key, node)? {
        Duration::ZERO => f::fail("nothing does not grow", "give it some time, as in \"100ms\", or leave the key out"),
        span if span > LONGEST => {
            f::fail("delays grow to 15s and no further", "use less, or `restart_delay` for one that stays the same")
        }
        span => Ok(span),
    }
}
