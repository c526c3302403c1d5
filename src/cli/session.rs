//! What every command is given: who asks, where things are, how to talk.

use std::cell::OnceCell;
use std::io::{self, IsTerminal};
use std::time::Duration;

use super::agent::Agent;
use super::caller::Caller;
use super::exit::Result;
use super::launch;
use super::paths::Paths;
use super::talk::{ColorWish, Talk};
use crate::bus::proxy::{Client, ClientError, Wishes};

/// Between tries to have a question answered by a daemon that does not die of it, or meanwhile.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(20), Duration::from_millis(200)];

/// One run of `stead`.
#[derive(Debug)]
pub struct Session {
    pub caller: Caller,
    pub paths: Paths,
    pub talk: Talk,
    /// From the first request that polkit may want a password for, to the end.
    agent: OnceCell<Option<Agent>>,
}

impl Session {
    /// From the process and its environment.
    pub fn new(color: ColorWish) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let (caller, paths) = (Caller::new(&variable), Paths::new(&variable));
        Self { caller, paths, talk: Talk::new(color, &variable), agent: OnceCell::new() }
    }

    /// The daemon that runs. None is started: what only asks must change nothing.
    pub async fn connect(&self) -> Result<Client> {
        if self.is_for_the_bus() {
            return Ok(self.over_bus(false).await?);
        }
        launch::connect(&self.paths).await
    }

    /// For a request that is not everybody's, which a password may make one's own.
    async fn over_bus(&self, start: bool) -> std::result::Result<Client, ClientError> {
        let password = io::stdin().is_terminal() && self.talk.terminal_err;
        if password {
            self.agent.get_or_init(Agent::start);
        }
        Client::over_bus(Wishes { start, password }).await
    }

    /// Root, and whoever has a daemon of their own, reach it by its socket; everyone else over the system bus, where polkit
    /// is asked what they may.
    pub fn is_for_the_bus(&self) -> bool {
        !self.caller.root && !self.paths.private
    }

    /// Asks a question, which changes nothing: of the daemon's successor once more, if it dies meanwhile. One that is dying
    /// takes connections until its last descriptor is closed, so the successor may be a few tries away.
    pub async fn ask<T>(
        &self,
        question: impl AsyncFn(&mut Client) -> std::result::Result<T, ClientError>,
    ) -> Result<T> {
        for pause in PAUSES {
            match question(&mut self.reach().await?).await {
                Err(ClientError::Closed) => tokio::time::sleep(pause).await,
                answer => return Ok(answer?),
            }
        }
        Ok(question(&mut self.reach().await?).await?)
    }

    /// For a question: whoever may not know is told so, and nobody is asked for a password.
    async fn reach(&self) -> Result<Client> {
        if self.is_for_the_bus() {
            return Ok(Client::over_bus(Wishes::default()).await?);
        }
        launch::connect(&self.paths).await
    }

    /// The daemon, started if none runs.
    pub async fn connect_or_launch(&self) -> Result<Client> {
        if self.is_for_the_bus() {
            return Ok(self.over_bus(true).await?);
        }
        launch::connect_or_launch(&self.paths, &self.talk).await
    }
}
