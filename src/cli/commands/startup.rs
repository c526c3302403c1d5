//! `startup` and `unstartup`: stead as a service of systemd, for who has built it from source.
//! Owns: what is written, in which order systemd is told, and the list of it by which all is taken back.
//! Never: does a package's work a second time, stops what runs, or overwrites what it has not written itself.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::{Mode, umask};

use super::super::exit::{Code, Failure, Result};
use super::super::install::{self, Item};
use super::super::launch;
use super::super::session::Session;
use super::super::talk;

/// What startup has written, a path a line.
const LIST: &str = "startup";

const UNIT: &str = "stead.service";

pub(super) fn startup(session: &Session, dry: bool) -> Result {
    refuse(session, "startup")?;
    if let Some(unit) = packaged() {
        return Err(Failure::failed(format!(
            "stead is installed as a package, with its service ({unit}): systemctl enable --now stead, or remove the \
             package first"
        )));
    }
    let holder = holder()?;
    let own = List::read(session)?;
    let items = install::items(&holder);
    for item in &items {
        refuse_stranger(item, &own)?;
    }
    warn_of_owner(session, &holder);
    let by_hand = launch::holder_lives(&session.paths) && !active();
    if dry {
        return rehearse(&items, by_hand);
    }
    // The bus and polkit read what is theirs as users of their own, whatever root's shell is set to.
    umask(Mode::from_bits_truncate(0o022));
    write(session, &items, own)?;
    // What these do, systemd does at each boot, too.
    quietly("systemd-sysusers", &["/etc/sysusers.d/stead.conf"]);
    quietly("systemd-tmpfiles", &["--create", "/etc/tmpfiles.d/stead.conf"]);
    quietly("journalctl", &["--update-catalog"]);
    quietly("systemctl", &["reload", "dbus.service"]);
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", UNIT])?;
    if by_hand {
        session.talk.note(
            "stead runs already, started by hand, and was left alone: from the next boot on it is a service. To make it \
             one now, which stops its apps and starts them again: stead shutdown && systemctl start stead",
        );
        return Ok(());
    }
    if active() {
        // No restart, which would stop the apps.
        systemctl(&["reload", UNIT])?;
        session
            .talk
            .note("stead is a service, as before; it runs from the programs on disk now, and no app was touched");
        return Ok(());
    }
    systemctl(&["start", UNIT])?;
    session.talk.note(
        "stead is a service: it runs, and will after a boot, with the apps that ran. To take it back: stead unstartup",
    );
    Ok(())
}

pub(super) fn unstartup(session: &Session, dry: bool) -> Result {
    refuse(session, "unstartup")?;
    let own = List::read(session)?;
    if own.paths.is_empty() {
        session.talk.note("startup has installed nothing here: nothing to do");
        return Ok(());
    }
    if active() {
        return Err(Failure::failed(
            "stead.service runs: systemctl stop stead, which stops every app, then stead unstartup. What ran starts again \
             with the next \"stead start\"",
        ));
    }
    let items = install::items(Path::new("/"));
    let config = |path: &Path| {
        items.iter().find_map(|item| match item {
            Item::Config(of, text) if of == path => Some(text.as_str()),
            Item::Config(..) | Item::File(..) | Item::Directory(_) => None,
        })
    };
    if dry {
        let lines = own.paths.iter().map(|path| format!("would remove {}\n", path.display()));
        return talk::print(&format!("would run systemctl disable {UNIT}\n{}", lines.collect::<String>()));
    }
    // A package that came later has a service of the same name, which stays as it is.
    if packaged().is_none() {
        quietly("systemctl", &["disable", UNIT]);
    }
    // What is in a directory goes before it.
    for path in own.paths.iter().rev() {
        let changed = |text: &str| fs::read_to_string(path).is_ok_and(|found| found != text);
        if config(path).is_some_and(changed) {
            session.talk.say(&format!("kept {}: you have changed it", path.display()));
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        match removed {
            Ok(()) => session.talk.say(&format!("removed {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                session.talk.say(&format!("kept {}: it is not empty", path.display()));
            }
            Err(error) => return Err(Failure::failed(format!("cannot remove {}: {error}", path.display()))),
        }
    }
    systemctl(&["daemon-reload"])?;
    own.forget()?;
    let service =
        if packaged().is_some() { "the package's service is what counts now" } else { "stead is no service any more" };
    let (state, log) = (session.paths.state.display(), session.paths.log.display());
    session.talk.note(&format!("{service}; {state} and {log} stay, and so does the group stead"));
    Ok(())
}

/// A package's unit, which is enabled, started and removed with the package.
fn packaged() -> Option<&'static str> {
    let units = ["/usr/lib/systemd/system/stead.service", "/lib/systemd/system/stead.service"];
    units.into_iter().find(|unit| Path::new(unit).exists())
}

/// Where there is nothing to be a service of.
fn refuse(session: &Session, verb: &str) -> Result {
    if !session.caller.root {
        return Err(Failure::new(Code::NotPermitted, format!("{verb} needs root: run sudo stead {verb}")));
    }
    if session.paths.private {
        return Err(Failure::usage(format!("{verb} is for the host's own stead: unset STEAD_RUNTIME_DIR")));
    }
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Failure::failed(format!(
            "systemd does not run this host, so there is nothing to {verb}: \"stead start\" starts stead in the background; \
             have whatever starts services here run stead-holder"
        )));
    }
    Ok(())
}

