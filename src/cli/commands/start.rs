//! `start`: from whatever was named to running instances.
//! Owns: the order: everything that can be wrong with the words is found before a daemon is started or asked.

use std::path::Path;

use super::super::args::Start;
use super::super::exit::{Code, Failure, Result};
use super::super::session::Session;
use super::super::spec::{self, Additions, EnvFlags, Machine};
use super::super::target::{self, Look, Target, Wrong};
use super::super::{launch, report};
use super::check;
use crate::bus::proxy::Client;
use crate::config::raw::Value;
use crate::config::to_raw;
use crate::model::spec::AppSpec;
use crate::model::status::Measure;

pub(super) async fn run(session: &Session, args: &Start) -> Result {
    let env = EnvFlags::parse(&args.env)?;
    let mut keys = args.keys.clone();
    if args.no_autorestart {
        keys.values.push(("restart".to_owned(), Value::from("never")));
    }
    let additions = Additions {
        keys: Some(&keys),
        env,
        inherit: args.inherit_env.as_deref(),
        args: &args.args,
        only: &args.only,
        starts: true,
    };
    let machine = Machine::new(&session.caller);
    let (mut client, targets) = classify(session, &machine, &args.targets).await?;
    let specs = match wanted(targets)? {
        Wanted::Known(selectors) => {
            refuse_additions(&additions, &selectors)?;
            let mut client = reach(session, client).await?;
            let action = async |news: &mut dyn FnMut(_)| client.act("Start", &selectors, news).await;
            let end = report::followed(session, "starting", action).await?;
            return report::outcome(session, &mut client, &end, true).await;
        }
        Wanted::Files(paths) => {
            let mut specs = Vec::new();
            for path in &paths {
                specs.extend(machine.file(path.as_ref(), &additions)?);
            }
            specs
        }
        Wanted::Run(run) => {
            if !args.only.is_empty() {
                return Err(Failure::usage("--only chooses among the apps of a config file, and this is none"));
            }
            let spec = machine.target(&run, &additions)?;
            if !keys.values.iter().any(|(key, _)| key == "name") {
                client = refuse_takeover(session, client, &spec).await?;
            }
            vec![spec]
        }
    };
    machine.say_notes(session);
    let mut client = reach(session, client).await?;
    let apps = spec::raw(&specs);
    let end = report::followed(session, "starting", async |news| client.start_apps(&apps, news).await).await?;
    report::outcome(session, &mut client, &end, true).await
}

/// What all targets together ask for.
enum Wanted {
    Known(Vec<String>),
    Files(Vec<std::path::PathBuf>),
    Run(String),
}

fn wanted(targets: Vec<Target>) -> Result<Wanted> {
    let (mut known, mut files, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Known(selector) => known.push(selector),
            Target::Config(path) => files.push(path),
            Target::Run(run) => runs.push(run),
        }
    }
    match (known.is_empty(), files.is_empty(), runs.as_slice()) {
        (_, true, []) => Ok(Wanted::Known(known)),
        (true, _, []) => Ok(Wanted::Files(files)),
        (true, true, [run]) => Ok(Wanted::Run(run.clone())),
        (true, true, [run, other, ..]) => Err(Failure::usage(format!(
            "\"{run}\" and \"{other}\" are two programs: start one at a time, and put the arguments of an app after --"
        ))),
        _ => Err(Failure::usage("known apps, files and programs cannot be started together: use a command for each")),
    }
}

/// Tells what each target is; asks the daemon only where a word could be an app of its.
async fn classify(session: &Session, machine: &Machine<'_>, texts: &[String]) -> Result<(Option<Client>, Vec<Target>)> {
    if texts.is_empty() {
        return Ok((None, vec![Target::Config(check::file_or_default(session, None, "start")?)]));
    }
    let mut client = None;
    let mut apps = Vec::new();
    if texts.iter().any(|text| target::needs_apps(text, Path::new(text).is_file())) {
        client = known_to(session).await?;
        if let Some(client) = &mut client {
            apps = client.list(&[], Measure::Nothing).await?.into_iter().map(|row| row.app).collect();
        }
    }
    let host = Host { machine, apps };
    let targets = texts.iter().map(|text| target::classify(text, &host).map_err(refused));
    Ok((client, targets.collect::<Result<_>>()?))
}

