//! `show`: everything about an app.

use jiff::tz::TimeZone;

use super::super::args::Show;
use super::super::exit::Result;
use super::super::session::Session;
use super::super::{talk, views};
use super::{act, print_json};

pub(super) async fn run(session: &Session, args: &Show) -> Result {
    act::check(&args.selectors)?;
    let apps = session.ask(async |client| client.show(&args.selectors).await).await?;
    if args.json.json {
        return print_json(&apps.iter().map(views::app_json).collect::<Vec<_>>());
    }
    let zone = TimeZone::system();
    let texts: Vec<String> = apps.iter().map(|app| views::app(app, session.talk.color_out, &zone)).collect();
    talk::print(&texts.join("\n"))
}
