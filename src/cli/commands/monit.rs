//! `monit`: what runs, live, on a whole screen.

use super::super::args::Monit;
use super::super::clock;
use super::super::exit::{Failure, Result};
use super::super::session::Session;
use crate::bus::proxy::{Client, ClientError};
use crate::tui;

/// The way to the daemon of this session.
struct Way<'a>(&'a Session);

impl tui::Connect for Way<'_> {
    async fn connect(&self) -> std::result::Result<Client, String> {
        self.0.connect().await.map_err(|failure| failure.text)
    }

    fn words(&self, error: ClientError) -> String {
        Failure::from(error).text
    }
}

pub(super) async fn run(session: &Session, args: &Monit) -> Result {
    use std::io::IsTerminal;
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if dumb || !session.talk.terminal_out || !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "monit needs a terminal to draw on: for a look there is \"stead list\", for scripts \"stead list --json\"",
        ));
    }
    // Before the screen is taken: what is wrong is said where it can be read.
    session.connect().await?;
    let settings = tui::Settings {
        host: nix::unistd::gethostname().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
        color: session.talk.color_out && !args.no_color,
        zone: jiff::tz::TimeZone::system(),
        clock: clock::now,
    };
    tui::run(settings, &Way(session)).await.map_err(|error| Failure::failed(format!("cannot draw: {error}")))
}
