//! `flush`: empties log files.

use super::super::exit::Result;
use super::super::session::Session;
use super::super::talk;
use super::{act, logs};

pub(super) async fn run(session: &Session, selectors: &[String]) -> Result {
    act::check(selectors)?;
    let mut client = session.connect().await?;
    logs::say_kept_none(session, &mut client, selectors).await?;
    let files = client.flush(selectors).await?;
    talk::print(&files.into_iter().map(|file| file + "\n").collect::<String>())
}
