//! `signal`: one signal to main processes.

use super::super::args::SendSignal;
use super::super::exit::{Failure, Result};
use super::super::report;
use super::super::session::Session;
use super::act;
use crate::model::signal::Signal;

pub(super) async fn run(session: &Session, args: &SendSignal) -> Result {
    let signal = Signal::parse(&args.signal).map_err(|error| Failure::usage(error.to_string()))?;
    act::check(&args.selectors)?;
    let mut client = session.connect().await?;
    let name = signal.to_string();
    let end =
        report::followed(session, "signalling", async |news| client.signal(&args.selectors, &name, news).await).await?;
    let sent: Vec<&str> =
        end.instances.iter().filter(|news| news.result == "signalled").map(|news| news.instance.as_str()).collect();
    if !sent.is_empty() {
        session.talk.note(&format!("sent {name} to {}", sent.join(", ")));
    }
    report::outcome(session, &mut client, &end, false).await
}
