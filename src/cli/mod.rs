//! `stead`, the command people type: words to requests, answers to words.
//! Owns: the grammar, what is printed and the exit codes.
//! Never: does what only the daemon may: it holds no power of its own, and speaks D-Bus as anybody could.

#![forbid(unsafe_code)]

pub mod args;
pub mod caller;
mod clock;
pub mod commands;
pub mod evaluate;
pub mod exit;
pub mod flags;
pub mod foreign;
pub mod human;
pub mod install;
pub mod launch;
pub mod logview;
pub mod paths;
pub mod person;
pub mod progress;
pub mod read;
pub mod remote;
pub mod report;
pub mod session;
pub mod spec;
pub mod table;
pub mod talk;
pub mod target;
pub mod views;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ContextKind;

/// The program: reads the command line, does what it says, and ends with a code of `exit`.
pub fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stderr leaves only the code to tell it by.
            let _ = error.print();
            if error.get(ContextKind::InvalidArg).is_some_and(|arg| arg.to_string() == "-H") {
                eprintln!("-H stands before the command: stead -H HOST COMMAND");
            }
            return ExitCode::from(if error.use_stderr() { exit::Code::Usage as u8 } else { 0 });
        }
    };
    let session = session::Session::new(cli.color);
    if !cli.hosts.is_empty() {
        return match remote::run(&session, &cli) {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                session.talk.failure(&failure);
                ExitCode::from(failure.code as u8)
            }
        };
    }
    // One thread: a command has one thing to wait for, and a cold `list` has no time to start others.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            session.talk.note(&format!("cannot start: {error}"));
            return ExitCode::from(exit::Code::Failed as u8);
        }
    };
    match runtime.block_on(commands::run(&session, cli.verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            session.talk.failure(&failure);
            ExitCode::from(failure.code as u8)
        }
    }
}
