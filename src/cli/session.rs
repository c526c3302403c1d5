//! What every command is given: who asks, where things are, how to talk.

use std::time::Duration;

use super::caller::Caller;
use super::exit::Result;
use super::launch;
use super::paths::Paths;
use super::talk::{ColorWish, Talk};
use crate::bus::proxy::{Client, ClientError};

/// Between tries to have a question answered by a daemon that does not die of it, or meanwhile.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(20), Duration::from_millis(200)];

/// One run of `stead`.
#[derive(Debug)]
pub struct Session {
    pub caller: Caller,
    pub paths: Paths,
    pub talk: Talk,
}

impl Session {
    /// From the process and its environment.
    pub fn new(color: ColorWish) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        Self { caller: Caller::new(&variable), paths: Paths::new(&variable), talk: Talk::new(color, &variable) }
    }

    /// The daemon that runs. None is started: what only asks must change nothing.
    pub async fn connect(&self) -> Result<Client> {
        if self.is_for_the_bus() {
            return Ok(Client::over_bus(false).await?);
        }
        launch::connect(&self.paths).await
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
            match question(&mut self.connect().await?).await {
                Err(ClientError::Closed) => tokio::time::sleep(pause).await,
                answer => return Ok(answer?),
            }
        }
        Ok(question(&mut self.connect().await?).await?)
    }

    /// The daemon, started if none runs.
    pub async fn connect_or_launch(&self) -> Result<Client> {
        if self.is_for_the_bus() {
            return Ok(Client::over_bus(true).await?);
        }
        launch::connect_or_launch(&self.paths, &self.talk).await
    }
}
