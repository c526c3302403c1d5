//! The files that make a service of stead, for programs that no package has brought.
//! Owns: the contents of units/, and where each goes by the table that the packages are made from.
//! Never: writes anything; `commands::startup` does.

use std::path::{Path, PathBuf};

use crate::config::settings;

/// Everything in units/; a test compares.
pub const UNITS: &[(&str, &str)] = &[
    ("org.stead.Stead1.conf", include_str!("../../units/org.stead.Stead1.conf")),
    ("org.stead.Stead1.policy", include_str!("../../units/org.stead.Stead1.policy")),
    ("org.stead.Stead1.service", include_str!("../../units/org.stead.Stead1.service")),
    ("org.stead.Stead1.xml", include_str!("../../units/org.stead.Stead1.xml")),
    ("stead-apps.service", include_str!("../../units/stead-apps.service")),
    ("stead.catalog", include_str!("../../units/stead.catalog")),
    ("stead.preset", include_str!("../../units/stead.preset")),
    ("stead.rules", include_str!("../../units/stead.rules")),
    ("stead.service", include_str!("../../units/stead.service")),
    ("stead.slice", include_str!("../../units/stead.slice")),
    ("stead.sysusers", include_str!("../../units/stead.sysusers")),
    ("stead.tmpfiles", include_str!("../../units/stead.tmpfiles")),
];

const LAYOUT: &str = include_str!("../../packaging/layout");

/// As packages have it, and as units/stead.service says.
const PACKAGED_HOLDER: &str = "ExecStart=/usr/lib/stead/stead-holder\n";

/// Where the settings go, which are a person's from then on.
const SETTINGS: &str = "stead.toml";

/// Something that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    File(PathBuf, String),
    /// Written if it is missing, removed if it is as it was written.
    Config(PathBuf, String),
    Directory(PathBuf),
}

impl Item {
    pub fn path(&self) -> &Path {
        match self {
            Item::File(path, _) | Item::Config(path, _) | Item::Directory(path) => path,
        }
    }
}

/// All that is to be there for a holder that stays where it is.
pub fn items(holder: &Path) -> Vec<Item> {
    let mut items = Vec::new();
    for (name, text) in UNITS {
        let Some(path) = place(&format!("units/{name}")) else { continue };
        let text = text.replacen(PACKAGED_HOLDER, &format!("ExecStart={}\n", word(holder)), 1);
        items.push(Item::File(path, text));
    }
    items.extend(place(&format!("docs/{SETTINGS}")).map(|path| Item::Config(path, settings::template())));
    let directories = lines().filter(|line| line[0] == "dir" && line[2] != "-");
    items.extend(directories.map(|line| Item::Directory(line[2].trim_end_matches('/').into())));
    items
}

/// Where a file goes by hand; None: nowhere.
fn place(file: &str) -> Option<PathBuf> {
    let [_, _, place, _] = lines().find(|line| fits(line[0], file))?;
    match place {
        "-" => None,
        directory if directory.ends_with('/') => Some(Path::new(directory).join(file.rsplit('/').next()?)),
        whole => Some(whole.into()),
    }
}

/// The table's lines: file, place in a package, place by hand, mode.
fn lines() -> impl Iterator<Item = [&'static str; 4]> {
    LAYOUT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some([words.next()?, words.next()?, words.next()?, words.next()?])
    })
}

/// A pattern has one star at most.
fn fits(pattern: &str, file: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            file.len() >= before.len() + after.len() && file.starts_with(before) && file.ends_with(after)
        }
        None => pattern == file,
    }
}

/// A path as the first word of ExecStart= (systemd.service(5), "Command lines"; "%" is a specifier's).
fn word(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_goes_to_the_admins_place_with_the_holder_where_it_is() {
        let items = items(Path::new("/opt/my stead/stead-holder"));
        let text = |path: &str| {
            let item = items.iter().find(|item| item.path() == Path::new(path));
            match item.unwrap_or_else(|| panic!("no {path} in {items:#?}")) {
                Item::File(_, text) | Item::Config(_, text) => text.clone(),
                Item::Directory(_) => String::new(),
            }
        };
        let unit = text("/etc/systemd/system/stead.service");
        assert!(unit.contains("\nExecStart=\"/opt/my stead/stead-holder\"\n"), "{unit}");
        assert!(text("/etc/systemd/system/stead-apps.service").contains("Delegate=yes"));
        assert!(text("/etc/dbus-1/system.d/org.stead.Stead1.conf").contains("busconfig"));
        assert!(text("/etc/sysusers.d/stead.conf").contains("g stead"));
        assert_eq!(text("/etc/stead/stead.toml"), settings::template());
        assert_eq!(text("/etc/stead/apps.d"), "");
        assert!(!items.iter().any(|item| item.path().ends_with("80-stead.preset")), "that is a package's");
    }

    #[test]
    fn the_first_line_that_fits_counts_and_every_unit_has_one() {
        assert!(fits("units/*.service", "units/stead.service") && !fits("units/*.service", "units/.servic"));
        assert_eq!(
            place("units/org.stead.Stead1.service").unwrap().parent(),
            Some("/usr/local/share/dbus-1/system-services".as_ref())
        );
        for (name, _) in UNITS {
            assert!(
                lines().any(|line| fits(line[0], &format!("units/{name}"))),
                "{name} has no line in packaging/layout"
            );
        }
    }

    #[test]
    fn a_path_is_one_word_to_systemd() {
        assert_eq!(word(Path::new("/opt/stead/stead-holder")), "/opt/stead/stead-holder");
        assert_eq!(word(Path::new("/o/50%/h")), "/o/50%%/h");
        assert_eq!(word(Path::new("/o/a \"b\" $c/h")), "\"/o/a \\\"b\\\" $$c/h\"");
    }
}
