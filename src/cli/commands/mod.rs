//! The verbs, one a file.

mod act;
mod check;
mod child;
mod complete;
mod doctor;
mod flush;
mod help;
mod import;
mod init;
mod list;
mod logs;
mod plan;
mod save;
mod scale;
mod show;
mod shutdown;
mod signal;
mod start;
mod startup;
mod upgrade;

pub use check::file_or_default;
pub use init::TEMPLATE;

use super::args::Verb;
use super::exit::{Failure, Result};
use super::session::Session;

/// Does what was typed.
pub async fn run(session: &Session, verb: Verb) -> Result {
    match verb {
        Verb::Start(args) => start::run(session, &args).await,
        Verb::Stop(args) => act::run(session, &act::STOP, &args.selectors).await,
        Verb::Restart(args) => act::run(session, &act::RESTART, &args.selectors).await,
        Verb::Delete(args) => act::run(session, &act::DELETE, &args.selectors).await,
        Verb::Reset(args) => act::run(session, &act::RESET, &args.selectors).await,
        Verb::Kill(args) if args.selectors.is_empty() => Err(Failure::usage(
            "kill needs a selector: \"stead kill all\" kills every app at once. To stop every app and stead itself, \
             which PM2 calls kill, run \"stead shutdown\"",
        )),
        Verb::Kill(args) => act::run(session, &act::KILL, &args.selectors).await,
        Verb::Signal(args) => signal::run(session, &args).await,
        Verb::Scale(args) => scale::run(session, &args).await,
        Verb::List(args) => list::run(session, &args).await,
        Verb::Show(args) => show::run(session, &args).await,
        Verb::Logs(args) => logs::run(session, &args).await,
        Verb::Flush(args) => flush::run(session, &args.selectors).await,
        Verb::Check(args) => check::run(session, args.file.as_deref()),
        Verb::Plan(args) => plan::run(session, &args).await,
        Verb::Init => init::run(session),
        Verb::Import(args) => import::run(session, &args),
        Verb::Doctor(args) => doctor::run(session, args.json).await,
        Verb::Save(args) => save::save(session, &args.name).await,
        Verb::Resurrect(args) => save::resurrect(session, &args.name).await,
        Verb::Upgrade => upgrade::run(session).await,
        Verb::Shutdown => shutdown::run(session).await,
        Verb::Startup(args) => startup::startup(session, args.dry_run),
        Verb::Unstartup(args) => startup::unstartup(session, args.dry_run),
        Verb::Help(args) => help::run(args.topic.as_deref()),
        Verb::Child(args) => child::run(&args),
        Verb::Complete(args) => complete::run(session, args.what).await,
    }
}

/// One line of JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> Result {
    let text = serde_json::to_string(value).map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    super::talk::print(&(text + "\n"))
}
