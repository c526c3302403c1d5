//! Who asks, and what they may have done: the rules of the key table apart, every right is decided here.
//! Owns: the callers' uids, the questions to polkit, and the words of its refusals.
//! Never: trusts a process id. A caller on the bus is known by its unique name, which the bus gives to nobody else again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use regex_lite::Regex;
use zbus::message::{Flags, Header};
use zbus::names::{OwnedUniqueName, UniqueName};
use zbus::{Connection, fdo};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::error::{Error, ErrorKind};
use crate::api::{Caller, Handle, Owners};
use crate::model::ids::AppName;
use crate::model::selector::{Selector, Target};
use crate::model::status::{AppView, Snapshot};

/// What polkit is asked about: `units/org.stead.Stead1.policy` says who may by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    ManageOwnApps,
    ManageAllApps,
    ViewLogs,
    ManageDaemon,
}

impl Action {
    pub const ALL: [Self; 4] = [Self::ManageOwnApps, Self::ManageAllApps, Self::ViewLogs, Self::ManageDaemon];

    pub fn id(self) -> &'static str {
        match self {
            Self::ManageOwnApps => "org.stead.Stead1.manage-own-apps",
            Self::ManageAllApps => "org.stead.Stead1.manage-all-apps",
            Self::ViewLogs => "org.stead.Stead1.view-logs",
            Self::ManageDaemon => "org.stead.Stead1.manage-daemon",
        }
    }
}

/// Which way a peer came in, and so how much is known of it.
#[derive(Debug, Clone, Copy)]
pub enum Door {
    /// The socket told who it is when it connected.
    Private(Caller),
    /// Many senders share the connection; each message is looked up.
    System,
}

/// As many callers are remembered. It is forgotten all at once: who calls again is asked for again.
const CALLERS: usize = 256;

/// Decides for one connection.
#[derive(Debug)]
pub struct Gate {
    pub(super) handle: Handle,
    door: Door,
    callers: Mutex<HashMap<OwnedUniqueName, u32>>,
}

/// A call, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub connection: &'a Connection,
    pub header: &'a Header<'a>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub caller: Caller,
    /// The names by which specs may call them. None: root, to whom all is open.
    users: Option<BTreeSet<String>>,
}

impl Person {
    pub fn is_root(&self) -> bool {
        self.users.is_none()
    }

    /// Whose apps are theirs.
    pub fn owners(&self) -> Owners {
        self.owners_and(BTreeMap::new())
    }

    /// Those, and apps of others that they were allowed.
    fn owners_and(&self, apps: BTreeMap<AppName, String>) -> Owners {
        self.users.clone().map_or(Owners::Everybody, |users| Owners::These { users, apps })
    }
}

impl Gate {
    pub fn new(handle: Handle, door: Door) -> Self {
        Self { handle, door, callers: Mutex::default() }
    }

    pub(super) fn is_private(&self) -> bool {
        matches!(self.door, Door::Private(_))
    }

    pub(super) async fn person(&self, call: Call<'_>) -> Result<Person, Error> {
        match self.door {
            // Nobody else is let in there.
            Door::Private(caller) => Ok(Person { caller, users: None }),
            Door::System => {
                let uid = self.uid(call.connection, call.header.sender()).await?;
                let caller = Caller { uid };
                if uid == 0 {
                    return Ok(Person { caller, users: None });
                }
                Ok(Person { caller, users: Some(self.handle.names(caller).await?) })
            }
        }
    }

    async fn uid(&self, connection: &Connection, sender: Option<&UniqueName<'_>>) -> Result<u32, Error> {
        let unknown = || access_denied("the bus does not say who asks");
        let sender = sender.ok_or_else(unknown)?;
        let known = self.callers.lock().unwrap_or_else(PoisonError::into_inner).get(sender.as_str()).copied();
        if let Some(uid) = known {
            return Ok(uid);
        }
        let bus = fdo::DBusProxy::new(connection).await.map_err(|_| unknown())?;
        let uid = bus.get_connection_unix_user(sender.to_owned().into()).await.map_err(|_| unknown())?;
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CALLERS {
            callers.clear();
        }
        callers.insert(sender.to_owned().into(), uid);
        Ok(uid)
    }

