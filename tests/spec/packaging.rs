//! What is installed: that nothing of units/ is forgotten, by a package or by `stead startup`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stead::cli::install::UNITS;
use stead::config::keys::{SECTIONS, Who};

#[test]
fn startup_carries_every_file_of_units_as_it_is() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("units");
    let there: BTreeSet<String> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let carried: BTreeSet<String> = UNITS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(carried, there, "src/cli/install.rs lists the files of units/");
    for (name, text) in UNITS {
        assert_eq!(fs::read_to_string(directory.join(name)).unwrap(), *text, "{name}");
    }
}

#[test]
fn the_layout_is_four_words_a_line_and_says_who_may_write() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/layout");
    for (n, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() || line.starts_with('#') {
            continue;
        }
        let [_, packaged, by_hand, mode] = words[..] else { panic!("packaging/layout:{}: {line}", n + 1) };
        assert!(packaged.starts_with('/') && (by_hand == "-" || by_hand.starts_with('/')), "{line}");
        assert!(["644", "755"].contains(&mode), "{line}");
    }
}

#[test]
fn the_user_of_ill_will_tries_every_key_that_is_not_theirs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/packaged");
    let script = fs::read_to_string(path).unwrap();
    for key in SECTIONS.iter().flat_map(|section| section.keys).filter(|key| key.who != Who::Owner) {
        assert!(script.contains(&format!("'{} = ", key.name)), "tests/vm/packaged: hostile does not try {}", key.name);
    }
}
