//! The cgroup tree that this daemon's apps live in.
//! Owns: where the base is, and which limits of a spec become which cgroup settings.
//! Never: puts a run into a v1 hierarchy that none of its keys needs; entering one costs 10 ms.

use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::mode::Mode;
use crate::model::ids::{AppName, ProcId};
use crate::model::spec::Limits as Wanted;
use crate::sys::cgroup::{Base, Controller, Error, Host, Layout, Limits, RunCgroup};

/// The apps' unit (units/stead-apps.service), whose delegated cgroup is theirs.
const APPS_UNIT: &str = "stead-apps.service";

/// Our own (units/stead.service), as systemd has it in /proc/self/cgroup.
const OWN_UNIT: &str = "stead.service";

/// The path of the delegated cgroup below the mount, in whatever slice the admin has both units: it lies beside our own.
/// None unless we are a service.
fn beside(own: &str) -> Option<String> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let slice = path.strip_suffix(OWN_UNIT).filter(|slice| slice.is_empty() || slice.ends_with('/'))?;
    Some(format!("{slice}{APPS_UNIT}"))
}

/// systemd has the apps' unit active as long as ours is, but removes a cgroup that is empty, and makes none anew for a
/// unit that has no process of its own.
fn is_there(delegated: &Path) -> bool {
    delegated.is_dir() || std::fs::create_dir(delegated).is_ok()
}

#[derive(Debug, Clone)]
pub struct Tree {
    pub host: Host,
    /// None where no cgroup can be written: then process groups and subreaping must do.
    base: Option<Base>,
    /// The base's path below the mounts, by which a process's /proc/PID/cgroup is recognised.
    path: String,
}

impl Tree {
    pub fn plant(mode: &Mode) -> Result<Self, Error> {
        let host = Host::detect();
        if host.layout == Layout::None {
            return Ok(Self { host, base: None, path: String::new() });
        }
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = beside(&own).filter(|_| !mode.private);
        let delegated = host.v2.as_ref().zip(path).map(|(v2, path)| (v2.join(&path), path));
        let (base, path) = match delegated.filter(|(dir, _)| is_there(dir)) {
            Some((dir, path)) => (Base::adopt(&host, &dir)?, format!("/{path}")),
            None => (Base::create(&host, &mode.base_cgroup())?, format!("/{}", mode.base_cgroup())),
        };
        Ok(Self { host, base: Some(base), path })
    }

    pub fn has_cgroups(&self) -> bool {
        self.base.is_some()
    }

    /// The base's path below the mounts; None without cgroups.
    pub fn path(&self) -> Option<&str> {
        self.base.as_ref().map(|_| self.path.as_str())
    }

    /// A fresh directory for a run, with its limits written before anything enters it.
    pub fn make(&self, proc: &ProcId, wanted: &Wanted) -> Result<RunCgroup, String> {
        let limits = self.limits(wanted);
        let Some(base) = &self.base else {
            return match limits.needs().first() {
                None => Ok(RunCgroup::default()),
                Some(controller) => Err(format!(
                    "its limits need the cgroup controller `{}`, and no cgroup can be written on this host: see stead doctor",
                    controller.name()
                )),
            };
        };
        let cgroup = proc.cgroup();
        let (app, run) = cgroup.split_once('/').unwrap_or((&cgroup, ""));
        let made = base.make_run(app, run, &limits.needs()).map_err(|error| error.to_string())?;
        match made.limit(&limits) {
            Ok(()) => Ok(made),
            Err(error) => {
                let _ = made.remove();
                Err(error.to_string())
            }
        }
    }

    fn limits(&self, wanted: &Wanted) -> Limits {
        Limits {
            memory_max: wanted.memory_max.map(|bytes| bytes.0),
            // v1 has usage thresholds instead, and needs the controller all the same.
            memory_high: wanted.max_memory_restart.map(|bytes| bytes.0),
            // Without this the limit would be on RAM only, and the rest would swap.
            memory_swap_max: wanted.memory_max.map(|_| wanted.memory_swap_max.map_or(0, |bytes| bytes.0)),
            oom_group: wanted.memory_max.is_some(),
            tasks_max: wanted.tasks_max,
            cpu_quota_us: wanted.cpu_max.map(|percent| u64::from(percent.0) * 1000),
            cpu_weight: wanted.cpu_weight.map(u64::from),
        }
    }

    /// Where a run stands, for people: below the mount it is tracked in.
    pub fn shown(&self, proc: &ProcId) -> Option<String> {
        Some(format!("{}/{}", self.path()?, proc.cgroup()))
    }

    /// The directory of a run, where it has one.
    pub fn find(&self, proc: &ProcId) -> RunCgroup {
        let cgroup = proc.cgroup();
        match (&self.base, cgroup.split_once('/')) {
            (Some(base), Some((app, run))) => base.find_run(app, run),
            _ => RunCgroup::default(),
        }
    }

    /// Every run that has a directory already, such as a daemon before us has left, by its name below the base.
    pub fn leftovers(&self) -> Vec<(String, RunCgroup)> {
        let Some(base) = &self.base else { return Vec::new() };
        let runs = base.runs().unwrap_or_default();
        runs.into_iter().map(|(app, run)| (format!("{app}/{run}"), base.find_run(&app, &run))).collect()
    }

    pub fn remove_app(&self, app: &AppName) {
        if let Some(base) = &self.base {
            base.remove_app(&format!("app-{app}"));
        }
    }

    pub fn remove(&self) {
        if let Some(base) = &self.base {
            base.remove();
        }
    }

    /// Where the apps are in the v2 hierarchy; None on a host without one.
    pub fn v2(&self) -> Option<PathBuf> {
        self.base.as_ref()?.v2()
    }

    /// The id of an app's v2 cgroup (the inode number of its directory).
    pub fn app_id(&self, app: &AppName) -> Option<u64> {
        let dir = self.v2()?.join(format!("app-{app}"));
        Some(std::fs::metadata(dir).ok()?.ino())
    }

    /// The name of the app whose cgroup has this id.
    pub fn app_of(&self, id: u64) -> Option<String> {
        let dirs = std::fs::read_dir(self.v2()?).ok()?.flatten();
        let mut names = dirs.filter(|dir| dir.ino() == id).filter_map(|dir| dir.file_name().into_string().ok());
        Some(names.next()?.strip_prefix("app-")?.to_owned())
    }

    /// The v2 base, for `doctor`.
    pub fn base_dir(&self) -> Option<PathBuf> {
        let base = self.base.as_ref()?;
        base.v2().or_else(|| Some(base.host().v1_mount(Controller::Freezer)?.join(self.path.trim_start_matches('/'))))
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn the_apps_unit_is_beside_our_own_in_whatever_slice() {
        let beside = |own: &str| beside(own).unwrap_or_default();
        assert_eq!(beside("0::/stead.slice/stead.service\n"), "stead.slice/stead-apps.service");
        assert_eq!(
            beside("1:name=systemd:/x\n0::/a.slice/a-b.slice/stead.service\n"),
            "a.slice/a-b.slice/stead-apps.service"
        );
        assert_eq!(beside("0::/stead.service\n"), "stead-apps.service");
        for other in [
            "0::/stead.slice/instead.service\n",
            "0::/user.slice/session-2.scope\n",
            "1:name=systemd:/stead.service\n",
            "",
        ] {
            assert_eq!(beside(other), "", "{other}");
        }
    }
}
