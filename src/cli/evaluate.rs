//! A config that is a program: node runs it, as the person who typed the command, and says what it exports.
//! Owns: the child, its time limit, and the sentence for each way in which a config gives no value.
//! Never: runs a person's file with more rights than that person has: under sudo the child becomes them first
//! (`commands::child`). Never: judges the value; `config::ecosystem` does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, pipe2};
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Failure, Result};
use crate::model::quantity::{format_span, parse_span};

/// What node runs. As text, so that it needs no file that could be missing.
const PROGRAM: &str = include_str!("evaluate.js");

/// Fetching a secret may take its time; a config that asks a question never ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// Changes that, for who fetches more.
const PATIENCE_VARIABLE: &str = "STEAD_CONFIG_TIMEOUT";

/// No config exports more.
const VALUE_MAX: u64 = 16 << 20;

/// How a config is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program<'a> {
    /// A file that exports its value; node has done with it once it is there.
    Pm2,
    /// The same, and everything that it began has to end.
    FinalPm,
    /// Text that is JSON but for comments and the like: one expression.
    Expression(&'a str),
}

/// Whose rights and what words.
#[derive(Debug, Clone, Copy)]
pub struct Evaluator<'a> {
    /// An absolute path.
    pub node: &'a str,
    /// Under sudo, who typed it.
    pub person: Option<&'a str>,
    /// Their PATH, where it is known and not ours.
    pub path: Option<&'a str>,
    /// What PM2's command line would have been.
    pub words: &'a [String],
}

/// What a config says.
#[derive(Debug, Default, PartialEq)]
pub struct Evaluated {
    pub value: Value,
    /// Variables that it has set in its own environment: PM2's apps inherit them.
    pub changed: BTreeMap<String, String>,
}

/// A line of the child.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    error: Option<Thrown>,
}

#[derive(Debug, Deserialize)]
struct Thrown {
    message: String,
    missing: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

impl Evaluator<'_> {
    /// Runs the config. `file` names it for node and in messages.
    pub fn run(&self, file: &str, program: Program<'_>) -> Result<Evaluated> {
        let patience = patience()?;
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            Failure::failed(format!("cannot evaluate {file}: {what}: {error}"))
        };
        let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| cannot("no pipe", &error))?;
        // The child inherits this end; node closes it to whatever the config starts.
        fcntl(&write, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|error| cannot("no pipe", &error))?;
        let mut child = self.spawn(file, program, &write).map_err(|error| cannot(self.node, &error))?;
        drop(write);
        if let (Program::Expression(text), Some(mut stdin)) = (program, child.stdin.take()) {
            // A child that dies before it has read says why by itself.
            let _ = stdin.write_all(text.as_bytes());
        }
        match wait(&mut child, read, patience) {
            Some((lines, status)) => judge(file, &lines, status),
            None => Err(Failure::config(format!(
                "{file}: node has not done with it after {}: it waits for something. A config that needs longer gets it by \
                 {PATIENCE_VARIABLE}=60s",
                format_span(patience)
            ))),
        }
    }

    fn spawn(&self, file: &str, program: Program<'_>, write: &OwnedFd) -> std::io::Result<Child> {
        let kind = match program {
            Program::Pm2 => "pm2",
            Program::FinalPm => "finalpm",
            Program::Expression(_) => "json",
        };
        let mut command = Command::new("/proc/self/exe");
        command.arg("__child");
        if let Some(person) = self.person {
            command.args(["--user", person]);
        }
        command.args(["--", self.node, "-e", PROGRAM, "--", &write.as_raw_fd().to_string(), kind, file]);
        command.args(self.words);
        if let Some(path) = self.path {
            command.env("PATH", path);
        }
        for variable in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
            command.env_remove(variable);
        }
        let stdin = if matches!(program, Program::Expression(_)) { Stdio::piped() } else { Stdio::null() };
        // What it prints is for people: our own output is data.
        let stderr = std::io::stderr();
        command.stdin(stdin).stdout(std::os::fd::AsFd::as_fd(&stderr).try_clone_to_owned()?).spawn()
    }
}

fn patience() -> Result<Duration> {
    match std::env::var(PATIENCE_VARIABLE) {
        Ok(text) => match parse_span(&text) {
            Ok(span) if !span.is_zero() => Ok(span),
            _ => Err(Failure::usage(format!("{PATIENCE_VARIABLE}={text} is no time: write it as \"60s\""))),
        },
        Err(_) => Ok(PATIENCE),
    }
}

