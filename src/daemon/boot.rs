//! `apps.d`: the apps that packages and admins have put there to run from boot on.
//! Owns: which files count, whose files they may be, and what of them is new.
//! Never: lets a file that is wrong keep another from counting, or starts what a person has stopped.
//!
//! Read when the machine has come up, and not when a daemon comes after another: a crash deploys nothing.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::account;
use super::asks::Checked;
use super::driver::Driver;
use super::mode::Mode;
use super::sockets::Rights;
use super::specs::About;
use super::told::Told;
use crate::api::{Job, Owners, Refusal};
use crate::config::{self, Authority, Source};
use crate::model::ids::AppName;
use crate::model::request::Whom;
use crate::model::spec::AppSpec;

/// What packages bring. A file of the same name in the config directory takes its place, as with systemd's units.
const VENDOR: &str = "/usr/lib/stead/apps.d";

/// The apps of one file.
#[derive(Debug)]
pub struct AppFile {
    pub path: PathBuf,
    pub specs: Vec<AppSpec>,
}

/// Files that somebody wants deployed.
#[derive(Debug)]
pub struct ToDeploy {
    files: Result<Vec<AppFile>, Refusal>,
    answer: oneshot::Sender<Result<Job, Refusal>>,
}

pub(super) fn to_deploy(mode: &Mode, answer: oneshot::Sender<Result<Job, Refusal>>) -> ToDeploy {
    let (files, wrong) = read_files(mode);
    let files = if wrong.is_empty() { Ok(files) } else { Err(Refusal::Config(wrong.join("\n"))) };
    ToDeploy { files, answer }
}

/// Every file that is right, in the order of their names. What is wrong with others is logged.
pub fn read_apps(mode: &Mode) -> Vec<AppFile> {
    let (files, wrong) = read_files(mode);
    wrong.iter().for_each(|wrong| tracing::error!("not started:\n{wrong}"));
    files
}

/// Every file that is right, and what is wrong with others.
fn read_files(mode: &Mode) -> (Vec<AppFile>, Vec<String>) {
    let (mut paths, mut wrong) = (BTreeMap::new(), Vec::new());
    let own = mode.config.join("apps.d");
    let vendor = (!mode.private).then(|| PathBuf::from(VENDOR));
    for dir in vendor.iter().chain([&own]) {
        match names(dir) {
            Ok(names) => paths.extend(names.into_iter().map(|name| (name.clone(), dir.join(name)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => wrong.push(format!("{}: {error}", dir.display())),
        }
    }
    let mut taken: BTreeMap<AppName, PathBuf> = BTreeMap::new();
    let mut files = Vec::new();
    for path in paths.into_values() {
        let specs = read(&path).and_then(|specs| {
            let twice = specs.iter().find_map(|spec| taken.get_key_value(&spec.name));
            match twice {
                Some((name, first)) => {
                    Err(format!("{}: app {name} stands in {}, too, which counts", path.display(), first.display()))
                }
                None => Ok(specs),
            }
        });
        match specs {
            Ok(specs) => {
                taken.extend(specs.iter().map(|spec| (spec.name.clone(), path.clone())));
                files.push(AppFile { path, specs });
            }
            Err(error) => wrong.push(error),
        }
    }
    (files, wrong)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        // What editors and package managers leave beside a file does not end like this.
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(".toml")
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<AppSpec>, String> {
    let shown = path.display();
    let seen = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if let Some(wrong) = not_roots(&seen) {
        return Err(format!("{shown}: {wrong}, and what is in it could run as anybody: chown root, chmod go-w"));
    }
    let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    let source = Source::from_bytes(path.to_string_lossy(), bytes).map_err(|errors| errors.to_string())?;
    let base = path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    // As root only if the file says so.
    let about = About { authority: Authority::Root, user: None, base_dir: &base, profile: None };
    config::load(source, &about.context()).map_err(|errors| errors.to_string())
}

fn not_roots(seen: &Metadata) -> Option<&'static str> {
    if seen.uid() != 0 {
        return Some("it is not root's");
    }
    (seen.mode() & 0o022 != 0).then_some("others than root may write it")
}

impl Driver {
    /// Has the apps of the files run that are new, or not as they were. What runs already as its file says is brought up
    /// by itself, and what a person has stopped stays stopped.
    pub fn deploy_files(&mut self, files: Vec<AppFile>) {
        for AppFile { path, specs } in files {
            let specs = self.unlike(specs);
            if specs.is_empty() {
                continue;
            }
            let shown = path.display().to_string();
            match account::check(&specs) {
                Ok(accounts) => {
                    let (answer, answered) = oneshot::channel();
                    let specs = Ok((specs, accounts));
                    let whom = Whom::OfTheirFile;
                    self.checked(Checked { specs, rights: Rights::Root, owners: Owners::Everybody, whom, answer });
                    tokio::spawn(async move {
                        if let Ok(Err(refusal)) = answered.await {
                            tracing::error!("{shown}: not started: {refusal}");
                        }
                    });
                }
                Err(problems) => tracing::error!("{shown}: not started:\n{}", problems.join("\n")),
            }
        }
    }

    /// The same, of files that were read because somebody asked for it: all or none.
    pub(super) fn deploy_files_for(&mut self, ToDeploy { files, answer }: ToDeploy) {
        let files = match files {
            Ok(files) => files,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let specs = self.unlike(files.into_iter().flat_map(|file| file.specs).collect());
        let tell = self.executor.tell.clone();
        tokio::task::spawn_blocking(move || {
            let checked = account::check(&specs).map_err(|problems| Refusal::Config(problems.join("\n")));
            let specs = checked.map(|accounts| (specs, accounts));
            let whom = Whom::OfTheirFile;
            let checked = Checked { specs, rights: Rights::Root, owners: Owners::Everybody, whom, answer };
            let _ = tell.send(Told::Checked(Box::new(checked)));
        });
    }

    fn unlike(&self, specs: Vec<AppSpec>) -> Vec<AppSpec> {
        let known = self.world.desired().apps;
        let wanted = |spec: &AppSpec| known.get(&spec.name).is_none_or(|app| app.is_wanted_up() && *app.spec != *spec);
        specs.into_iter().filter(wanted).collect()
    }
}
