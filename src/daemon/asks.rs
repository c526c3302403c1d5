//! Requests and questions from the front doors.
//! Owns: turning raw settings into specs with the caller's rights, and collecting what a question is answered with.
//! Never: blocks the loop: what looks at files, users or many cgroups does so on a thread of its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::account::Account;
use super::describe::{detail, filled, row};
use super::driver::Driver;
use super::output::logs_of;
use super::sockets::Rights;
use super::told::Told;
use super::{account, boot, calendar, clock, doctor, specs};
use crate::api::{AppDetail, Ask, Asked, Caller, Job, LogQuery, Owners, PlanLine, Refusal};
use crate::config;
use crate::core::plan::{PlanAction, PlanLine as CorePlanLine};
use crate::logs::follow::{Query, Selection};
use crate::logs::source::Wanted;
use crate::metrics::meter::Depth;
use crate::model::ids::{AppName, InstanceId};
use crate::model::logframe::LogStream;
use crate::model::request::{Denied, Request, Whom};
use crate::model::selector::{Selector, Target};
use crate::model::spec::{AppSpec, Identity, LogFormat, Replace};
use crate::model::status::{AppView, InstanceStatus, InstanceView, Measure};

/// Specs that were looked at on this host, on their way to being deployed.
#[derive(Debug)]
pub struct Checked {
    pub(super) specs: Result<Sound, Refusal>,
    /// For the files of sockets.
    pub(super) rights: Rights,
    /// Of apps that are there already, these may be changed.
    pub(super) owners: Owners,
    pub(super) whom: Whom,
    pub(super) answer: oneshot::Sender<Result<Job, Refusal>>,
}

/// Specs to be compared with what runs.
#[derive(Debug)]
pub struct ToPlan {
    specs: Result<Vec<AppSpec>, Refusal>,
    owners: Owners,
    answer: oneshot::Sender<Result<Vec<PlanLine>, Refusal>>,
}

/// Specs that can run here, and whom each app runs as.
pub(super) type Sound = (Vec<AppSpec>, Vec<(AppName, Identity, Account)>);

/// An app, and those of its instances that a person pointed at.
#[derive(Debug)]
pub(super) struct Chosen {
    pub app: Arc<AppView>,
    /// Places in the app's slots.
    at: Vec<usize>,
}

impl Chosen {
    pub fn slots(&self) -> impl Iterator<Item = &InstanceView> {
        self.at.iter().map(|at| &self.app.slots[*at])
    }
}

/// Of each chosen instance its app and itself.
pub(super) fn each(chosen: &[Chosen]) -> impl Iterator<Item = (&AppView, &InstanceView)> {
    chosen.iter().flat_map(|one| one.slots().map(|slot| (&*one.app, slot)))
}

