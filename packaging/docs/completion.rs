//! Completions for bash, zsh and fish.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::aot::{Shell, generate};
use stead::cli::args::Cli;

/// Every script: its file name and its text.
pub fn scripts() -> Result<Vec<(String, String)>> {
    let mut scripts = Vec::new();
    for (shell, file) in [(Shell::Bash, "stead.bash"), (Shell::Zsh, "_stead"), (Shell::Fish, "stead.fish")] {
        let mut script = Vec::new();
        generate(shell, &mut Cli::command(), "stead", &mut script);
        scripts.push((file.to_owned(), String::from_utf8(script)?));
    }
    Ok(scripts)
}