    /// Something is to be done with the selected apps: whose of them may be touched.
    pub(super) async fn manage(
        &self,
        call: Call<'_>,
        verb: &'static str,
        selectors: &[Selector],
    ) -> Result<(Person, Owners), Error> {
        let person = self.person(call).await?;
        let Some(users) = &person.users else { return Ok((person, Owners::Everybody)) };
        let Meant { own, others } = meant(&self.handle.snapshot(), selectors, users);
        if let Some((app, user)) = others.first_key_value() {
            let about = About { verb, apps: &join(others.keys()), user };
            let words = format!("{app} runs as {user}, and is managed by {user} and root alone");
            self.authorize(call, Action::ManageAllApps, about, &words).await?;
        }
        let owners = if own.is_empty() {
            // There is nothing to be allowed, and what there is by the time it is looked for, nobody was asked about.
            Owners::These { users: BTreeSet::new(), apps: others }
        } else {
            self.manage_own(call, verb, &join(own.iter()), users).await?;
            person.owners_and(others)
        };
        Ok((person, owners))
    }

    /// Apps are to be deployed for whoever asks.
    pub(super) async fn deploy(&self, call: Call<'_>, apps: &[String]) -> Result<(Caller, Owners), Error> {
        let person = self.person(call).await?;
        if let Some(users) = &person.users {
            self.manage_own(call, "start", &apps.join(","), users).await?;
        }
        Ok((person.caller, person.owners()))
    }

    async fn manage_own(
        &self,
        call: Call<'_>,
        verb: &'static str,
        apps: &str,
        users: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let user = users.iter().find(|name| !name.bytes().all(|b| b.is_ascii_digit())).or(users.first());
        let about = About { verb, apps, user: user.map_or("", String::as_str) };
        let words = format!("to {verb} apps that outlive your session needs an administrator's leave");
        self.authorize(call, Action::ManageOwnApps, about, &words).await
    }

    /// A question about the selected apps: whose of them may be told of.
    pub(super) async fn view(&self, call: Call<'_>, selectors: &[Selector]) -> Result<(Person, Owners), Error> {
        let person = self.person(call).await?;
        let Some(users) = &person.users else { return Ok((person, Owners::Everybody)) };
        let Meant { others, .. } = meant(&self.handle.snapshot(), selectors, users);
        let about = |apps| About { verb: "view", apps, user: "" };
        let owners = match others.first_key_value() {
            Some((app, user)) => {
                let words = format!("{app} runs as {user}, and is shown to {user} and root alone");
                self.authorize(call, Action::ViewLogs, about(&join(others.keys())), &words).await?;
                person.owners_and(others)
            }
            // Asked for everything, and shown what is theirs unless somebody has said that they see all.
            None => match self.may(call, Action::ViewLogs, about(""), false).await {
                Ok(true) => Owners::Everybody,
                Ok(false) | Err(_) => person.owners(),
            },
        };
        Ok((person, owners))
    }

    /// Something that concerns everybody's apps, or stead itself.
    pub(super) async fn daemon(&self, call: Call<'_>, verb: &'static str) -> Result<Person, Error> {
        let person = self.person(call).await?;
        if !person.is_root() {
            let about = About { verb, apps: "", user: "" };
            self.authorize(call, Action::ManageDaemon, about, "that concerns the apps of everybody").await?;
        }
        Ok(person)
    }

