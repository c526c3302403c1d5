//! `env`: what a running instance was started with.

use super::super::exit::{Failure, Result};
use super::super::session::Session;
use super::super::talk;
use super::act;
use crate::model::status::Measure;

pub(super) async fn run(session: &Session, selector: &str) -> Result {
    let selectors = [selector.to_owned()];
    act::check(&selectors)?;
    let list = session.ask(async |client| client.list(&selectors, Measure::Nothing).await).await?;
    let row = match list.as_slice() {
        [row] => row,
        [] => return Err(Failure::usage(format!("\"{selector}\" is no instance; name one, as api/0"))),
        [first, ..] => {
            let problem = format!("\"{selector}\" is {} instances, each with an environment of its own", list.len());
            return Err(Failure::usage(format!("{problem}: name one, as {}", first.instance)));
        }
    };
    let Some(pid) = row.pid else {
        let (instance, app) = (&row.instance, &row.app);
        return Err(Failure::failed(format!(
            "{instance} does not run; what it will be given is in \"stead show {app}\""
        )));
    };
    // Its bytes, and no other process's: a pid is not given away while stead has the process (it reaps it).
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).map_err(|error| {
        Failure::failed(format!("cannot read the environment of {} (pid {pid}): {error}", row.instance))
    })?;
    let lines: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .filter(|variable| !variable.is_empty())
        .map(|variable| format!("{}\n", String::from_utf8_lossy(variable)))
        .collect();
    talk::print(&lines.concat())
}