/// The program that systemd is to start: the one beside this program, and not where a link to it stands.
fn holder() -> Result<PathBuf> {
    let holder = launch::holder_program()?;
    let holder = fs::canonicalize(&holder)
        .map_err(|error| Failure::failed(format!("cannot tell where {} is: {error}", holder.display())))?;
    let daemon = holder.with_file_name("steadd");
    match [&daemon, Path::new("/usr/sbin/steadd"), Path::new("/usr/bin/steadd")].iter().any(|path| path.is_file()) {
        true => Ok(holder),
        false => Err(Failure::failed(format!(
            "steadd is not built: {} is missing. cargo build --release makes it",
            daemon.display()
        ))),
    }
}

/// systemd runs it as root, so whoever may change it is root.
fn warn_of_owner(session: &Session, holder: &Path) {
    let foreign = |path: &Path| fs::metadata(path).is_ok_and(|found| found.uid() != 0 || found.mode() & 0o022 != 0);
    // A sticky directory, as /tmp, lets nobody replace what is another's.
    let sticky = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| found.is_dir() && found.mode() & 0o1000 != 0 && found.uid() == 0)
    };
    if let Some(open) = holder.ancestors().find(|path| foreign(path) && !sticky(path)) {
        session.talk.note(&format!(
            "others than root may change {}, and with it what root runs at boot. Safer: install -m755 -t /usr/local/bin \
             stead steadd stead-holder, and startup from there",
            open.display()
        ));
    }
}

/// A file that somebody else has put there is theirs.
fn refuse_stranger(item: &Item, own: &List) -> Result {
    match item {
        Item::File(path, text) if !own.paths.contains(path) => match fs::read_to_string(path) {
            Ok(found) if found != *text => {
                let path = path.display();
                Err(Failure::failed(format!(
                    "{path} is there already, and is not what startup has written: move it away"
                )))
            }
            _ => Ok(()),
        },
        Item::File(..) | Item::Config(..) | Item::Directory(_) => Ok(()),
    }
}

fn rehearse(items: &[Item], by_hand: bool) -> Result {
    let lines = items.iter().map(|item| {
        let path = item.path().display();
        match item {
            Item::Config(..) if item.path().exists() => format!("would keep {path}\n"),
            Item::Directory(_) if item.path().is_dir() => format!("would keep {path}\n"),
            Item::Directory(_) => format!("would make {path}\n"),
            Item::File(..) | Item::Config(..) => format!("would write {path}\n"),
        }
    });
    let start = if by_hand { String::new() } else { format!("would run systemctl start {UNIT}\n") };
    let files: String = lines.collect();
    talk::print(&format!("{files}would run systemctl daemon-reload\nwould run systemctl enable {UNIT}\n{start}"))
}

/// The list first: what is written and not in it could not be taken back.
fn write(session: &Session, items: &[Item], mut own: List) -> Result {
    // A person's own settings stay as they are, whoever has written them first.
    let due = |item: &&Item| matches!(item, Item::File(..)) || !item.path().exists();
    let wanted: Vec<&Item> = items.iter().filter(due).collect();
    for item in &wanted {
        own.paths.extend(
            item.path().parent().filter(|parent| parent.ends_with("stead") && !parent.exists()).map(Path::to_path_buf),
        );
        own.paths.push(item.path().to_path_buf());
    }
    own.save()?;
    for item in wanted {
        let path = item.path();
        let cannot = |error: io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
        match item {
            Item::Directory(_) => fs::create_dir_all(path).map_err(cannot)?,
            Item::File(_, text) | Item::Config(_, text) => {
                if fs::read_to_string(path).is_ok_and(|found| found == *text) {
                    continue;
                }
                fs::create_dir_all(path.parent().unwrap_or(path))
                    .and_then(|()| fs::write(path, text))
                    .map_err(cannot)?;
            }
        }
        session.talk.say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The paths that startup has written, in the order in which it did.
struct List {
    file: PathBuf,
    paths: Vec<PathBuf>,
}

impl List {
    fn read(session: &Session) -> Result<List> {
        let file = session.paths.state.join(LIST);
        let paths = match fs::read_to_string(&file) {
            Ok(text) => text.lines().map(PathBuf::from).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::failed(format!("cannot read {}: {error}", file.display()))),
        };
        Ok(List { file, paths })
    }

    fn save(&mut self) -> Result {
        let mut seen = std::collections::BTreeSet::new();
        self.paths.retain(|path| seen.insert(path.clone()));
        let text: String = self.paths.iter().map(|path| format!("{}\n", path.display())).collect();
        let directory = self.file.parent().unwrap_or(&self.file);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.and_then(|()| fs::write(&self.file, text))
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", self.file.display())))
    }

    fn forget(self) -> Result {
        fs::remove_file(&self.file)
            .map_err(|error| Failure::failed(format!("cannot remove {}: {error}", self.file.display())))
    }
}

fn active() -> bool {
    let mut command = Command::new("systemctl");
    command.args(["--quiet", "is-active", UNIT]).status().is_ok_and(|status| status.success())
}

/// What helps where it is there, and is done by something else where it is not.
fn quietly(program: &str, args: &[&str]) {
    let _ = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn systemctl(args: &[&str]) -> Result {
    let line = format!("systemctl {}", args.join(" "));
    let output = Command::new("systemctl").args(args).output();
    let output = output.map_err(|error| Failure::new(Code::Failed, format!("cannot run {line}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::failed(format!("{line} failed: {}\nSee journalctl -u stead", said.trim_end())))
}
