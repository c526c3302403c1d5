//! What `stead start X` means.
//! Owns: telling a config file, a known app, a script, a program and a command line apart. Where X could mean two
//! things that both exist, that is an error which says how to write each: a guess would start the wrong program.
//! Never: reads a file or asks the daemon; `Look` answers.

use std::path::PathBuf;

use super::read::STDIN;
use crate::config::ecosystem::legal_name;
use crate::model::selector::{Selector, Target as Pointed};

/// What there is, as far as a target can be about it.
pub trait Look {
    /// A file of any kind that could be run or read.
    fn is_file(&self, path: &str) -> bool;
    fn is_dir(&self, path: &str) -> bool;
    /// A program of this name in the caller's PATH.
    fn program(&self, name: &str) -> Option<String>;
    /// The apps the daemon knows.
    fn is_app(&self, name: &str) -> bool;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A config file, by its `Format`.
    Config(PathBuf),
    /// Instances the daemon knows.
    Known(String),
    /// `run` of a new app: a script, a program or a command line.
    Run(String),
}

/// What a config file is written in, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Toml,
    /// Standard input: TOML, or PM2's JSON.
    Stdin,
    /// JavaScript of PM2's users.
    Pm2,
    /// JavaScript of FinalPM's.
    FinalPm,
    /// Of PM2's users, or of FinalPM's.
    Json,
    Yaml,
}

/// Why a target is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is no target, or more than one.
    Unclear(String),
    /// It names a file that is not there, or is not to be run.
    NoFile(String),
    /// A word that names nothing here.
    Unknown(String),
}

/// Extensions that make a word a script even where no such file exists: `nosuch.js` is a missing file.
const SCRIPTS: [&str; 10] = ["js", "mjs", "cjs", "ts", "py", "rb", "sh", "pl", "php", "jar"];

/// Whether the daemon's apps must be known to tell what a target is. A file with its directory or extension is one
/// whatever runs, and so is its absence.
pub fn needs_apps(text: &str, is_file: bool) -> bool {
    let script = has_script_extension(text) && (is_file || text.contains('/'));
    !is_config(text) && !script && !is_command_line(text) && !text.starts_with(['.', '~'])
}

/// A selector as it is, or the name that PM2's `My App` and `@acme/web` have here.
pub fn selector(text: &str) -> Result<String, std::convert::Infallible> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " ._-".contains(c));
    let scoped =
        text.strip_prefix('@').and_then(|text| text.split_once('/')).is_some_and(|(a, b)| plain(a) && plain(b));
    let spaced = plain(text) && text.trim().contains(' ');
    Ok(if scoped || spaced { legal_name(text) } else { text.to_owned() })
}

/// Tells what a target is.
pub fn classify(text: &str, look: &dyn Look) -> Result<Target, Wrong> {
    if text.is_empty() {
        return Err(Wrong::Unclear("the target is empty".to_owned()));
    }
    if look.is_dir(text) && (text.contains('/') || text.starts_with('.')) {
        return Err(directory(text));
    }
    if is_config(text) {
        return Ok(Target::Config(text.into()));
    }
    if look.is_file(text) && (text.contains('/') || text.contains('.') || is_command_line(text)) {
        return match known_instance(text, look) {
            true => Err(doubt(text, "the instance", "the file")),
            false => Ok(Target::Run(text.to_owned())),
        };
    }
    if is_command_line(text) {
        return Ok(Target::Run(text.to_owned()));
    }
    if has_script_extension(text) && !look.is_app(text) {
        return Err(Wrong::NoFile(format!("no file {text}{}", if text.contains('/') { "" } else { " here" })));
    }
    match Selector::parse(text) {
        Ok(selector) => word(text, &selector, look),
        Err(_) if text.contains('/') || text.starts_with('.') => Err(Wrong::NoFile(format!("no file {text}"))),
        Err(error) => Err(Wrong::Unclear(error.to_string())),
    }
}

