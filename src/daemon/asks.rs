//! Requests and questions from the front doors.
//! Owns: turning raw settings into specs with the caller's rights, and collecting what a question is answered with.
//! Never: blocks the loop: what looks at files, users or many cgroups does so on a thread of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::account::Account;
use super::describe::{detail, filled, row};
use super::driver::Driver;
use super::output::logs_of;
use super::sockets::Rights;
use super::told::Told;
use super::{account, clock, doctor};
use crate::api::{AppDetail, Ask, Caller, Job, LogQuery, PlanLine, RawApp, Refusal};
use crate::config::{self, Authority, Context};
use crate::core::plan::{PlanAction, PlanLine as CorePlanLine};
use crate::logs::follow::{Query, Selection};
use crate::logs::source::Wanted;
use crate::metrics::meter::Depth;
use crate::model::ids::{AppName, InstanceId};
use crate::model::logframe::LogStream;
use crate::model::request::Request;
use crate::model::selector::Selector;
use crate::model::spec::{AppSpec, Identity, Replace};
use crate::model::status::{AppView, InstanceStatus, InstanceView, Measure};
use crate::sys::{identity, listener, priority};

/// Specs that were looked at on this host, on their way to being deployed.
#[derive(Debug)]
pub struct Checked {
    pub(super) specs: Result<Sound, Refusal>,
    /// For the files of sockets.
    pub(super) rights: Rights,
    pub(super) answer: oneshot::Sender<Result<Job, Refusal>>,
}

/// Specs to be compared with what runs.
#[derive(Debug)]
pub struct ToPlan {
    specs: Result<Vec<AppSpec>, Refusal>,
    answer: oneshot::Sender<Result<Vec<PlanLine>, Refusal>>,
}

/// Specs that can run here, and whom each app runs as.
pub(super) type Sound = (Vec<AppSpec>, Vec<(AppName, Identity, Account)>);

/// An app, and those of its instances that a person pointed at.
#[derive(Debug)]
pub(super) struct Chosen {
    app: Arc<AppView>,
    /// Places in the app's slots.
    at: Vec<usize>,
}

impl Chosen {
    pub fn slots(&self) -> impl Iterator<Item = &InstanceView> {
        self.at.iter().map(|at| &self.app.slots[*at])
    }
}

/// Of each chosen instance its app and itself.
fn each(chosen: &[Chosen]) -> impl Iterator<Item = (&AppView, &InstanceView)> {
    chosen.iter().flat_map(|one| one.slots().map(|slot| (&*one.app, slot)))
}

