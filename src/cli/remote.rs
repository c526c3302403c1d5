//! `-H`: the same command on other hosts, by ssh.
//! Owns: what is run over there and how it is quoted, whose output is whose, and the worst of the exit codes.
//! Never: speaks to a daemon; the `stead` of the other host does.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::args::{Cli, Verb};
use super::exit::{Code, Failure, Result};
use super::read::{self, STDIN};
use super::session::Session;
use super::{commands, talk, target};

/// How many hosts are asked at once. More would only wait for each other's keys and for this host's processors.
const AT_ONCE: usize = 16;

/// Runs the command that was typed on each host; its worst exit code.
pub fn run(session: &Session, cli: &Cli) -> Result<u8> {
    let hosts = hosts(&cli.hosts)?;
    refuse(&cli.verb)?;
    let config = config(session, &cli.verb)?;
    let args = std::env::args_os().skip(1).map(|arg| arg.into_string());
    let args: Vec<String> = args.collect::<std::result::Result<_, _>>().map_err(|arg| {
        Failure::usage(format!("\"{}\" is not UTF-8 text, which is all that -H passes on", arg.display()))
    })?;
    let command = command(&args, session.talk.color_out, config.as_ref())?;
    let input = config.map(|config| config.text);
    match hosts.as_slice() {
        [host] => one(session, host, &command, input.as_deref()),
        hosts => Ok(several(session, hosts, &command, input.as_deref())),
    }
}

/// A host is no option of ssh and no second word.
fn hosts(given: &[String]) -> Result<Vec<String>> {
    let mut hosts: Vec<String> = Vec::new();
    for host in given.iter().map(|host| host.trim()) {
        if host.is_empty() || host.starts_with('-') || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(Failure::usage(format!(
                "-H \"{host}\" is no host: give HOST or USER@HOST, with commas between several"
            )));
        }
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
    }
    Ok(hosts)
}

/// What is about this host, or about nothing but the program.
fn refuse(verb: &Verb) -> Result {
    let (name, why) = match verb {
        Verb::Init => ("init", "it writes a file for you to edit here"),
        Verb::Help(_) => ("help", "it is the same everywhere"),
        Verb::Startup(_) => ("startup", "it installs what was built on the host itself: run it there"),
        Verb::Unstartup(_) => ("unstartup", "it takes back what was installed on the host itself: run it there"),
        Verb::Import(_) => ("import", "it reads a file here, and writes what you can send: run it without -H"),
        Verb::Child(_) => ("__child", "it is for stead itself"),
        Verb::Complete(_) => ("__complete", "it is for the shell here"),
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("-H makes no sense with {name}: {why}")))
}

/// A config of this host, which is sent.
struct Config {
    /// The word that named it; None: the stead.toml here or above, unnamed.
    word: Option<String>,
    text: Vec<u8>,
}

fn config(session: &Session, verb: &Verb) -> Result<Option<Config>> {
    let file = |file: &Option<std::path::PathBuf>| file.iter().map(|file| file.display().to_string()).collect();
    let (name, words): (_, Vec<String>) = match verb {
        Verb::Start(args) => ("start", args.targets.clone()),
        Verb::Check(args) => ("check", file(&args.file)),
        Verb::Plan(args) => ("plan", file(&args.file)),
        _ => return Ok(None),
    };
    if words.is_empty() {
        let path = commands::file_or_default(session, None, name)?;
        if !is_sent(&path.display().to_string()) {
            return Err(Failure::usage(format!(
                "{} is evaluated where it stands, and -H sends TOML only: write one with \"stead import\"",
                path.display()
            )));
        }
        return Ok(Some(Config { word: None, text: read::source(&path)?.text().into() }));
    }
    // What is not here is the other host's: a path there, an app, a program.
    let here = |word: &&String| *word == STDIN || Path::new(word.as_str()).is_file();
    let (configs, others): (Vec<&String>, Vec<&String>) = words
        .iter()
        .filter(here)
        .partition(|word| is_sent(word) || (name != "start" && target::format(word).is_none()));
    if let Some(script) = others.iter().find(|word| !word.starts_with('/')) {
        return Err(Failure::usage(format!(
            "{script} is a file of this host, and -H starts what is on another: give the whole path that it has there, or \
             describe it in a .toml file, which is sent"
        )));
    }
    match configs.as_slice() {
        [] => Ok(None),
        [word] => Ok(Some(Config { word: Some((*word).clone()), text: read::source(Path::new(word))?.text().into() })),
        _ => Err(Failure::usage("-H sends one config file at a time: run it once for each")),
    }
}