fn refused(wrong: Wrong) -> Failure {
    match wrong {
        Wrong::Unclear(text) => Failure::usage(text),
        Wrong::NoFile(text) => Failure::config(text),
        Wrong::Unknown(text) => Failure::new(Code::NoMatch, text),
    }
}

/// The daemon that knows the apps. None where none runs and none has left any to bring back: then nothing is known, and
/// a mistyped word starts no daemon.
async fn known_to(session: &Session) -> Result<Option<Client>> {
    if session.is_for_the_bus() {
        // The bus starts stead, or nobody may.
        return session.connect_or_launch().await.map(Some);
    }
    match session.connect().await {
        Ok(client) => Ok(Some(client)),
        // One that lives and does not answer has been waited for; to wait again would change nothing.
        Err(failure) if failure.code == Code::Unavailable && !launch::holder_lives(&session.paths) => {
            let saved = std::fs::read_dir(&session.paths.state).is_ok_and(|mut files| files.next().is_some());
            if saved { session.connect_or_launch().await.map(Some) } else { Ok(None) }
        }
        Err(failure) => Err(failure),
    }
}

async fn reach(session: &Session, client: Option<Client>) -> Result<Client> {
    match client {
        Some(client) => Ok(client),
        None => session.connect_or_launch().await,
    }
}

fn refuse_additions(additions: &Additions<'_>, selectors: &[String]) -> Result {
    let keys =
        additions.keys.iter().flat_map(|keys| &keys.values).map(|(key, _)| format!("--{}", key.replace('_', "-")));
    let others = [
        (!additions.env.variables.is_empty() || additions.env.profile.is_some(), "--env"),
        (additions.inherit.is_some(), "--inherit-env"),
        (!additions.args.is_empty(), "--"),
        (!additions.only.is_empty(), "--only"),
    ];
    let flags: Vec<String> =
        keys.chain(others.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned())).collect();
    match flags.first() {
        None => Ok(()),
        Some(flag) => Err(Failure::usage(format!(
            "{flag} cannot change an app that is known ({}): start its file or script again with the new settings",
            selectors.join(", ")
        ))),
    }
}

/// A name that came from a file's name may be another app's, which would be replaced by this one.
async fn refuse_takeover(session: &Session, client: Option<Client>, spec: &AppSpec) -> Result<Option<Client>> {
    let client = match client {
        Some(client) => Some(client),
        None => known_to(session).await?,
    };
    let Some(mut client) = client else { return Ok(None) };
    let name = spec.name.as_str();
    if !client.list(&[], Measure::Nothing).await?.iter().any(|row| row.app == name) {
        return Ok(Some(client));
    }
    let ours = to_raw(spec);
    for app in client.show(&[name.to_owned()]).await? {
        let value =
            |key: &str, pairs: &[(String, Value)]| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.to_string());
        if ["run", "cwd"].into_iter().any(|key| value(key, &ours) != value(key, &app.spec)) {
            return Err(Failure::usage(format!(
                "there is an app \"{name}\" already, and it runs {} in {}: give this one a name with --name, or write \
                 --name {name} to replace that one",
                value("run", &app.spec).unwrap_or_default(),
                value("cwd", &app.spec).unwrap_or_default(),
            )));
        }
    }
    Ok(Some(client))
}

struct Host<'a> {
    machine: &'a Machine<'a>,
    apps: Vec<String>,
}

impl Look for Host<'_> {
    fn is_file(&self, path: &str) -> bool {
        Path::new(path).is_file()
    }

    fn is_dir(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn program(&self, name: &str) -> Option<String> {
        self.machine.program(name)
    }

    fn is_app(&self, name: &str) -> bool {
        self.apps.iter().any(|app| app == name)
    }
}
