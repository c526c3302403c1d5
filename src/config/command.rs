//! What is executed: `run`, `args`, `interpreter` and `interpreter_args` to one program and its arguments.
//! Owns: the order in which `run` is understood, the interpreters by extension, and the name an app gets from its file.
//! Never: searches a PATH or touches a file; `Context` answers for both.

use super::error::quoted;
use super::fields::{absolute, fail, text, words, wrong_type};
use super::raw::Value;
use super::reader::{Read, Reader};
use super::resolve::Context;
use super::shell::{self, Line};
use crate::model::ids::{APP_NAME_MAX, AppName};
use crate::model::spec::Command;

/// The command, and what follows from the way it was written.
pub(super) struct Resolved {
    pub command: Command,
    /// Where the app's name comes from if it has none.
    pub name: AppName,
    /// A shell stays in front of what it runs, and would keep a stop signal to itself.
    pub shell_stays: bool,
}

/// Extensions, the programs that run such a file in order of preference, and what to install if there is none.
const INTERPRETERS: &[(&[&str], &[&str], &str)] = &[
    (&["js", "mjs", "cjs", "ts"], &["node", "nodejs"], "Node.js"),
    (&["py"], &["python3", "python"], "Python 3"),
    (&["rb"], &["ruby"], "Ruby"),
    (&["sh"], &["bash", "sh"], "a shell"),
    (&["pl"], &["perl"], "Perl"),
    (&["php"], &["php"], "PHP"),
];

/// How somebody wrote what runs.
enum Run {
    Text(String),
    Argv(Vec<String>),
}

/// Where relative programs and scripts are looked for.
pub(super) struct Places<'a> {
    pub cwd: &'a str,
    pub ctx: &'a Context<'a>,
    /// A program by its bare name.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
}

/// None if anything is wrong; what, is on record in the reader.
pub(super) fn command(r: &mut Reader<'_>, places: &Places<'_>) -> Option<Resolved> {
    let args = r.read("args", words);
    let interpreter = r.read("interpreter", text);
    let interpreter_args = r.read("interpreter_args", words);
    let shown = r.read("shown", text);
    if !r.has("run") {
        r.fault(
            "run",
            "missing: nothing says what to run",
            "write `run = \"server.js\"`, or a program, or a command line",
        );
        return None;
    }
    let run = r.read("run", |key, node| match &node.value {
        Value::List(_) => match words(key, node)? {
            argv if argv.first().is_none_or(|program| program.is_empty()) => {
                fail("names no program", "write the program first, as in [\"node\", \"server.js\"]")
            }
            argv => Ok(Run::Argv(argv)),
        },
        Value::Str(_) => text(key, node).map(Run::Text),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Table(_) => wrong_type(key, node),
    })?;
    // Faults of the other keys are on record by now; what is left to say about `run` is said as well.
    let args = args.unwrap_or_default();
    let given = shown_of(&run, &args);
    let mut resolved = match &run {
        Run::Argv(argv) => exact(r, places, argv, args)?,
        Run::Text(text) => match script(places, text) {
            Some(path) => {
                let options = Options { interpreter, interpreter_args: interpreter_args.unwrap_or_default(), args };
                return of_script(r, places, text, path, options)
                    .map(|resolved| with_shown(resolved, shown.unwrap_or(given)));
            }
            None if interpreter.as_deref().is_some_and(|name| name != "none") => {
                missing_file(r, places, text);
                return None;
            }
            None => line(r, places, text, args)?,
        },
    };
    for key in ["interpreter", "interpreter_args"] {
        // "none" says no more than that there is no interpreter.
        if r.has(key) && !(key == "interpreter" && interpreter.as_deref() == Some("none")) {
            r.fault(key, "has no meaning here: `run` is not a script file", "put the interpreter into `run`");
        }
    }
    resolved.command.shown = shown.unwrap_or(given);
    Some(resolved)
}

fn with_shown(mut resolved: Resolved, shown: String) -> Resolved {
    resolved.command.shown = shown;
    resolved
}