impl Driver {
    pub(super) fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Submit { request, answer } => {
                // A user may have been renamed, or have been given a group, since its app was last started.
                self.executor.accounts.clear();
                self.tell_who_listens();
                self.submit(request, answer);
            }
            Ask::Deploy { apps, caller, answer } => {
                let tell = self.executor.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let specs = check(&apps, caller);
                    let rights = if caller.uid == 0 { Rights::Root } else { Rights::User };
                    let _ = tell.send(Told::Checked(Box::new(Checked { specs, rights, answer })));
                });
            }
            Ask::Plan { apps, caller, answer } => {
                let tell = self.executor.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let specs = resolve(&apps, caller);
                    let _ = tell.send(Told::ToPlan(Box::new(ToPlan { specs, answer })));
                });
            }
            Ask::List { selectors, measure, answer } => self.list(&selectors, measure, answer),
            Ask::Show { selectors, answer } => self.show(&selectors, answer),
            Ask::Logs { query, answer } => {
                let _ = answer.send(self.logs(&query));
            }
            Ask::Save { name, answer } => self.save_as(&name, answer),
            Ask::Resurrect { name, answer } => self.resurrect(&name, answer),
            Ask::Upgrade { answer } => {
                self.link.upgrade();
                let _ = answer.send(());
            }
            Ask::Flush { selectors, answer } => self.flush(&selectors, answer),
            Ask::Doctor { answer } => {
                let (tree, dir) = (self.executor.tree.clone(), self.executor.output.dir().to_owned());
                let unable = self.executor.sharing.as_ref().err().map(ToString::to_string);
                tokio::task::spawn_blocking(move || answer.send(doctor::examine(&tree, &dir, unable)));
            }
        }
    }

    /// The specs stood the test, or not. Sockets that they need are made first.
    pub(super) fn checked(&mut self, checked: Checked) {
        if let Some(checked) = self.executor.try_addresses(checked) {
            self.deploy(checked);
        }
    }

    pub(super) fn deploy(&mut self, checked: Checked) {
        match checked.specs {
            Ok((specs, accounts)) => {
                self.executor.accounts.clear();
                let accounts = accounts.into_iter().map(|(app, identity, account)| (app, (identity, account)));
                self.executor.accounts.extend(accounts);
                self.tell_who_listens();
                self.submit(Request::Deploy { specs }, checked.answer);
            }
            Err(refusal) => drop(checked.answer.send(Err(refusal))),
        }
    }

    pub(super) fn to_plan(&self, to_plan: ToPlan) {
        let _ = to_plan.answer.send(to_plan.specs.and_then(|specs| self.plan(&specs)));
    }

    fn plan(&self, specs: &[AppSpec]) -> Result<Vec<PlanLine>, Refusal> {
        let lines = self.world.plan(specs)?;
        Ok(lines.into_iter().map(|line| self.plan_line(line, specs)).collect())
    }

    fn plan_line(&self, line: CorePlanLine, specs: &[AppSpec]) -> PlanLine {
        let app = &line.instance.app;
        let new = specs.iter().find(|spec| spec.name == *app);
        let old = self.world.app(app);
        let changes = || match (&old, new) {
            (Some(old), Some(new)) => {
                let changes = config::diff(&old.spec, new);
                changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        };
        let (action, why) = match line.action {
            PlanAction::Start => ("start", changes()),
            PlanAction::Roll { order, why, from } => {
                let mut words = changes();
                if words.is_empty() {
                    words = format!("it runs revision {from}, which is not the newest");
                }
                if let Some(why) = why {
                    words = format!("{words}; old-first: {why}");
                }
                (if order == Replace::OldFirst { "roll-old-first" } else { "roll-new-first" }, words)
            }
            PlanAction::Unchanged => ("unchanged", String::new()),
            PlanAction::Stop => ("stop", changes()),
        };
        PlanLine { app: app.to_string(), instance: Some(line.instance.to_string()), action: action.to_owned(), why }
    }

    /// The instances a person points at, by app.
    fn chosen(&self, selectors: &[Selector]) -> Result<Vec<Chosen>, Refusal> {
        let wanted: Option<BTreeSet<InstanceId>> = match selectors {
            [] => None,
            _ => Some(self.world.select(selectors)?.into_iter().collect()),
        };
        let apps = self.world.snapshot().apps.into_iter().filter_map(|app| {
            let is_wanted = |slot: &InstanceView| wanted.as_ref().is_none_or(|wanted| wanted.contains(&slot.instance));
            let at: Vec<usize> = (0..app.slots.len()).filter(|at| is_wanted(&app.slots[*at])).collect();
            (wanted.is_none() || !at.is_empty()).then_some(Chosen { app, at })
        });
        Ok(apps.collect())
    }

    fn list(
        &self,
        selectors: &[Selector],
        measure: Measure,
        answer: oneshot::Sender<Result<Vec<InstanceStatus>, Refusal>>,
    ) {
        let chosen = match self.chosen(selectors) {
            Ok(chosen) => chosen,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let measuring = self.measure(
            &chosen,
            match measure {
                Measure::Nothing => None,
                Measure::Brief => Some(Depth::Brief),
                Measure::Full => Some(Depth::Row),
            },
        );
        tokio::spawn(async move {
            let now = clock::mono();
            // Made while the figures are collected, on another thread.
            let rows: Vec<InstanceStatus> = each(&chosen).map(|(app, slot)| row(app, slot, now)).collect();
            let measured = measuring.await;
            let rows = rows.into_iter().zip(measured).map(|(row, measured)| filled(row, measured));
            let _ = answer.send(Ok(rows.collect()));
        });
    }

    fn show(&self, selectors: &[Selector], answer: oneshot::Sender<Result<Vec<AppDetail>, Refusal>>) {
        let chosen = match self.chosen(selectors) {
            Ok(chosen) => chosen,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let files: HashMap<InstanceId, Vec<String>> = each(&chosen)
            .map(|(app, slot)| (slot.instance.clone(), self.executor.output.files(&slot.instance, &app.spec)))
            .collect();
        let mut remarks: HashMap<InstanceId, Vec<String>> = HashMap::new();
        for slot in chosen.iter().flat_map(Chosen::slots) {
            let run = slot.procs.first().map(|proc| proc.proc.run);
            remarks.insert(slot.instance.clone(), self.executor.port_notes(&slot.instance, run));
        }
        let listening: BTreeSet<InstanceId> =
            self.executor.runs.values().filter(|live| live.listens).map(|live| live.proc.instance.clone()).collect();
        let draining = self.executor.draining(clock::mono());
        let measuring = self.measure(&chosen, Some(Depth::Whole));
        tokio::spawn(async move {
            let mut measured = measuring.await.into_iter();
            let now = clock::mono();
            let details = chosen.iter().map(|one| (&one.app, one)).map(|(app, one)| AppDetail {
                name: app.spec.name.to_string(),
                namespace: app.spec.namespace.clone(),
                revision: app.revision.0,
                instances_wanted: app.instances,
                spec: config::to_raw(&app.spec),
                instances: one
                    .slots()
                    .map(|slot| {
                        let files = files.get(&slot.instance).cloned().unwrap_or_default();
                        let mut notes = notes(app, listening.contains(&slot.instance));
                        notes.extend(remarks.get(&slot.instance).into_iter().flatten().cloned());
                        let measured = measured.next().unwrap_or_default();
                        detail(app, slot, now, measured, files, draining.get(&slot.instance).cloned(), notes)
                    })
                    .collect(),
            });
            let _ = answer.send(Ok(details.collect()));
        });
    }

    fn logs(&self, query: &LogQuery) -> Result<std::os::fd::OwnedFd, Refusal> {
        let chosen = self.chosen(&query.selectors)?;
        let unavailable = |e: std::io::Error| Refusal::Unavailable(format!("logs cannot be sent: {e}"));
        let known: Vec<_> = each(&chosen)
            .map(|(app, slot)| {
                let live = slot.procs.first().and_then(|proc| self.executor.runs.get(&proc.proc.run));
                (slot.instance.clone(), Arc::clone(&app.spec), live.and_then(|live| live.account.clone()))
            })
            .collect();
        let stream = match (query.out, query.err) {
            (true, false) => Some(LogStream::Out),
            (false, true) => Some(LogStream::Err),
            _ => None,
        };
        let lines = (query.since.is_none() || query.lines != u32::MAX).then_some(u64::from(query.lines));
        let wanted = Wanted { stream, since: query.since, no_events: !query.events };
        let query = Query { lines, wanted, follow: query.follow };
        let (read, write) = std::io::pipe().map_err(unavailable)?;
        let selection = move || -> Selection {
            // Only a file elsewhere needs its user, and looking one up may take its time: here, on the reader's thread.
            let logs: Vec<_> = known
                .iter()
                .flat_map(|(instance, spec, account)| {
                    let outside = spec.log.out_file.is_some() || spec.log.error_file.is_some();
                    let looked_up =
                        if outside && account.is_none() { account::resolve(&spec.identity).ok() } else { None };
                    logs_of(instance, spec, account.as_ref().or(looked_up.as_ref()))
                })
                .collect();
            Box::new(move || logs.clone())
        };
        self.executor.output.send(selection, query, write.into()).map_err(unavailable)?;
        Ok(read.into())
    }

    fn flush(&self, selectors: &[Selector], answer: oneshot::Sender<Result<Vec<String>, Refusal>>) {
        if let Some(part) = selectors.iter().find(|s| !s.means_whole_apps()) {
            let text = format!("\"{part}\" is a part of an app, and flush empties all logs of an app: name the app");
            return drop(answer.send(Err(Refusal::Argument(text))));
        }
        let chosen = match self.chosen(selectors) {
            Ok(chosen) => chosen,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let mut files = Vec::new();
        let mut waits = Vec::new();
        for one in &chosen {
            let spec = &one.app.spec;
            waits.push((spec.name.clone(), self.executor.output.flush(&spec.name)));
            files.extend(one.slots().flat_map(|slot| self.executor.output.files(&slot.instance, spec)));
        }
        files.dedup();
        tokio::task::spawn_blocking(move || {
            let failed = waits.into_iter().find_map(|(app, done)| match done.recv() {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(format!("the logs of {app} could not be emptied: {e}")),
                Err(_) => Some("the daemon is going down".to_owned()),
            });
            let _ = answer.send(failed.map_or(Ok(files), |why| Err(Refusal::Unavailable(why))));
        });
    }
}

fn notes(app: &AppView, listens: bool) -> Vec<String> {
    match app.spec.replace {
        Replace::Auto if listens => {
            vec!["it listens on a port, so it is replaced old-first: two cannot share a port on this host".to_owned()]
        }
        Replace::Auto if !app.spec.share_ports => vec!["`share_ports` is off, so it is replaced old-first".to_owned()],
        _ => Vec::new(),
    }
}

/// Raw settings to specs, and a look at this host for what the specs name.
fn check(apps: &[RawApp], caller: Caller) -> Result<Sound, Refusal> {
    let specs = resolve(apps, caller)?;
    match account::check(&specs) {
        Ok(accounts) => Ok((specs, accounts)),
        Err(problems) => Err(Refusal::Config(problems.join("\n"))),
    }
}

/// The daemon has no PATH and no directory of its own to look into: the caller's side has made names absolute.
fn resolve(apps: &[RawApp], caller: Caller) -> Result<Vec<AppSpec>, Refusal> {
    let user = match identity::user_by_id(caller.uid) {
        Ok(Some(user)) => user.name,
        Ok(None) => caller.uid.to_string(),
        Err(e) => return Err(Refusal::Unavailable(format!("cannot look up uid {}: {e}", caller.uid))),
    };
    let authority = if caller.uid == 0 { Authority::Root } else { Authority::Owner };
    let context = Context {
        authority,
        default_user: Some(&user),
        base_dir: "/",
        cpus: priority::cpus(),
        unprivileged_port_start: listener::unprivileged_port_start(),
        profile: None,
        lookup: &|_| None,
        is_file: &|path| std::path::Path::new(path).is_file(),
    };
    let mut specs = BTreeMap::new();
    let mut problems = Vec::new();
    for raw in apps {
        match config::resolve(raw, None, &context) {
            Ok(spec) => match specs.entry(spec.name.clone()) {
                std::collections::btree_map::Entry::Occupied(_) => {
                    problems.push(format!("app {} is given twice", spec.name))
                }
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(spec)),
            },
            Err(errors) => problems.push(errors.to_string()),
        }
    }
    if apps.is_empty() {
        problems.push("no app is given".to_owned());
    }
    if problems.is_empty() { Ok(specs.into_values().collect()) } else { Err(Refusal::Config(problems.join("\n"))) }
}
