//! What reads bytes that others wrote, each with a door for a fuzzer: bytes in, no panic out.
//! Owns: the doors. `tests/fuzz` has the fuzzer's programs, and what it began with; a test here reads all of that again.
//! Never: part of a build that is installed.

use crate::config::ecosystem::{Found, Ground, Tool, text};
use crate::config::{self, Authority, Context, File, Source};
use crate::core::event::Event;
use crate::core::{Runtime, World};
use crate::daemon::fuzz as daemon;
use crate::holder::fuzz as holder;
use crate::logs::format::{Tail, format_batch, parse_cri, parse_line};
use crate::metrics::parse as metrics;
use crate::model::logframe::LogStream;
use crate::model::quantity::{Bytes, CpuPercent, Surge, parse_span};
use crate::model::selector::Selector;
use crate::model::spec::LogFormat;
use crate::model::time::{Mono, Now, Wall};
use crate::sys::fuzz as sys;
use crate::web::fuzz as web;

/// A door, and what its seeds are kept under.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("config", config),
    ("ecosystem", ecosystem),
    ("selectors", selectors),
    ("holder_protocol", holder_protocol),
    ("notify", notify),
    ("ipc", ipc),
    ("saved_state", saved_state),
    ("cri_lines", cri_lines),
    ("kernel_files", kernel_files),
    ("http", http),
];

fn context() -> Context<'static> {
    Context {
        authority: Authority::Root,
        default_user: Some("nobody"),
        base_dir: "/srv",
        cpus: 4,
        unprivileged_port_start: 1024,
        profile: None,
        lookup: &|name| Some(format!("/usr/bin/{name}")),
        is_file: &|_| true,
    }
}

/// A file that somebody wrote: TOML to specs, and back to the same.
pub fn config(data: &[u8]) {
    let Ok(source) = Source::from_bytes("fuzz.toml", data.to_vec()) else { return };
    let (_, errors) = config::parse_settings(&source);
    drop(errors.map(|errors| errors.to_string()));
    let context = context();
    match config::load(source, &context) {
        Ok(specs) => {
            for spec in specs {
                let text = config::to_toml(&spec);
                let again = config::load(Source::new("again.toml", text.clone()), &context);
                assert_eq!(again.as_deref(), Ok(&[spec][..]), "{text}");
            }
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}

/// A config of PM2's or FinalPM's: JSON or YAML to specs, and as TOML to the same.
pub fn ecosystem(data: &[u8]) {
    let Ok(source) = Source::from_bytes("fuzz.json", data.to_vec()) else { return };
    let Ok(value) = text::json(&source).or_else(|_| text::yaml(&source)) else { return };
    drop(config::ecosystem::dump::ecosystem(&value, "/root/.pm2"));
    let environment = [("HOME_OF_IT".to_owned(), "x".to_owned())].into();
    let ground = Ground {
        file: "fuzz.json",
        here: "/srv",
        beside: "/srv",
        home: "/root",
        cpus: 4,
        profile: None,
        environment: &environment,
        look: &|path| if path.ends_with("/srv") { Found::Directory } else { Found::NodeText },
        program: &|name| Some(format!("/usr/bin/{name}")),
    };
    for tool in [Tool::Pm2, Tool::FinalPm] {
        let imported = match config::ecosystem::import(tool, &value, &ground) {
            Ok(imported) => imported,
            Err(errors) => {
                assert!(!errors.to_string().is_empty());
                continue;
            }
        };
        let toml: String = imported.apps.iter().map(|app| config::write::app_toml(&app.raw) + "\n").collect();
        let apps = imported.apps.iter().map(|app| app.raw.clone()).collect();
        let file = File { source: Source::new("fuzz.json", ""), apps };
        let context = context();
        match config::resolve_file(&file, &context) {
            Ok(specs) => {
                let again = config::load(Source::new("again.toml", toml.clone()), &context);
                assert_eq!(again.as_deref(), Ok(&specs[..]), "{toml}");
            }
            Err(errors) => assert!(!imported.in_its_words(errors, "fuzz.json").to_string().is_empty()),
        }
    }
}

/// What a client of the metrics sends.
pub fn http(data: &[u8]) {
    web::http(data);
}

/// What people type after a command.
pub fn selectors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let shown = selector.to_string();
        assert_eq!(Selector::parse(&shown).as_ref(), Ok(&selector), "{shown}");
    }
    let _ = (Bytes::parse(text), CpuPercent::parse(text), Surge::parse(text), parse_span(text));
}

/// Messages between holder and daemon, and the holder's table.
pub fn holder_protocol(data: &[u8]) {
    holder::messages(data);
}

/// Datagrams of apps, and the cgroup files that tell whose they are.
pub fn notify(data: &[u8]) {
    daemon::notify(data);
}

/// Lines of Node's channel.
pub fn ipc(data: &[u8]) {
    daemon::ipc(data);
}

/// What is on disk and in the holder's memfd: a world is made of it, and lives.
pub fn saved_state(data: &[u8]) {
    daemon::kept_in_memory(data);
    let Some(on_disk) = daemon::on_disk(data) else { return };
    let restored = World::restore(on_disk.clone(), Runtime::default());
    for mut world in [World::from_desired(on_disk, 1), restored] {
        let mut effects = Vec::new();
        for second in 0..3 {
            let now = Now { mono: Mono(second * 1_000_000_000), wall: Wall(second) };
            world.step(now, Event::Deadline, &mut effects);
        }
        let _ = (world.desired(), world.runtime(), world.snapshot(), world.outstanding());
    }
}

/// Log files, which anybody may have put something into; and what a batch of lines is made of.
pub fn cri_lines(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let _ = (parse_cri(line), parse_line(LogFormat::Json, line));
    }
    for (format, tail) in [(LogFormat::Cri, Tail::Open), (LogFormat::Json, Tail::Final)] {
        let mut lines = Vec::new();
        let batch = format_batch(format, LogStream::Err, Wall(2), data, tail, u64::MAX, &mut lines);
        assert_eq!(batch.taken, data.len());
        let mut text = Vec::new();
        for (at, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let read = parse_line(format, line).unwrap_or_else(|| panic!("line {at} is not read"));
            text.extend_from_slice(&read.text);
        }
        let ended = data.iter().filter(|byte| **byte != b'\n').copied();
        assert!(text.iter().copied().eq(ended), "what is read is not what was written");
    }
}

/// Files of procfs and cgroupfs.
pub fn kernel_files(data: &[u8]) {
    let _ = (metrics::status(data), metrics::stat(data), metrics::resident_pages(data), metrics::number(data));
    let _ = (metrics::field(data, b"anon"), metrics::pids(data).count());
    if let Ok(text) = std::str::from_utf8(data) {
        sys::kernel_files(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below tests/fuzz/seeds: what fuzzers begin with, and what they found.
    #[test]
    fn what_fuzzers_began_with_and_found_is_read_without_a_panic() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
        for (name, target) in TARGETS {
            let files: Vec<_> =
                std::fs::read_dir(seeds.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!files.is_empty(), "{name} has no seeds");
            for file in files {
                let data = std::fs::read(&file).unwrap();
                target(&data);
                // And what is cut off, as files and datagrams are.
                for cut in [data.len() / 3, data.len() * 2 / 3] {
                    target(&data[..cut]);
                }
            }
        }
    }
}
