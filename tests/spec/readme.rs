//! The README's tables that are made from the code.

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- generated from src/config/keys.rs: UPDATE=1 cargo test --test spec readme -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_readme_lists_every_key_as_the_key_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README.md has lost the line before its settings");
    let (found, after) = rest.split_once(END).expect("README.md has lost the line after its settings");
    let wanted = format!("\n{}\n", stead::config::reference().trim());
    if found == wanted {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    }
    panic!("README.md is behind the key table: run UPDATE=1 cargo test --test spec readme");
}

#[test]
fn the_architecture_section_can_be_read_in_one_sitting() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = text.split_once("## Architecture").expect("README.md has no architecture section").1;
    let lines = section.split("\n## ").next().unwrap().lines().count();
    assert!(lines < 120, "{lines} lines");
}
