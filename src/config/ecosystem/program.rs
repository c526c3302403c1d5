//! What PM2 would run, and how: its `script`, `cwd`, `interpreter` and arguments.
//! Owns: where a script is looked for, and what a file is run with whose name does not say it.
//! Never: touches a file; `Ground` answers.

use serde_json::Value as Json;

use super::given::Given;
use super::{Found, Import, ImportedApp, table};
use crate::config::fields::absolute;
use crate::config::raw::Value;
use crate::config::shell::{self, Line};

/// PM2's interpreters by extension that are not stead's: it has none for these by itself.
const INTERPRETERS: [(&str, &str); 4] = [("coffee", "coffee"), ("ls", "lsc"), ("tsx", "bun"), ("ts", "bun")];

/// Extensions that stead runs as PM2 does.
const SAME: [&str; 8] = ["js", "mjs", "cjs", "py", "rb", "sh", "pl", "php"];

/// What runs an app, and where.
pub(super) struct Program {
    /// `run`, if there is something to run.
    pub run: Option<Value>,
    pub interpreter: Option<String>,
    pub cwd: String,
    /// It has Node's IPC channel.
    pub node: bool,
    pub python: bool,
    /// A command line with a space in it: PM2 drops its arguments.
    pub line: bool,
}

impl Import<'_> {
    pub(super) fn command_of(&mut self, given: &Given<'_>, out: &mut ImportedApp) -> Program {
        let cwd = self.text(given, "cwd");
        let args = self.words(given, "args");
        let mut options = self.words(given, "interpreter_args").map_or_else(Vec::new, |(_, words)| words);
        if given.is_true("source_map_support") {
            options.push("--enable-source-maps".to_owned());
        }
        let interpreter = self.text(given, "interpreter");
        let mut program = self.find(given, cwd.map(|(_, text)| text), interpreter.map(|(_, text)| text), &options);
        self.set(out, cwd.map_or("cwd", |(key, _)| key), "cwd", program.cwd.as_str().into());
        let script = given.get("script").map_or("script", |(key, _)| key);
        if let Some(run) = program.run.take() {
            self.set(out, script, "run", run);
        }
        if let Some(name) = program.interpreter.take() {
            self.set(out, interpreter.map_or(script, |(key, _)| key), "interpreter", name.into());
        }
        let exact = matches!(out.raw.get("run").map(|node| &node.value), Some(Value::List(_)));
        if !options.is_empty() && !exact && program.node {
            let key = given.get("interpreter_args").map_or("source_map_support", |(key, _)| key);
            self.set(out, key, "interpreter_args", Value::texts(options));
        } else if let Some((key, _)) = given.get("interpreter_args").filter(|_| !exact && !options.is_empty()) {
            match out.raw.get("interpreter").is_some_and(|node| node.value != Value::from("none")) || program.python {
                true => self.set(out, key, "interpreter_args", Value::texts(options)),
                false => self.ignore(key, "the program is run by itself, without an interpreter"),
            }
        }
        match args {
            Some((key, _)) if program.line => {
                self.ignore(key, "PM2 drops them of a `script` with a space in it: write them there")
            }
            Some((key, args)) if !args.is_empty() => self.set(out, key, "args", Value::texts(args)),
            _ => {}
        }
        program
    }

    /// Where the script is and what runs it.
    fn find(&mut self, given: &Given<'_>, cwd: Option<&str>, interpreter: Option<&str>, options: &[String]) -> Program {
        let (here, beside) = (self.ground.here, self.ground.beside);
        let there = |base: &str, path: &str| (self.ground.look)(&absolute(base, path));
        let mut directory = match cwd {
            None => here.to_owned(),
            Some(path) if there(here, path) != Found::Directory && there(beside, path) == Found::Directory => {
                absolute(beside, path)
            }
            Some(path) => absolute(here, path),
        };
        let none = |cwd| Program { run: None, interpreter: None, cwd, node: false, python: false, line: false };
        let script = match given.get("script") {
            Some((_, Json::String(script))) if !script.trim().is_empty() => script.as_str(),
            Some((key, other)) => {
                self.wrong_type(given, key, other, "the path of a script, or a program");
                return none(directory);
            }
            None => {
                self.error(
                    Some(&given.label),
                    Some("script"),
                    "missing: nothing says what to run",
                    "write `script: \"server.js\"`",
                );
                return none(directory);
            }
        };
        let mut found = there(&directory, script);
        if found == Found::Nothing && cwd.is_none() && there(beside, script) != Found::Nothing {
            directory = beside.to_owned();
            found = there(&directory, script);
        }
        let path = absolute(&directory, script);
        let chosen = match interpreter.map(|name| self.interpreter(given, name)) {
            Some(None) => return none(directory),
            chosen => chosen.flatten(),
        };
        let program =
            (found == Found::Nothing && !script.contains('/')).then(|| (self.ground.program)(script)).flatten();
        let is = |name: &str, what: &str| name.rsplit('/').next().is_some_and(|name| name.contains(what));
        let node_like = |name: &str| is(name, "node") || is(name, "bun");
        match (found, program) {
            (Found::Nothing, None) if script.contains(' ') => {
                let run = match (shell::sort(script), (self.ground.program)("bash")) {
                    (Line::Words(_), _) | (_, None) => Value::from(script),
                    (_, Some(_)) => Value::texts(["bash", "-c", script]),
                };
                Program { run: Some(run), line: true, ..none(directory) }
            }
            (Found::Nothing, None) if script == "serve" => {
                let mend = table::find(table::PM2_TOP, "static").map_or("", |row| row.note);
                self.error(Some(&given.label), Some("script"), "\"serve\" is PM2's own file server", mend);
                none(directory)
            }
            (Found::Nothing, None) => {
                let mend = match cwd {
                    _ if script.starts_with('/') => "is its path right?".to_owned(),
                    Some(_) => "a relative path is taken from `cwd`".to_owned(),
                    None if here == beside => format!("a relative path is taken from {here}"),
                    None => {
                        format!("a relative path is taken from {here}, where you are, or {beside}, where the file is")
                    }
                };
                self.error(Some(&given.label), Some("script"), format!("no such file: {path}"), mend);
                none(directory)
            }
            // Run by itself, by the program that its `#!` names.
            (Found::Nothing, Some(program)) => {
                let named = chosen.clone().filter(|name| name != "none");
                let run = if named.is_some() { program } else { script.to_owned() };
                let node = named.as_deref().is_some_and(node_like);
                Program { run: Some(run.into()), node, interpreter: named, ..none(directory) }
            }
            (Found::Directory, _) => {
                let node = chosen.unwrap_or_else(|| "node".to_owned());
                let argv = std::iter::once(node.clone()).chain(options.iter().cloned()).chain([path]);
                Program { run: Some(Value::texts(argv)), node: node_like(&node), ..none(directory) }
            }
            (Found::NodeText | Found::Program, _) => {
                let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, e)| e);
                let by_extension =
                    INTERPRETERS.iter().find(|(known, _)| *known == extension).map(|(_, name)| (*name).to_owned());
                let own = match (found, SAME.contains(&extension)) {
                    (_, true) => None,
                    // Node has learnt types, bun had them before.
                    _ if extension == "ts" => by_extension.filter(|bun| (self.ground.program)(bun).is_some()),
                    _ if by_extension.is_some() => by_extension,
                    (Found::NodeText, false) => Some("node".to_owned()),
                    _ => None,
                };
                let interpreter = chosen.or(own);
                let node = match interpreter.as_deref() {
                    Some(name) => node_like(name),
                    None => ["js", "mjs", "cjs", "ts"].contains(&extension),
                };
                let python = interpreter.as_deref().map_or(extension == "py", |name| is(name, "python"));
                Program { run: Some(script.into()), interpreter, node, python, ..none(directory) }
            }
        }
    }

    /// `node@20.1.0` is one of nvm's. None: there is no such node, and that is on record.
    fn interpreter(&mut self, given: &Given<'_>, name: &str) -> Option<String> {
        let key = given.get("interpreter").map_or("interpreter", |(key, _)| key);
        let Some((_, version)) = name.split_once("node@") else { return Some(name.to_owned()) };
        let nvm =
            self.ground.environment.get("NVM_DIR").cloned().unwrap_or_else(|| format!("{}/.nvm", self.ground.home));
        let node = format!("{nvm}/versions/node/v{}/bin/node", version.trim_start_matches('v'));
        if (self.ground.look)(&node) == Found::Nothing {
            let problem = format!("nvm has no {name}: there is no {node}");
            self.error(Some(&given.label), Some(key), problem, format!("run: nvm install {version}"));
            return None;
        }
        Some(node)
    }
}

/// PM2's name for an app without one: the file's, or the first words of a command line.
pub(super) fn name_of_script(script: &str) -> String {
    let base = script.trim_end_matches('/').rsplit('/').next().unwrap_or(script);
    match base.rfind('.') {
        Some(at) if at > 0 => base[..at].to_owned(),
        _ => base.to_owned(),
    }
}