/// What views show for these keys unless `shown` says otherwise.
fn shown_of(run: &Run, args: &[String]) -> String {
    let args = args.iter().map(String::as_str);
    match run {
        Run::Argv(argv) => shell::join(argv.iter().map(String::as_str).chain(args)),
        // A text is shown as it was written; quoting it would show something else.
        Run::Text(text) => match shell::join(args) {
            args if args.is_empty() => text.clone(),
            args => format!("{text} {args}"),
        },
    }
}

/// The same for keys about to be written: the writer leaves `shown` out where it would say nothing new.
pub(super) fn shown_for(run: &Value, args: &[String]) -> String {
    let argv = |items: &[super::raw::Node]| {
        items
            .iter()
            .filter_map(|item| if let Value::Str(text) = &item.value { Some(text.clone()) } else { None })
            .collect()
    };
    match run {
        Value::List(items) => shown_of(&Run::Argv(argv(items)), args),
        Value::Str(text) => shown_of(&Run::Text(text.clone()), args),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Table(_) => String::new(),
    }
}

/// The absolute path of a text that names a file, in the app's directory or beside its config.
fn script(places: &Places<'_>, text: &str) -> Option<String> {
    [places.cwd, places.ctx.base_dir]
        .into_iter()
        .map(|base| absolute(base, text))
        .find(|path| (places.ctx.is_file)(path))
}

fn missing_file(r: &mut Reader<'_>, places: &Places<'_>, text: &str) {
    let mend = if text.starts_with('/') {
        "is its path right?".to_owned()
    } else {
        format!("a relative path is taken from {}", places.cwd)
    };
    r.fault("run", format!("no such file: {}", absolute(places.cwd, text)), mend);
}

/// What a script can be run with.
struct Options {
    interpreter: Option<String>,
    interpreter_args: Vec<String>,
    args: Vec<String>,
}

fn of_script(r: &mut Reader<'_>, places: &Places<'_>, text: &str, path: String, with: Options) -> Option<Resolved> {
    let by_extension =
        INTERPRETERS.iter().find(|(extensions, ..)| extension(&path).is_some_and(|e| extensions.contains(&e)));
    let program = match (with.interpreter.as_deref(), by_extension) {
        (Some("none"), _) => None,
        (Some(name), _) => match program(places, name) {
            Ok(program) => Some(program),
            Err(problem) => {
                r.fault("interpreter", problem, "install it, or give its absolute path");
                return None;
            }
        },
        (None, Some((_, names, install))) => match names.iter().find_map(|name| (places.lookup)(name)) {
            Some(program) => Some(program),
            None => {
                let problem = format!("no {} in PATH to run {}", names[0], quoted(text));
                r.fault("run", problem, format!("install {install}, or set `interpreter`"));
                return None;
            }
        },
        (None, None) => None,
    };
    let name = default_name(&path);
    let Some(program) = program else {
        if !with.interpreter_args.is_empty() {
            r.fault(
                "interpreter_args",
                "has no meaning here: the file is executed itself",
                "set `interpreter`, or use `args`",
            );
            return None;
        }
        let command = Command { program: path, args: with.args, script: None, shown: String::new() };
        return Some(Resolved { command, name, shell_stays: false });
    };
    let mut all = with.interpreter_args;
    all.push(path.clone());
    all.extend(with.args);
    let command = Command { program, args: all, script: Some(path), shown: String::new() };
    Some(Resolved { command, name, shell_stays: false })
}

/// Exactly this program with exactly these arguments.
fn exact(r: &mut Reader<'_>, places: &Places<'_>, argv: &[String], args: Vec<String>) -> Option<Resolved> {
    let (first, rest) = argv.split_first()?;
    match program(places, first) {
        Ok(program) => {
            let args = rest.iter().cloned().chain(args).collect();
            let name = default_name(naming_word(argv.iter().map(String::as_str)));
            let command = Command { program, args, script: None, shown: String::new() };
            Some(Resolved { command, name, shell_stays: false })
        }
        Err(problem) => {
            r.fault("run", problem, "install it, or give its absolute path");
            None
        }
    }
}

