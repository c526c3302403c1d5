//! `pid`, `id` and `jlist`: what runs, for scripts.

use super::super::exit::Result;
use super::super::session::Session;
use super::super::{clock, pm2, talk};
use super::{act, print_json};
use crate::model::status::Measure;

/// Of what runs, in the order of the list; nothing if nothing does.
pub(super) async fn pids(session: &Session, selectors: &[String]) -> Result {
    act::check(selectors)?;
    let list = session.ask(async |client| client.list(selectors, Measure::Nothing).await).await?;
    let pids: Vec<String> = list.iter().filter_map(|row| Some(format!("{}\n", row.pid?))).collect();
    talk::print(&pids.concat())
}

pub(super) async fn ids(session: &Session, selectors: &[String]) -> Result {
    act::check(selectors)?;
    let list = session.ask(async |client| client.list(selectors, Measure::Nothing).await).await?;
    let ids: Vec<String> = list.iter().map(|row| format!("{}\n", row.id)).collect();
    talk::print(&ids.concat())
}

pub(super) async fn jlist(session: &Session) -> Result {
    let apps = session.ask(async |client| client.show(&["all".to_owned()]).await).await?;
    print_json(&pm2::jlist(&apps, u64::try_from(clock::now().as_millisecond()).unwrap_or_default()))
}