/// What apps of another host can be described in: a config of PM2 or FinalPM would be evaluated here, and not there.
fn is_sent(word: &str) -> bool {
    matches!(target::format(word), Some(target::Format::Toml | target::Format::Stdin))
}

/// What the shell of the other host is given: the command as typed, without `-H`, and with a config that was sent.
fn command(args: &[String], color: bool, config: Option<&Config>) -> Result<String> {
    let verb = verb_at(args);
    let (before, mut after) = (&args[..verb], args[verb..].to_vec());
    let colored = before.iter().chain(&after).any(|arg| arg == "--color" || arg.starts_with("--color="));
    if let Some(config) = config {
        let own = after.iter().position(|arg| arg == "--").unwrap_or(after.len());
        if let Some(word) = &config.word {
            let places: Vec<usize> = (1..own).filter(|at| after[*at] == *word).collect();
            let [at] = places[..] else {
                return Err(Failure::usage(format!(
                    "{word} stands there twice, and -H cannot tell which is the file to be sent"
                )));
            };
            after.remove(at);
        }
        after.insert(1, STDIN.to_owned());
    }
    let mut words = vec!["stead".to_owned()];
    if !colored {
        words.push(format!("--color={}", if color { "always" } else { "never" }));
    }
    let mut skip = false;
    for (n, arg) in before.iter().enumerate() {
        let own = arg.starts_with("-H") || arg == "--host" || arg.starts_with("--host=");
        if !own && !skip {
            words.push(arg.clone());
        }
        skip = own && (arg == "-H" || arg == "--host") && n + 1 < before.len();
    }
    words.extend(after);
    Ok(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// Where the verb stands: the first word that is neither a flag of `stead` itself nor the value of one.
fn verb_at(args: &[String]) -> usize {
    let mut at = 0;
    while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-')) {
        at += if matches!(arg.as_str(), "-H" | "--host" | "--color") { 2 } else { 1 };
    }
    at.min(args.len())
}

/// One word for whatever shell is there: what is in single quotes is nothing to any of them.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn ssh(host: &str, command: &str, several: bool) -> Command {
    let mut ssh = Command::new("ssh");
    if several {
        // Nobody could tell which of them asks for a password.
        ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]);
    }
    ssh.args(["--", host, command]);
    ssh
}

/// Its output is ours, and ssh may ask for a password.
fn one(session: &Session, host: &str, command: &str, input: Option<&[u8]>) -> Result<u8> {
    let mut ssh = ssh(host, command, false);
    ssh.stdin(if input.is_some() { Stdio::piped() } else { Stdio::inherit() });
    let mut child = ssh.spawn().map_err(|error| Failure::new(Code::Unavailable, no_ssh(&error)))?;
    send(child.stdin.take(), input);
    let status = child.wait().map_err(|error| Failure::failed(format!("cannot wait for ssh: {error}")))?;
    let (code, trouble) = verdict(status);
    if let Some(trouble) = trouble {
        session.talk.note(&format!("{host}: {trouble}"));
    }
    Ok(code)
}

/// What a host's thread has to tell.
enum News {
    Out(usize, Vec<u8>),
    Err(usize, Vec<u8>),
    End(usize, u8, Option<String>),
}

/// Each line with its host before it, as it comes.
fn several(session: &Session, hosts: &[String], command: &str, input: Option<&[u8]>) -> u8 {
    let width = hosts.iter().map(|host| host.chars().count()).max().unwrap_or(0);
    let prefix = |host: usize| format!("{:width$} | ", hosts[host]);
    let (news, told) = channel();
    let mut worst = 0;
    thread::scope(|scope| {
        let workers = AT_ONCE.min(hosts.len());
        for worker in 0..workers {
            let news = news.clone();
            scope.spawn(move || {
                for host in (worker..hosts.len()).step_by(workers) {
                    let (code, trouble) = follow(host, &hosts[host], command, input, &news);
                    // The other end is read until all of these are gone.
                    let _ = news.send(News::End(host, code, trouble));
                }
            });
        }
        drop(news);
        for word in told {
            match word {
                News::Out(host, line) => {
                    // A reader that has gone has all it wanted, but the hosts are not done with what they do.
                    let _ = talk::try_write(&[prefix(host).as_bytes(), &line].concat());
                }
                News::Err(host, line) => {
                    let line = String::from_utf8_lossy(&line);
                    session.talk.say(&format!("{}{}", prefix(host), line.trim_end_matches('\n')));
                }
                News::End(host, code, trouble) => {
                    worst = worst.max(code);
                    if let Some(trouble) = trouble {
                        session.talk.say(&format!("{}stead: {trouble}", prefix(host)));
                    }
                }
            }
        }
    });
    worst
}