impl Driver {
    pub(super) fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Submit { request, owners, answer } => {
                let request = match self.narrow_request(request, &owners) {
                    Ok(request) => request,
                    Err(denied) => return drop(answer.send(Err(denied.into()))),
                };
                // A user may have been renamed, or have been given a group, since its app was last started.
                self.executor.accounts.clear();
                self.tell_who_listens();
                self.submit(request, answer);
            }
            Ask::Deploy { apps, caller, owners, answer } => {
                self.deploy_for(caller, owners, answer, move || specs::resolve(&apps, caller));
            }
            Ask::DeployFile { file, caller, owners, answer } => {
                self.deploy_for(caller, owners, answer, move || specs::load(&file, caller));
            }
            Ask::Check { file, caller, answer } => {
                tokio::task::spawn_blocking(move || {
                    let wrong = specs::check(specs::load(&file, caller)).err();
                    let _ = answer.send(wrong.map(|refusal| refusal.to_string()).into_iter().collect());
                });
            }
            Ask::AppsOf { file, caller, answer } => {
                tokio::task::spawn_blocking(move || {
                    let specs = specs::load(&file, caller);
                    answer.send(specs.map(|specs| specs.into_iter().map(|spec| spec.name.to_string()).collect()))
                });
            }
            Ask::Reload { answer } => {
                let (mode, tell) = (self.mode.clone(), self.executor.tell.clone());
                tokio::task::spawn_blocking(move || {
                    let _ = tell.send(Told::Files(Box::new(boot::to_deploy(&mode, answer))));
                });
            }
            Ask::Plan { apps, caller, owners, answer } => {
                let tell = self.executor.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let specs = specs::resolve(&apps, caller);
                    let _ = tell.send(Told::ToPlan(Box::new(ToPlan { specs, owners, answer })));
                });
            }
            Ask::List { asked, measure, answer } => self.list(&asked, measure, answer),
            Ask::Show { asked, answer } => self.show(&asked, answer),
            Ask::Metrics { owners, format, answer } => self.expose(owners, format, answer),
            Ask::Logs { query, owners, answer } => {
                let _ = answer.send(self.logs(query, owners));
            }
            Ask::Save { name, answer } => self.save_as(&name, answer),
            Ask::Resurrect { name, answer } => self.resurrect(&name, answer),
            Ask::Upgrade { answer } => {
                self.link.upgrade();
                let _ = answer.send(());
            }
            Ask::Flush { asked, answer } => self.flush(&asked, answer),
            Ask::Names { caller, answer } => {
                // The user database may be behind a network. Without it there is the number.
                tokio::task::spawn_blocking(move || {
                    let name = specs::user_of(caller).ok();
                    answer.send(name.into_iter().chain([caller.uid.to_string()]).collect())
                });
            }
            Ask::Doctor { answer } => {
                let (tree, dir) = (self.executor.tree.clone(), self.executor.output.dir().to_owned());
                let unable = self.executor.sharing.as_ref().err().map(ToString::to_string);
                tokio::task::spawn_blocking(move || answer.send(doctor::examine(&tree, &dir, unable)));
            }
        }
    }

    /// Has specs looked at on this host, away from the loop, and deployed.
    fn deploy_for(
        &self,
        caller: Caller,
        owners: Owners,
        answer: oneshot::Sender<Result<Job, Refusal>>,
        make: impl FnOnce() -> Result<Vec<AppSpec>, Refusal> + Send + 'static,
    ) {
        let tell = self.executor.tell.clone();
        tokio::task::spawn_blocking(move || {
            let specs = specs::check(make());
            let rights = if caller.uid == 0 { Rights::Root } else { Rights::User };
            let _ =
                tell.send(Told::Checked(Box::new(Checked { specs, rights, owners, whom: Whom::OfTheirFile, answer })));
        });
    }

    /// The request as it is for somebody to whom only some apps belong.
    fn narrow_request(&self, request: Request, owners: &Owners) -> Result<Request, Denied> {
        if *owners == Owners::Everybody {
            return Ok(request);
        }
        let narrow = |selectors: Vec<Selector>| self.world.narrow(&selectors, &|spec| owners.have(spec));
        Ok(match request {
            Request::Start { selectors } => Request::Start { selectors: narrow(selectors)? },
            Request::Stop { selectors } => Request::Stop { selectors: narrow(selectors)? },
            Request::Restart { selectors } => Request::Restart { selectors: narrow(selectors)? },
            Request::Kill { selectors } => Request::Kill { selectors: narrow(selectors)? },
            Request::Delete { selectors } => Request::Delete { selectors: narrow(selectors)? },
            Request::Reset { selectors } => Request::Reset { selectors: narrow(selectors)? },
            Request::Signal { selectors, signal } => Request::Signal { selectors: narrow(selectors)?, signal },
            Request::Scale { app, to } => {
                narrow(vec![Selector { generation: None, target: Target::App(app.clone()) }])?;
                Request::Scale { app, to }
            }
            // Specs are looked at when they have been resolved; nobody but the gate asks for a shutdown.
            Request::Deploy { .. } | Request::Shutdown => request,
        })
    }

    /// Somebody else has an app of that name.
    fn not_theirs(&self, specs: &[AppSpec], owners: &Owners) -> Option<Refusal> {
        let other = specs.iter().filter_map(|spec| self.world.app(&spec.name)).find(|app| !owners.have(&app.spec))?;
        let (app, user) = (other.spec.name.clone(), other.spec.identity.user.clone());
        Some(Denied::NotYours { app, user }.into())
    }

    /// The specs stood the test, or not. Sockets that they need are made first.
    pub(super) fn checked(&mut self, checked: Checked) {
        let theirs = checked.specs.as_ref().ok().and_then(|(specs, _)| self.not_theirs(specs, &checked.owners));
        let no_zone = || checked.specs.as_ref().ok().and_then(|(specs, _)| calendar::problem(specs));
        if let Some(refusal) = theirs.or_else(|| no_zone().map(Refusal::Config)) {
            return drop(checked.answer.send(Err(refusal)));
        }
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
                self.submit(Request::Deploy { specs, whom: checked.whom }, checked.answer);
            }
            Err(refusal) => drop(checked.answer.send(Err(refusal))),
        }
    }

    pub(super) fn to_plan(&self, to_plan: ToPlan) {
        let planned = to_plan.specs.and_then(|specs| match self.not_theirs(&specs, &to_plan.owners) {
            Some(refusal) => Err(refusal),
            None => self.plan(&specs),
        });
        let _ = to_plan.answer.send(planned);
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
            PlanAction::Schedule => ("schedule", changes()),
            PlanAction::Register => ("register", changes()),
            PlanAction::Stop => ("stop", changes()),
        };
        PlanLine { app: app.to_string(), instance: Some(line.instance.to_string()), action: action.to_owned(), why }
    }

    /// The instances a person points at, by app.
    pub(super) fn chosen(&self, Asked { selectors, owners }: &Asked) -> Result<Vec<Chosen>, Refusal> {
        let wanted: Option<BTreeSet<InstanceId>> = match (selectors.as_slice(), owners) {
            ([], _) => None,
            (selectors, Owners::Everybody) => Some(self.world.select(selectors)?.into_iter().collect()),
            (selectors, owners) => {
                let narrow = self.world.narrow(selectors, &|spec| owners.have(spec))?;
                Some(self.world.select(&narrow)?.into_iter().collect())
            }
        };
        let apps = self.world.snapshot().apps.into_iter().filter(|app| owners.have(&app.spec)).filter_map(|app| {
            let is_wanted = |slot: &InstanceView| wanted.as_ref().is_none_or(|wanted| wanted.contains(&slot.instance));
            let at: Vec<usize> = (0..app.slots.len()).filter(|at| is_wanted(&app.slots[*at])).collect();
            (wanted.is_none() || !at.is_empty()).then_some(Chosen { app, at })
        });
        Ok(apps.collect())
    }

    fn list(&self, asked: &Asked, measure: Measure, answer: oneshot::Sender<Result<Vec<InstanceStatus>, Refusal>>) {
        let chosen = match self.chosen(asked) {
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
            let now = clock::now();
            // Made while the figures are collected, on another thread.
            let rows: Vec<InstanceStatus> = each(&chosen).map(|(app, slot)| row(app, slot, now)).collect();
            let measured = measuring.await;
            let rows = rows.into_iter().zip(measured).map(|(row, measured)| filled(row, measured));
            let _ = answer.send(Ok(rows.collect()));
        });
    }

    fn show(&self, asked: &Asked, answer: oneshot::Sender<Result<Vec<AppDetail>, Refusal>>) {
        let chosen = match self.chosen(asked) {
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
            let now = clock::now();
            let details = chosen.iter().map(|one| (&one.app, one)).map(|(app, one)| AppDetail {
                name: app.spec.name.to_string(),
                namespace: app.spec.namespace.clone(),
                user: app.spec.identity.user.clone(),
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

    fn logs(&self, query: LogQuery, owners: Owners) -> Result<std::os::fd::OwnedFd, Refusal> {
        let chosen = self.chosen(&Asked { selectors: query.selectors, owners })?;
        let in_journal = chosen.iter().find(|one| one.app.spec.log.format == LogFormat::Journal);
        if let Some(one) = in_journal.filter(|_| chosen.iter().all(|one| one.app.spec.log.format == LogFormat::Journal))
        {
            let app = &one.app.spec.name;
            let text = format!("the lines of {app} go to the journal: journalctl STEAD_APP={app}");
            return Err(Refusal::Argument(text));
        }
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

    fn flush(&self, asked: &Asked, answer: oneshot::Sender<Result<Vec<String>, Refusal>>) {
        if let Some(part) = asked.selectors.iter().find(|s| !s.means_whole_apps()) {
            let text = format!("\"{part}\" is a part of an app, and flush empties all logs of an app: name the app");
            return drop(answer.send(Err(Refusal::Argument(text))));
        }
        let chosen = match self.chosen(asked) {
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
        Replace::Auto | Replace::ByPort if listens => {
            vec!["it listens on a port, so it is replaced old-first: two cannot share a port on this host".to_owned()]
        }
        Replace::Auto | Replace::ByPort if !app.spec.share_ports => {
            vec!["`share_ports` is off, so it is replaced old-first".to_owned()]
        }
        _ => Vec::new(),
    }
}
