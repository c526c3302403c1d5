//! `list`: what runs. Starts nothing; with no daemon there is nothing it could truthfully show, so it fails.

use super::super::args::List;
use super::super::exit::Result;
use super::super::session::Session;
use super::super::{report, table, talk};
use super::{act, print_json};
use crate::model::status::Measure;

pub(super) async fn run(session: &Session, args: &List) -> Result {
    act::check(&args.selectors)?;
    let measure = if args.json.json { Measure::Full } else { Measure::Brief };
    let list = session.ask(async |client| client.list(&args.selectors, measure).await).await?;
    if args.json.json {
        return print_json(&list);
    }
    if list.is_empty() {
        session.talk.note("no app yet: \"stead start app.js\" starts one");
        return Ok(());
    }
    talk::print(&table::instances(&list, report::style(session)))
}