/// Neither a path nor a command line: an app, a program, or a file without an extension.
fn word(text: &str, selector: &Selector, look: &dyn Look) -> Result<Target, Wrong> {
    let known = Ok(Target::Known(text.to_owned()));
    match (&selector.generation, &selector.target) {
        (Some(_), _) => known,
        (None, Pointed::App(app)) => {
            let (is_app, is_file) = (look.is_app(app.as_str()), look.is_file(text));
            match (is_app, is_file, look.program(text)) {
                (true, true, _) => Err(doubt(text, "the app", "the file")),
                (true, false, _) => known,
                (false, true, Some(program)) => {
                    let text =
                        format!("\"{text}\" could be the file ./{text} or the program {program}: write one of these");
                    Err(Wrong::Unclear(text))
                }
                (false, true, None) => Ok(Target::Run(format!("./{text}"))),
                (false, false, Some(_)) => Ok(Target::Run(text.to_owned())),
                (false, false, None) if look.is_dir(text) => Err(directory(text)),
                (false, false, None) => Err(Wrong::Unknown(format!(
                    "\"{text}\" is no app that stead knows, no file here, and no program in PATH"
                ))),
            }
        }
        // Whether there is such an app, the daemon says; a path would have been found.
        (None, Pointed::Instance(instance)) if !look.is_app(instance.app.as_str()) => {
            Err(Wrong::Unknown(format!("no file {text}, and no app \"{}\"", instance.app)))
        }
        (
            None,
            Pointed::All
            | Pointed::Instance(_)
            | Pointed::Id(_)
            | Pointed::Pid(_)
            | Pointed::Pattern(_)
            | Pointed::Namespace(_),
        ) => known,
    }
}

fn directory(text: &str) -> Wrong {
    Wrong::NoFile(format!("{text} is a directory: name a script or program in it, or a config file"))
}

fn doubt(text: &str, known: &str, file: &str) -> Wrong {
    let (app, slash) = text.split_once('/').map_or((text, ""), |(app, _)| (app, "/"));
    let other = if slash.is_empty() { format!("/^{app}$/") } else { format!("/^{app}$/, or its id,") };
    Wrong::Unclear(format!("\"{text}\" is {known} and {file}: write {other} for {known}, ./{text} for {file}"))
}

fn known_instance(text: &str, look: &dyn Look) -> bool {
    match Selector::parse(text).map(|selector| selector.target) {
        Ok(Pointed::Instance(instance)) => look.is_app(instance.app.as_str()),
        _ => false,
    }
}

fn extension(text: &str) -> Option<&str> {
    let name = text.rsplit('/').next().unwrap_or(text);
    name.rsplit_once('.').map(|(_, extension)| extension).filter(|_| !is_command_line(text))
}

/// A file that describes apps, or `-`: one that is read from standard input.
pub fn is_config(text: &str) -> bool {
    format(text).is_some()
}

/// What a config is written in. None: by its name it is none.
pub fn format(text: &str) -> Option<Format> {
    if text == STDIN {
        return Some(Format::Stdin);
    }
    let name = text.rsplit('/').next().unwrap_or(text);
    let stem = name.split('.').next().unwrap_or(name);
    match extension(text)? {
        "toml" => Some(Format::Toml),
        "json" | "json5" => Some(Format::Json),
        "yaml" | "yml" => Some(Format::Yaml),
        "js" | "cjs" | "mjs" if stem == "process-config" => Some(Format::FinalPm),
        // PM2 wants the `.config`, and runs an ecosystem without it as a program.
        "js" | "cjs" | "mjs" if stem == "ecosystem" || name.contains(".config.") => Some(Format::Pm2),
        _ => None,
    }
}

fn has_script_extension(text: &str) -> bool {
    extension(text).is_some_and(|extension| SCRIPTS.contains(&extension))
}

