//! `scale`: how many instances an app has.

use super::super::args::Scale;
use super::super::exit::{Failure, Result};
use super::super::report;
use super::super::session::Session;
use crate::model::ids::AppName;

pub(super) async fn run(session: &Session, args: &Scale) -> Result {
    AppName::parse(&args.app).map_err(|error| Failure::usage(error.to_string()))?;
    let digits = args.to.strip_prefix(['+', '-']).unwrap_or(&args.to);
    if !args.to.is_empty() && (digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Failure::usage(format!(
            "bad number of instances \"{}\": use N, +N or -N, or leave it out for the configured number",
            args.to
        )));
    }
    let mut client = session.connect().await?;
    let end = report::followed(session, "scaling", async |news| client.scale(&args.app, &args.to, news).await).await?;
    report::outcome(session, &mut client, &end, true).await
}