fn follow(number: usize, host: &str, command: &str, input: Option<&[u8]>, news: &Sender<News>) -> (u8, Option<String>) {
    let mut ssh = ssh(host, command, true);
    ssh.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = match ssh.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (Code::Unavailable as u8, Some(no_ssh(&error))),
    };
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| lines(out, |line| news.send(News::Out(number, line)).is_ok()));
        scope.spawn(|| lines(err, |line| news.send(News::Err(number, line)).is_ok()));
        send(stdin, input);
    });
    match child.wait() {
        Ok(status) => verdict(status),
        Err(error) => (Code::Failed as u8, Some(format!("cannot wait for ssh: {error}"))),
    }
}

/// Whole lines; what comes last without an end gets one.
fn lines(stream: Option<impl Read>, mut tell: impl FnMut(Vec<u8>) -> bool) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if !tell(std::mem::take(&mut line)) {
            return;
        }
    }
}

/// A host that could not be reached reads nothing, which its exit code says better than this could.
fn send(stdin: Option<impl Write>, input: Option<&[u8]>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        let _ = stdin.write_all(input);
    }
}

/// The exit code as this program's own table has it, and what there is to say of it.
fn verdict(status: ExitStatus) -> (u8, Option<String>) {
    match status.code() {
        // ssh(1): the command's own status, or 255 if there was an error.
        Some(255) => (Code::Unavailable as u8, Some("ssh did not get through, or lost its connection".to_owned())),
        Some(127) => (Code::Unavailable as u8, Some("there is no stead in the PATH of that host".to_owned())),
        Some(code) => (u8::try_from(code).unwrap_or(Code::Failed as u8), None),
        None => (Code::Failed as u8, Some(format!("ssh ended by a {status}"))),
    }
}

fn no_ssh(error: &std::io::Error) -> String {
    format!("cannot run ssh: {error}. It is in the package openssh-client")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str, config: Option<&Config>) -> String {
        command(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), false, config).unwrap()
    }

    fn sent(word: Option<&str>) -> Config {
        Config { word: word.map(str::to_owned), text: Vec::new() }
    }

    #[test]
    fn the_other_host_is_given_the_command_without_the_hosts() {
        for line in ["-H a,b stop web", "--host a -Hb stop web", "--host=a -H=b stop web"] {
            assert_eq!(typed(line, None), "stead --color=never stop web");
        }
        assert_eq!(typed("--color always -H a list", None), "stead --color always list");
        assert_eq!(
            typed("-H a start app.js -- -H x", None),
            "stead --color=never start app.js -- -H x",
            "the app's own"
        );
    }

    #[test]
    fn a_config_that_is_sent_is_the_other_sides_standard_input() {
        let web = sent(Some("web.toml"));
        assert_eq!(typed("-H a start --env prod web.toml", Some(&web)), "stead --color=never start - --env prod");
        assert_eq!(typed("-H a check", Some(&sent(None))), "stead --color=never check -");
        assert_eq!(typed("-H a start web.toml -- web.toml", Some(&web)), "stead --color=never start - -- web.toml");
    }

    #[test]
    fn no_word_is_more_than_a_word_to_the_other_shell() {
        for (word, safe) in [
            ("api/2", "api/2"),
            ("@shop", "@shop"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's; `x`", "'it'\\''s; `x`'"),
            ("/^a.*$/", "'/^a.*$/'"),
            ("~root", "'~root'"),
        ] {
            assert_eq!(quoted(word), safe);
        }
    }

    #[test]
    fn a_host_is_never_an_option_of_ssh() {
        let given = |host: &str| hosts(&[host.to_owned()]);
        for wrong in ["-oProxyCommand=x", "", " ", "a b", "a\nb"] {
            assert_eq!(given(wrong).unwrap_err().code, Code::Usage, "{wrong:?}");
        }
        assert_eq!(hosts(&["a".into(), "root@b".into(), "a".into()]).unwrap(), ["a", "root@b"]);
    }
}
