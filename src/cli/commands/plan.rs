//! `plan`: what starting a file would do. Changes nothing and starts nothing, a daemon least of all.

use super::super::args::Plan;
use super::super::exit::{Code, Result};
use super::super::session::Session;
use super::super::spec::{self, Additions, EnvFlags, Machine};
use super::super::{talk, views};
use super::{check, print_json};
use crate::bus::proxy::PlanLine;
use crate::model::spec::AppSpec;

pub(super) async fn run(session: &Session, args: &Plan) -> Result {
    let path = check::file_or_default(session, args.file.as_deref(), "plan")?;
    let additions = Additions { env: EnvFlags::parse(&args.env)?, only: &args.only, ..Additions::default() };
    let machine = Machine::new(&session.caller);
    let specs = machine.file(&path, &additions)?;
    machine.say_notes(session);
    let plan = match session.connect().await {
        Ok(mut client) => client.plan_apps(&spec::raw(&specs)).await?,
        Err(failure) if failure.code == Code::Unavailable => {
            session.talk.note("no daemon is running: starting would start one");
            specs.iter().flat_map(all_started).collect()
        }
        Err(failure) => return Err(failure),
    };
    if args.json.json { print_json(&plan) } else { talk::print(&views::plan(&plan)) }
}

fn all_started(spec: &AppSpec) -> impl Iterator<Item = PlanLine> {
    (0..spec.instances).map(|slot| PlanLine {
        app: spec.name.to_string(),
        instance: Some(format!("{}/{slot}", spec.name)),
        action: "start".to_owned(),
        why: "no daemon is running".to_owned(),
    })
}
