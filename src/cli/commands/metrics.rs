//! `metrics`: figures of all instances, for machines.

use super::super::args::{Exposed, Metrics};
use super::super::exit::Result;
use super::super::session::Session;
use super::super::talk;
use crate::model::status::MetricsFormat;

pub(super) async fn run(session: &Session, args: &Metrics) -> Result {
    let format = match args.format {
        Exposed::Openmetrics => MetricsFormat::OpenMetrics,
        Exposed::Text => MetricsFormat::Text,
    };
    talk::print(&session.ask(async |client| client.metrics(format).await).await?)
}
