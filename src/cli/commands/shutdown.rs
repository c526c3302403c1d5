//! `shutdown`: every app, then the daemon, then the holder; returns when they are gone.

use std::time::Duration;

use super::super::exit::{Failure, Result};
use super::super::session::Session;
use super::super::{launch, report};

/// From the last app's end to the holder's. The apps' own deadlines have passed by then.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(session: &Session) -> Result {
    let mut client = session.connect().await?;
    let end = report::followed(session, "stopping", async |news| client.shutdown(news).await).await;
    match end {
        Ok(end) if end.failed => report::outcome(session, &mut client, &end, false).await?,
        Ok(end) => end.notes.iter().for_each(|note| session.talk.note(note)),
        // The daemon may be gone before its last word has reached us. Whether it is, the lock tells.
        Err(Failure { text, .. }) if text.contains("went down") => {}
        Err(failure) => return Err(failure),
    }
    drop(client);
    launch::gone(&session.paths, PATIENCE).await?;
    session.talk.note("stopped; what was running starts again with the next \"stead start\"");
    Ok(())
}