    async fn authorize(&self, call: Call<'_>, action: Action, about: About<'_>, words: &str) -> Result<(), Error> {
        let interactive = call.header.primary().flags().contains(Flags::AllowInteractiveAuth);
        match self.may(call, action, about, interactive).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(access_denied(format!("{words} ({}): run it with sudo", action.id()))),
            Err(error) => {
                tracing::debug!("polkit: {error}");
                Err(access_denied(format!(
                    "{words}, and polkit, which could allow it, does not answer: run it with sudo"
                )))
            }
        }
    }

    async fn may(&self, call: Call<'_>, action: Action, about: About<'_>, interactive: bool) -> zbus::Result<bool> {
        let authority = AuthorityProxy::builder(call.connection).build().await?;
        let subject = Subject::new_for_message_header(call.header).map_err(|e| zbus::Error::Failure(e.to_string()))?;
        let details = HashMap::from([("verb", about.verb), ("app", about.apps), ("user", about.user)]);
        let details = details.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let flags = if interactive { CheckAuthorizationFlags::AllowUserInteraction.into() } else { Default::default() };
        Ok(authority.check_authorization(&subject, action.id(), &details, flags, "").await?.is_authorized)
    }

    /// Whether a property of somebody's app may be read. Without a header nobody in particular asks: what goes out is a
    /// signal, and the bus policy says who gets those.
    pub(super) async fn may_read(
        &self,
        connection: &Connection,
        header: Option<&Header<'_>>,
        owns: impl Fn(&Owners) -> bool,
    ) -> fdo::Result<()> {
        let Some(header) = header else { return Ok(()) };
        let person = self.person(Call { connection, header }).await.map_err(fdo_error)?;
        if owns(&person.owners()) {
            return Ok(());
        }
        let about = About { verb: "view", apps: "", user: "" };
        match self.may(Call { connection, header }, Action::ViewLogs, about, false).await {
            Ok(true) => Ok(()),
            _ => Err(fdo::Error::AccessDenied("it is shown to its user and root alone".to_owned())),
        }
    }
}

/// What polkit's rules are told.
struct About<'a> {
    verb: &'a str,
    apps: &'a str,
    user: &'a str,
}

pub(super) fn access_denied(text: impl Into<String>) -> Error {
    Error { kind: ErrorKind::AccessDenied, text: text.into() }
}

pub(super) fn fdo_error(error: Error) -> fdo::Error {
    match error.kind {
        ErrorKind::AccessDenied => fdo::Error::AccessDenied(error.text),
        _ => fdo::Error::Failed(error.text),
    }
}

fn join<'a>(apps: impl Iterator<Item = &'a AppName>) -> String {
    apps.map(AppName::as_str).collect::<Vec<_>>().join(",")
}

/// The apps that selectors mean for somebody.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meant {
    own: BTreeSet<AppName>,
    /// Others', each with its user: only those that are named, for "all" means all of one's own.
    others: BTreeMap<AppName, String>,
}

fn meant(snapshot: &Snapshot, selectors: &[Selector], users: &BTreeSet<String>) -> Meant {
    let mut meant = Meant::default();
    for selector in selectors {
        let how = Pointing::new(&selector.target);
        for app in &snapshot.apps {
            let spec = &app.spec;
            match (how.at(app), users.contains(&spec.identity.user)) {
                (At::Named, false) => drop(meant.others.insert(spec.name.clone(), spec.identity.user.clone())),
                (At::Named | At::Among, true) => drop(meant.own.insert(spec.name.clone())),
                (At::Among, false) | (At::Not, _) => {}
            }
        }
    }
    meant
}

/// How a selector points at an app.
enum At {
    Not,
    /// It points at many, this one among them.
    Among,
    /// It names this app, or something of it.
    Named,
}

struct Pointing<'a> {
    target: &'a Target,
    pattern: Option<Regex>,
}

impl<'a> Pointing<'a> {
    fn new(target: &'a Target) -> Self {
        let pattern = match target {
            // One that cannot be is refused later, in words.
            Target::Pattern(pattern) => Regex::new(pattern).ok(),
            _ => None,
        };
        Self { target, pattern }
    }

    fn at(&self, app: &AppView) -> At {
        let named = match self.target {
            Target::All => return At::Among,
            Target::Pattern(_) => {
                let fits = self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(app.spec.name.as_str()));
                return if fits { At::Among } else { At::Not };
            }
            Target::Namespace(name) => return if app.spec.namespace == *name { At::Among } else { At::Not },
            Target::App(name) => app.spec.name == *name,
            Target::Instance(instance) => app.spec.name == instance.app,
            Target::Id(id) => app.slots.iter().any(|slot| slot.id == *id),
            Target::Pid(pid) => app.slots.iter().flat_map(|slot| &slot.procs).any(|proc| proc.pid == Some(*pid)),
        };
        if named { At::Named } else { At::Not }
    }
}
