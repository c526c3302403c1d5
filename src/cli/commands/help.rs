//! `help`: of a command, or the table of exit codes.

use clap::CommandFactory;

use super::super::args::Cli;
use super::super::exit::{self, Failure, Result};
use super::super::talk;

pub(super) fn run(topic: Option<&str>) -> Result {
    let mut command = Cli::command();
    // Tells each subcommand its full name, which its usage line then has.
    command.build();
    let text = match topic {
        None => command.render_long_help().to_string(),
        Some("exit-codes") => exit::TABLE.to_owned(),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(command) => command.render_long_help().to_string(),
            None => return Err(Failure::usage(format!("no help on \"{topic}\": name a command, or exit-codes"))),
        },
    };
    talk::print(&text)
}
