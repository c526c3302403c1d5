//! `stop`, `restart`, `delete`, `kill`, `reset`: what takes selectors and nothing else.

use std::collections::BTreeSet;

use super::super::exit::{Failure, Result};
use super::super::report;
use super::super::session::Session;
use crate::model::selector::Selector;

/// One of these verbs.
pub(super) struct Act {
    method: &'static str,
    doing: &'static str,
    /// What is left can be shown; after `delete` nothing is.
    table: bool,
}

pub(super) const STOP: Act = Act { method: "Stop", doing: "stopping", table: true };
pub(super) const RESTART: Act = Act { method: "Restart", doing: "restarting", table: true };
pub(super) const DELETE: Act = Act { method: "Delete", doing: "deleting", table: false };
pub(super) const KILL: Act = Act { method: "Kill", doing: "killing", table: true };
pub(super) const RESET: Act = Act { method: "Reset", doing: "resetting", table: true };

pub(super) async fn run(session: &Session, act: &Act, selectors: &[String]) -> Result {
    check(selectors)?;
    let mut client = session.connect().await?;
    let end = report::followed(session, act.doing, async |news| client.act(act.method, selectors, news).await).await?;
    if !act.table && !end.failed {
        let apps: BTreeSet<&str> = end.instances.iter().filter_map(|news| news.instance.split('/').next()).collect();
        session.talk.note(&format!("deleted {}", apps.into_iter().collect::<Vec<_>>().join(", ")));
    }
    report::outcome(session, &mut client, &end, act.table).await
}

/// Bad selectors are found before anybody is asked.
pub(super) fn check(selectors: &[String]) -> Result {
    for selector in selectors {
        Selector::parse(selector).map_err(|error| Failure::usage(error.to_string()))?;
    }
    Ok(())
}
