//! The directory that all of stead's cgroups stand in, in every hierarchy that is used.
//! Owns: making it, enabling controllers from it downwards, and the list of runs below it.
//! Never: enables a controller above it, unless it stands right at the top of a mount and was made by us.

use std::io;
use std::path::{Path, PathBuf};

use super::host::{Controller, Host, Layout};
use super::run::RunCgroup;
use super::{Error, Result, make_dir, read, write};

/// `<base>` of the architecture.
#[derive(Debug, Clone)]
pub struct Base {
    host: Host,
    /// Below each mount point.
    name: PathBuf,
    /// We made it at the top of the mount, so the controllers of the top are ours to enable.
    owns_top: bool,
}

impl Base {
    /// Makes the base directly below the mount points: for hosts where nobody else manages cgroups, and for tests.
    pub fn create(host: &Host, name: &str) -> Result<Base> {
        let base = Base { host: host.clone(), name: name.into(), owns_top: true };
        base.make()?;
        Ok(base)
    }

    /// Takes a v2 directory that was delegated to us, by systemd as a rule. On a hybrid host the v1 hierarchies get a
    /// directory of the same path.
    pub fn adopt(host: &Host, path: &Path) -> Result<Base> {
        let outside = || Error::new(path, "use it as a base outside the v2 mount", io::ErrorKind::InvalidInput);
        let name = host.v2.as_deref().and_then(|mount| path.strip_prefix(mount).ok()).ok_or_else(outside)?;
        let base = Base { host: host.clone(), name: name.to_path_buf(), owns_top: false };
        base.make()?;
        Ok(base)
    }

