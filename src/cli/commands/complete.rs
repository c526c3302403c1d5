//! `__complete`: words for a shell that waits with its prompt. Says nothing else, starts nothing, and is soon done.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::CommandFactory;

use super::super::args::{Cli, Offer};
use super::super::exit::Result;
use super::super::session::Session;
use super::super::talk;
use crate::model::signal::Signal;
use crate::model::status::{InstanceStatus, Measure};

/// Longer than that nobody waits for a word that could be typed.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) async fn run(session: &Session, what: Offer) -> Result {
    let words: Vec<String> = match what {
        Offer::Signals => Signal::named().map(|signal| signal.to_string()).collect(),
        Offer::Topics => topics(),
        Offer::Apps => {
            known(session).await.into_iter().map(|row| row.app).collect::<BTreeSet<_>>().into_iter().collect()
        }
        Offer::Selectors => selectors(&known(session).await),
    };
    talk::print(&words.into_iter().map(|word| word + "\n").collect::<String>())
}

/// What runs, if a daemon says so in time.
async fn known(session: &Session) -> Vec<InstanceStatus> {
    let asked = session.ask(async |client| client.list(&[], Measure::Nothing).await);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(list)) => list,
        // No daemon, none that answers, or one that this person may not ask: then there is nothing to offer.
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Apps first, then what is part of them or has them as parts.
fn selectors(list: &[InstanceStatus]) -> Vec<String> {
    let apps: BTreeSet<&str> = list.iter().map(|row| row.app.as_str()).collect();
    let namespaces: BTreeSet<&str> = list.iter().map(|row| row.namespace.as_str()).collect();
    let apps = apps.into_iter().map(str::to_owned);
    let namespaces = namespaces.into_iter().map(|namespace| format!("@{namespace}"));
    let all = (!list.is_empty()).then(|| "all".to_owned());
    apps.chain(list.iter().map(|row| row.instance.clone())).chain(namespaces).chain(all).collect()
}

fn topics() -> Vec<String> {
    let command = Cli::command();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name().to_owned());
    verbs.chain(["exit-codes".to_owned()]).collect()
}