/// White space, or what only a shell understands.
fn is_command_line(text: &str) -> bool {
    !text.starts_with('/')
        && text.contains([' ', '\t', '\n', '|', '&', ';', '<', '>', '$', '`', '"', '\'', '(', ')', '*'])
        || text.starts_with('/') && !text.ends_with('/') && text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host;

    impl Look for Host {
        fn is_file(&self, path: &str) -> bool {
            [
                "app.js",
                "./app.js",
                "srv/app.py",
                "/srv/tool",
                "worker",
                "./worker",
                "both",
                "api",
                "api/0",
                "a b.js",
                "ls",
            ]
            .contains(&path)
        }
        fn is_dir(&self, path: &str) -> bool {
            [".", "..", "/tmp", "srv"].contains(&path)
        }
        fn program(&self, name: &str) -> Option<String> {
            ["node", "both", "redis-server", "ls"].contains(&name).then(|| format!("/usr/bin/{name}"))
        }
        fn is_app(&self, name: &str) -> bool {
            ["api", "web", "old.js", "node"].contains(&name)
        }
    }

    fn run(text: &str) -> Result<Target, Wrong> {
        Ok(Target::Run(text.to_owned()))
    }

    fn known(text: &str) -> Result<Target, Wrong> {
        Ok(Target::Known(text.to_owned()))
    }

    fn wrong(text: &str) -> String {
        match classify(text, &Host).unwrap_err() {
            Wrong::Unclear(text) => format!("2: {text}"),
            Wrong::Unknown(text) => format!("3: {text}"),
            Wrong::NoFile(text) => format!("78: {text}"),
        }
    }

    #[test]
    fn what_exists_once_is_what_is_meant() {
        assert_eq!(classify("x/stead.toml", &Host), Ok(Target::Config("x/stead.toml".into())));
        for text in ["app.js", "./app.js", "srv/app.py", "/srv/tool", "a b.js", "redis-server", "npm run start"] {
            assert_eq!(classify(text, &Host), run(text), "{text}");
        }
        assert_eq!(classify("worker", &Host), run("./worker"));
        for text in ["web", "web/1", "all", "7", "pid=12", "/^we/", "@default", "old:web", "old.js"] {
            assert_eq!(classify(text, &Host), known(text), "{text}");
        }
    }

    #[test]
    fn an_app_that_runs_wins_over_a_program_of_its_name() {
        assert_eq!(classify("node", &Host), known("node"));
    }

    #[test]
    fn every_doubt_says_how_to_write_each_meaning() {
        insta::assert_snapshot!(wrong("api"), @r#"2: "api" is the app and the file: write /^api$/ for the app, ./api for the file"#);
        insta::assert_snapshot!(wrong("api/0"), @r#"2: "api/0" is the instance and the file: write /^api$/, or its id, for the instance, ./api/0 for the file"#);
        insta::assert_snapshot!(wrong("both"), @r#"2: "both" could be the file ./both or the program /usr/bin/both: write one of these"#);
    }

    #[test]
    fn what_does_not_exist_is_named_as_what_it_looks_like() {
        insta::assert_snapshot!(wrong("nosuch.js"), @"78: no file nosuch.js here");
        insta::assert_snapshot!(wrong("x/nosuch.js"), @"78: no file x/nosuch.js");
        for text in [".", "/tmp", "srv"] {
            let mend = "name a script or program in it, or a config file";
            assert_eq!(wrong(text), format!("78: {text} is a directory: {mend}"));
        }
        insta::assert_snapshot!(wrong("../x"), @"78: no file ../x");
        insta::assert_snapshot!(wrong("nosuch"), @r#"3: "nosuch" is no app that stead knows, no file here, and no program in PATH"#);
        insta::assert_snapshot!(wrong("nosuch/2"), @r#"3: no file nosuch/2, and no app "nosuch""#);
        insta::assert_snapshot!(wrong("foo:api"), @r#"2: bad selector "foo:api": "foo" is no generation: use queue, new, running, old or marked"#);
    }

    #[test]
    fn a_name_of_pm2s_goes_on_selecting_its_app() {
        let cases = [
            ("My App", "My-App"),
            ("@acme/web", "acme-web"),
            ("@shop", "@shop"),
            ("api/2", "api/2"),
            ("old:api", "old:api"),
            ("/a b/", "/a b/"),
            ("ok/x", "ok/x"),
            ("a!", "a!"),
            ("a; b", "a; b"),
        ];
        for (text, selected) in cases {
            assert_eq!(selector(text).as_deref(), Ok(selected));
        }
    }

    #[test]
    fn a_config_of_another_process_manager_is_one() {
        let cases = [
            ("ecosystem.config.js", Format::Pm2),
            ("srv/ecosystem.config.cjs", Format::Pm2),
            ("ecosystem.dev.js", Format::Pm2),
            ("my-app.config.mjs", Format::Pm2),
            ("process.json", Format::Json),
            ("package.json", Format::Json),
            ("pm2.yaml", Format::Yaml),
            ("process-config.js", Format::FinalPm),
            ("process-config.json", Format::Json),
        ];
        for (text, expected) in cases {
            assert_eq!(format(text), Some(expected), "{text}");
            assert_eq!(classify(text, &Host), Ok(Target::Config(text.into())), "{text}");
        }
        for text in ["app.js", "config.js", "process-config.py", "node x.config.js", "toml"] {
            assert_eq!(format(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_word_that_could_be_an_app_needs_the_daemon() {
        for text in ["api", "api/0", "all", "old.js"] {
            assert!(needs_apps(text, false), "{text}");
        }
        for text in ["stead.toml", "./api", "srv/app.py", "npm start", "."] {
            assert!(!needs_apps(text, false), "{text}");
        }
        assert!(!needs_apps("app.js", true));
    }
}
