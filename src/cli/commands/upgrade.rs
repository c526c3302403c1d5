//! `upgrade`: the daemon, then the holder, become the programs that are on disk now; returns when the new ones serve.

use std::time::Duration;

use super::super::exit::{Code, Failure, Result};
use super::super::session::Session;
use crate::model::status::Measure;

/// From the request to the end of the daemon that took it.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn run(session: &Session) -> Result {
    let mut client = session.connect().await?;
    client.upgrade().await?;
    if tokio::time::timeout(PATIENCE, client.closed()).await.is_err() {
        let text = "stead was not replaced: the end of its log says why; nothing was touched".to_owned();
        return Err(Failure::new(Code::Failed, text));
    }
    // An answer, which shows that it is the successor who is connected to.
    session.ask(async |client| client.list(&[], Measure::Nothing).await).await?;
    session.talk.note("stead runs from the programs on disk now; no app was touched");
    Ok(())
}
