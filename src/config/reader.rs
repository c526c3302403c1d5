//! One app being read: which keys it has, which were wrong, and where.
//! Owns: the way from a key's name to a checked value or its default, and the list of faults.
//! Never: knows what a key means.

use super::error::Fault;
use super::keys::{self, Key};
use super::raw::{Node, RawApp};

/// A value, or everything wrong with it. A fault without a key or span gets those of the key that is read.
pub(super) type Read<T> = Result<T, Vec<Fault>>;

pub(super) struct Reader<'a> {
    pub raw: &'a RawApp,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub fn new(raw: &'a RawApp) -> Self {
        Reader { raw, faults: Vec::new() }
    }

    /// The key's value, else its default. None if it has neither, or if it is wrong, which is then on record.
    pub fn read<T>(&mut self, name: &str, field: impl FnOnce(&Key, &Node) -> Read<T>) -> Option<T> {
        let key = keys::find(name).expect("resolve reads keys of the table only; a test reads them all");
        let default;
        let node = match self.raw.get(name) {
            Some(node) => node,
            None => {
                default = key.default_node()?;
                &default
            }
        };
        match field(key, node) {
            Ok(value) => Some(value),
            Err(faults) => {
                for fault in faults {
                    let span = fault.span.clone().or_else(|| node.span.clone());
                    let key = fault.key.clone().or_else(|| Some(name.to_owned()));
                    self.push(Fault { span, key, ..fault });
                }
                None
            }
        }
    }

    /// A fault of a key that is there, placed at its value; of one that is not, at the app's header.
    pub fn fault(&mut self, name: &str, problem: impl Into<String>, mend: impl Into<String>) {
        let span = match self.raw.get(name) {
            Some(node) => node.span.clone(),
            None => self.raw.span.clone(),
        };
        self.push(Fault::new(span, problem, mend).key(name));
    }

    pub fn push(&mut self, fault: Fault) {
        self.faults.push(Fault { app: self.raw.given_name().map(str::to_owned), ..fault });
    }

    pub fn has(&self, name: &str) -> bool {
        self.raw.get(name).is_some()
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.faults
    }
}