/// The child's lines, and how it ended; None if it has not, within the time. Nothing of it is left in either case.
fn wait(child: &mut Child, read: OwnedFd, patience: Duration) -> Option<(Vec<String>, ExitStatus)> {
    // It leads a session of its own.
    let group = Pid::from_raw(child.id().cast_signed());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(File::from(read).take(VALUE_MAX)).lines();
        let lines: Vec<String> = lines.map_while(std::result::Result::ok).collect();
        // Its end, without reaping it: until then the number is its, and that of its group.
        let _ = waitid(Id::Pid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        let _ = tell.send(lines);
    });
    let lines = told.recv_timeout(patience).ok();
    // Itself if it has not ended, and what it has started and left behind.
    let _ = killpg(group, Signal::SIGKILL);
    if lines.is_none() {
        let _ = child.kill();
    }
    lines.zip(child.wait().ok())
}

/// An error counts more than a result, as it does in FinalPM: a config that failed after it spoke has failed.
fn judge(file: &str, lines: &[String], status: ExitStatus) -> Result<Evaluated> {
    let mut results = Vec::new();
    for line in lines {
        let line: Line = serde_json::from_str(line)
            .map_err(|_| Failure::config(format!("{file}: what it exports is more than a config can be")))?;
        match line.error {
            Some(thrown) => return Err(Failure::config(thrown.sentence(file))),
            None => results.push(Evaluated { value: line.result.unwrap_or(Value::Null), changed: line.env }),
        }
    }
    let told = |problem: String| Err(Failure::config(format!("{file}: {problem}")));
    match (results.pop(), results.is_empty()) {
        (_, false) => told("it gave a second result: a config gives one, by what it exports".to_owned()),
        (Some(_) | None, true) if !status.success() => told(format!("{}, which tells of a failure", ended(status))),
        (None, true) => told(format!(
            "{} without a result: a config exports its apps (module.exports = {{ apps: [...] }})",
            ended(status)
        )),
        (Some(evaluated), true) => Ok(evaluated),
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended by itself (process.exit), code {code},"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
    .trim_end_matches(',')
    .to_owned()
}

impl Thrown {
    fn sentence(&self, file: &str) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ => file.to_owned(),
        };
        match (&self.missing, self.message.as_str()) {
            (Some(module), _) if module.starts_with(['.', '/']) => {
                format!("{place}: it requires {module}, which is not there")
            }
            (Some(module), _) => format!(
                "{place}: it requires the module \"{module}\", which is not installed where the config stands: run \
                 \"npm install\" there"
            ),
            (None, "") => format!("{place}: it failed, and said nothing about it (Unknown Error)"),
            (None, message) => format!("{place}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn said(lines: &[&str], code: i32) -> std::result::Result<Value, String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let judged = judge("x.config.js", &lines, ExitStatus::from_raw(code << 8));
        judged.map(|evaluated| evaluated.value).map_err(|failure| failure.text)
    }

    #[test]
    fn one_result_and_a_good_end_is_what_a_config_gives() {
        assert_eq!(said(&[r#"{"result":{"apps":[]},"env":{}}"#], 0), Ok(serde_json::json!({ "apps": [] })));
        assert_eq!(said(&[r#"{"result":null,"env":{}}"#], 0), Ok(Value::Null));
    }

    #[test]
    fn every_other_end_has_its_sentence() {
        let result = r#"{"result":{},"env":{}}"#;
        let error = r#"{"error":{"message":"boom","missing":null,"line":3,"column":7}}"#;
        insta::assert_snapshot!(said(&[], 0).unwrap_err(), @"x.config.js: it ended by itself (process.exit), code 0 without a result: a config exports its apps (module.exports = { apps: [...] })");
        insta::assert_snapshot!(said(&[], 3).unwrap_err(), @"x.config.js: it ended by itself (process.exit), code 3, which tells of a failure");
        insta::assert_snapshot!(said(&[result], 3).unwrap_err(), @"x.config.js: it ended by itself (process.exit), code 3, which tells of a failure");
        insta::assert_snapshot!(said(&[result, result], 0).unwrap_err(), @"x.config.js: it gave a second result: a config gives one, by what it exports");
        insta::assert_snapshot!(said(&[result, error], 1).unwrap_err(), @"x.config.js:3:7: boom");
        let missing = r#"{"error":{"message":"Cannot find","missing":"dotenv"}}"#;
        insta::assert_snapshot!(said(&[missing], 1).unwrap_err(), @r#"x.config.js: it requires the module "dotenv", which is not installed where the config stands: run "npm install" there"#);
        insta::assert_snapshot!(said(&[r#"{"error":{"message":""}}"#], 1).unwrap_err(), @"x.config.js: it failed, and said nothing about it (Unknown Error)");
        insta::assert_snapshot!(said(&[r#"{"result":{"#], 0).unwrap_err(), @"x.config.js: what it exports is more than a config can be");
    }
}