    fn make(&self) -> Result<()> {
        // Directories of v1 are made when a run needs them: most hosts and most apps never do.
        let top = self.tracking().ok_or_else(|| {
            Error::new("/sys/fs/cgroup", "find a cgroup hierarchy to write to", io::ErrorKind::Unsupported)
        })?;
        std::fs::create_dir_all(&top).map_err(|error| Error::new(&top, "create the cgroup", error))
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The base in the v2 hierarchy.
    pub fn v2(&self) -> Option<PathBuf> {
        Some(self.host.v2.as_ref()?.join(&self.name))
    }

    fn v1(&self, controller: Controller) -> Option<PathBuf> {
        Some(self.host.v1_mount(controller)?.join(&self.name))
    }

    /// The base in the hierarchy that says which processes there are.
    fn tracking(&self) -> Option<PathBuf> {
        self.v2().or_else(|| self.v1(self.host.v1_tracker()?))
    }

    /// Makes the directories of a run: always where it is tracked, and in each v1 hierarchy that a need names, since
    /// entering one costs 10 ms. On v2 a need enables its controller, down to the run. Needs that no hierarchy offers are
    /// an error that says so, and then nothing is left of the run.
    pub fn make_run(&self, app: &str, run: &str, needs: &[Controller]) -> Result<RunCgroup> {
        let mut cgroup = RunCgroup::default();
        match self.make_in_each(app, run, needs, &mut cgroup) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // Nothing has entered it yet, so this fails only where making it did.
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    fn make_in_each(&self, app: &str, run: &str, needs: &[Controller], made: &mut RunCgroup) -> Result<()> {
        let relative = Path::new(app).join(run);
        if let Some(base) = self.v2() {
            if self.host.layout == Layout::Unified {
                self.enable(&base, app, needs)?;
            } else {
                make_dir(&base.join(app))?;
            }
            let dir = base.join(&relative);
            std::fs::create_dir(&dir).map_err(|error| Error::new(&dir, "create the cgroup", error))?;
            made.v2 = Some(dir);
        }
        for controller in Controller::ALL {
            if !needs.contains(&controller) && self.host.v1_tracker() != Some(controller) {
                continue;
            }
            // v2 has the freezer and CPU time for every cgroup.
            let in_v2 = self.host.v2_controllers.contains(&controller) || (made.v2.is_some() && !controller.is_v2());
            match self.v1(controller) {
                Some(base) => {
                    let dir = base.join(&relative);
                    std::fs::create_dir_all(&dir).map_err(|error| Error::new(&dir, "create the cgroup", error))?;
                    made.v1.push((controller, dir));
                }
                None if in_v2 => {}
                None => {
                    let place = self.tracking().unwrap_or_default();
                    return Err(Error::new(place, missing(controller), io::ErrorKind::Unsupported));
                }
            }
        }
        Ok(())
    }

    /// Every run that has a directory, as (app, run).
    pub fn runs(&self) -> Result<Vec<(String, String)>> {
        let mut runs = Vec::new();
        if let Some(base) = self.tracking() {
            for app in subdirectories(&base)? {
                for run in subdirectories(&base.join(&app))? {
                    runs.push((app.clone(), run));
                }
            }
        }
        Ok(runs)
    }

    /// A run that exists already, in whatever hierarchies it has a directory.
    pub fn find_run(&self, app: &str, run: &str) -> RunCgroup {
        let relative = Path::new(app).join(run);
        let exists = |base: Option<PathBuf>| base.map(|base| base.join(&relative)).filter(|dir| dir.is_dir());
        let v1 = Controller::ALL.into_iter();
        RunCgroup {
            v2: exists(self.v2()),
            v1: v1.filter_map(|controller| Some((controller, exists(self.v1(controller))?))).collect(),
        }
    }

    /// Removes an app's directory if no run is left in it.
    pub fn remove_app(&self, app: &str) {
        for dir in self.places() {
            // Runs that are left make it EBUSY, which is the answer looked for.
            let _ = std::fs::remove_dir(dir.join(app));
        }
    }

    /// Removes the base and every empty directory below it, where no process lives any more.
    pub fn remove(&self) {
        for dir in self.places() {
            for app in subdirectories(&dir).unwrap_or_default() {
                for run in subdirectories(&dir.join(&app)).unwrap_or_default() {
                    let _ = std::fs::remove_dir(dir.join(&app).join(run));
                }
                let _ = std::fs::remove_dir(dir.join(app));
            }
            let _ = std::fs::remove_dir(dir);
        }
    }

    fn places(&self) -> Vec<PathBuf> {
        let v1 = Controller::ALL.into_iter().filter_map(|controller| self.v1(controller));
        self.v2().into_iter().chain(v1).collect()
    }

    /// Top-down, as the kernel demands, each level only if a controller is missing there: the top of the mount if it is
    /// ours, the base, the app. The run itself is a leaf, so processes and controllers never meet.
    fn enable(&self, base: &Path, app: &str, needs: &[Controller]) -> Result<()> {
        let app = base.join(app);
        make_dir(&app)?;
        let wanted: Vec<Controller> = needs.iter().copied().filter(|controller| controller.is_v2()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        // The last level tells: a controller enabled there is enabled above.
        if missing_at(&app, &wanted)?.is_empty() {
            return Ok(());
        }
        let top = self.host.v2.as_deref().filter(|_| self.owns_top);
        for level in top.into_iter().chain([base, &app]) {
            for controller in missing_at(level, &wanted)? {
                let file = level.join("cgroup.subtree_control");
                write(&file, &format!("+{}", controller.name())).map_err(|error| {
                    match error.source.raw_os_error() {
                        Some(libc::EBUSY) => Error { what: "enable controllers where processes live", ..error },
                        Some(libc::ENOENT) => Error { what: missing(controller), ..error },
                        _ => Error { what: "enable a controller", ..error },
                    }
                })?;
            }
        }
        Ok(())
    }
}

fn missing(controller: Controller) -> &'static str {
    match controller {
        Controller::Memory => "limit memory: the controller `memory` is not available here",
        Controller::Pids => "limit tasks: the controller `pids` is not available here",
        Controller::Cpu => "limit CPU: the controller `cpu` is not available here",
        Controller::Cpuacct => "count CPU time: the controller `cpuacct` is not available here",
        Controller::Freezer => "freeze: the controller `freezer` is not available here",
    }
}

fn missing_at(level: &Path, wanted: &[Controller]) -> Result<Vec<Controller>> {
    let enabled = read(&level.join("cgroup.subtree_control"))?;
    let is_enabled = |controller: &Controller| enabled.split_ascii_whitespace().any(|name| name == controller.name());
    Ok(wanted.iter().copied().filter(|controller| !is_enabled(controller)).collect())
}

fn subdirectories(dir: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::new(dir, "list", error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}