/// A text that names no file: a command line, or a program.
fn line(r: &mut Reader<'_>, places: &Places<'_>, text: &str, args: Vec<String>) -> Option<Resolved> {
    if !shell::is_command_line(text) {
        if text.contains('/')
            || extension(text).is_some_and(|e| INTERPRETERS.iter().any(|(known, ..)| known.contains(&e)))
        {
            missing_file(r, places, text);
            return None;
        }
        if (places.lookup)(text).is_none() {
            let problem = format!("{} is neither a file in {} nor a program in PATH", quoted(text), places.cwd);
            r.fault("run", problem, "give the path of a script or program, or a command line");
            return None;
        }
        return exact(r, places, &[text.to_owned()], args);
    }
    let (script, shell_stays) = match shell::sort(text) {
        Line::Words(words) => return exact(r, places, &words, args),
        Line::Single(script) if args.is_empty() => (script, false),
        Line::Single(script) => (format!("{script} \"$@\""), false),
        Line::Several(script) if args.is_empty() => (script, true),
        Line::Several(_) => {
            r.fault("args", "cannot follow a command line of several commands", "put the arguments into `run`");
            return None;
        }
        Line::Unclosed => {
            r.fault("run", "a quote or a backslash at the end is not closed", "close it, or write `run` as a list");
            return None;
        }
    };
    let mut argv = vec!["-c".to_owned(), script];
    if !args.is_empty() {
        // The shell takes the first argument after its script for its own name.
        argv.push("sh".to_owned());
        argv.extend(args);
    }
    let name = default_name(naming_word(text.split_whitespace().filter(|word| !shell::assigns(word))));
    let command = Command { program: "/bin/sh".to_owned(), args: argv, script: None, shown: String::new() };
    Some(Resolved { command, name, shell_stays })
}

/// The absolute path of a program: a path is taken from the app's directory, a bare name from PATH.
pub(super) fn program(places: &Places<'_>, name: &str) -> Result<String, String> {
    if name.contains('/') {
        return script(places, name).ok_or_else(|| format!("no such file: {}", absolute(places.cwd, name)));
    }
    (places.lookup)(name).ok_or_else(|| format!("no program {} in PATH", quoted(name)))
}

/// For `ready_on`: the same, as a fault of the key that is read.
pub(super) fn program_of(places: &Places<'_>, name: &str) -> Read<String> {
    program(places, name).or_else(|problem| fail(problem, "install it, or give its absolute path"))
}

fn extension(path: &str) -> Option<&str> {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension)
}

/// Of the words of a command, the one an app is best called by: the script in it, else the program.
fn naming_word<'a>(words: impl Iterator<Item = &'a str> + Clone) -> &'a str {
    let is_script =
        |word: &&str| extension(word).is_some_and(|e| INTERPRETERS.iter().any(|(known, ..)| known.contains(&e)));
    words.clone().find(is_script).or_else(|| words.clone().next()).unwrap_or_default()
}

/// An app's name from its file's: without directory and extension, made legal.
fn default_name(path: &str) -> AppName {
    let base = path.rsplit('/').next().unwrap_or(path);
    let stem = match base.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => base,
    };
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' };
    let mut name: String = stem.chars().map(legal).collect();
    while name.contains("..") {
        name = name.replace("..", ".");
    }
    let name = name.trim_matches(['-', '.']);
    // Every character is ASCII by now, so bytes are characters.
    let name = &name[..name.len().min(APP_NAME_MAX - 4)];
    let name = if name.is_empty() { "app" } else { name };
    AppName::parse(name)
        .or_else(|_| AppName::parse(&format!("app-{name}")))
        .expect("only \"all\" and numbers are still refused, and the prefix mends both")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_made_from_a_file_is_always_legal() {
        for (path, name) in [
            ("/srv/api/server.js", "server"),
            ("server", "server"),
            (".hidden", "hidden"),
            ("my app.py", "my-app"),
            ("a..b.js", "a.b"),
            ("123.js", "app-123"),
            ("all.js", "app-all"),
            ("日本.js", "app"),
            ("", "app"),
            ("archive.tar.gz", "archive.tar"),
        ] {
            assert_eq!(default_name(path).as_str(), name, "{path:?}");
        }
        assert_eq!(default_name(&"9".repeat(100)).as_str().len(), APP_NAME_MAX);
    }
}
