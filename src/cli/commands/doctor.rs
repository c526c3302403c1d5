//! `doctor`: what the daemon finds wrong with this host.

use super::super::exit::{Code, Failure, Result};
use super::super::session::Session;
use super::super::{talk, views};
use super::print_json;
use crate::bus::proxy::FindingLevel;

pub(super) async fn run(session: &Session, json: bool) -> Result {
    let mut client = session.connect("doctor").await?;
    let findings = client.doctor().await?;
    if json {
        print_json(&findings)?;
    } else {
        talk::print(&views::findings(&findings, session.talk.color_out))?;
    }
    match findings.iter().any(|finding| finding.level == FindingLevel::Bad) {
        // It stands there already, in more words.
        true => Err(Failure::new(Code::Failed, "")),
        false => Ok(()),
    }
}
