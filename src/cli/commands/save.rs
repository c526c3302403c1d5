//! `save` and `resurrect`: what is wanted now under a name, and again later.

use super::super::exit::Result;
use super::super::report;
use super::super::session::Session;

pub(super) async fn save(session: &Session, name: &str) -> Result {
    let mut client = session.connect().await?;
    let apps = match client.save(name).await? {
        0 => "there is no app".to_owned(),
        1 => "1 app".to_owned(),
        apps => format!("{apps} apps"),
    };
    session.talk.note(&format!("saved as \"{name}\": {apps}; to have it again: stead resurrect {name}"));
    Ok(())
}

pub(super) async fn resurrect(session: &Session, name: &str) -> Result {
    let mut client = session.connect_or_launch().await?;
    let end = report::followed(session, "starting", async |news| client.resurrect(name, news).await).await?;
    report::outcome(session, &mut client, &end, true).await
}
