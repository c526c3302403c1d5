//! Config: text to `AppSpec`, every error placed.
//! Owns: the table of keys, their grammar and defaults, and how a mistake is shown to the person who made it.
//! Never: reads a file, an environment variable or a clock, looks a user up, or asks the kernel anything. Whoever calls
//! brings the text and answers the questions of `Context`.
//!
//! Two doors lead to a `RawApp`: `parse_toml` for files, `RawApp::new` for untyped values (D-Bus, flags). One door
//! leads on: `resolve`. `to_raw` goes back, and `resolve(to_raw(spec))` is `spec`.

#![forbid(unsafe_code)]

pub mod command;
pub mod diff;
pub mod ecosystem;
pub mod ends;
pub mod error;
pub mod excerpt;
pub mod fields;
pub mod host;
pub mod keys;
pub mod listen;
pub mod parse;
pub mod raw;
pub mod reader;
pub mod ready;
pub mod reference;
pub mod resolve;
pub mod rlimit;
pub mod rules;
pub mod sandbox;
pub mod settings;
pub mod shell;
pub mod source;
pub mod table;
pub mod times;
pub mod write;

pub use diff::{Change, diff};
pub use error::{ConfigError, Errors};
pub use keys::{Key, Who};
pub use parse::{File, parse_toml};
pub use raw::{Node, RawApp, Value};
pub use reference::reference;
pub use resolve::{Authority, Context, load, resolve, resolve_file};
pub use settings::{Settings, Share, parse_settings};
pub use source::{FILE_MAX, Source};
pub use write::{to_raw, to_toml};
