//! From a spec to the primitive steps a child takes before exec.
//! Owns: their order, and why it is so. Never: starts anything.

use std::ffi::{CString, NulError};

use super::account::Account;
use super::{sandbox, seccomp};
use crate::holder::plan::{Identity, Step};
use crate::model::spec::AppSpec;
use crate::sys::{capability, rlimit};

/// A setting the kernel interface cannot take. The error is a sentence.
fn nul(what: &str) -> impl FnOnce(NulError) -> String {
    move |_| format!("{what} contains a NUL byte")
}

pub fn c_string(text: &str, what: &str) -> Result<CString, String> {
    CString::new(text).map_err(nul(what))
}

/// The steps for a run of `spec` as `account`. `v1` are the `cgroup.procs` files of the v1 hierarchies it must enter.
pub fn steps(spec: &AppSpec, account: &Account, v1: Vec<CString>) -> Result<Vec<Step>, String> {
    let process = &spec.process;
    let mut steps = Vec::with_capacity(16 + v1.len());
    // First of all: what follows is charged to the run.
    for path in v1 {
        steps.push(Step::EnterCgroup(path));
    }
    // A session of its own: no terminal's signals, and a process group to kill where there are no cgroups.
    steps.push(Step::Setsid);
    steps.push(Step::Umask(process.umask));
    if let Some(nice) = process.nice {
        steps.push(Step::Nice(nice));
    }
    // The holder's own is low, and inherited (reference: trap 5); a process at -1000 survives its group's OOM kill. Before
    // any change of credentials: after one its files in /proc are root's.
    steps.push(Step::OomScoreAdj(process.oom_score_adj));
    let mut rlimits = Vec::with_capacity(process.rlimits.len());
    for (name, (soft, hard)) in &process.rlimits {
        let resource = rlimit::resource(name).ok_or_else(|| format!("`rlimits`: there is no resource \"{name}\""))?;
        let value = |limit: &Option<u64>| limit.unwrap_or(nix::libc::RLIM_INFINITY);
        rlimits.push(Step::Rlimit { resource, soft: value(soft), hard: value(hard) });
    }
    steps.extend(confined_identity(spec, account, rlimits)?);
    Ok(steps)
}

/// The steps of a probe: the same person, directory, cgroup and sandbox, without limits of its own. It does not enter
/// the mount namespace of the run: that is the app's to change, and what it would find there could be made up for it.
pub fn probe_steps(spec: &AppSpec, account: &Account, v1: Vec<CString>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for path in v1 {
        steps.push(Step::EnterCgroup(path));
    }
    steps.push(Step::Setsid);
    steps.push(Step::Umask(spec.process.umask));
    steps.push(Step::OomScoreAdj(spec.process.oom_score_adj));
    steps.extend(confined_identity(spec, account, Vec::new())?);
    Ok(steps)
}

/// From root of the host to the app's user in the app's sandbox:
///
/// 1. Its groups, so that paths of its own are looked for with exactly its rights.
/// 2. The mounts, while it is root. Its limits come after them: they take a few files that `nofile` may not allow.
/// 3. User, then capabilities, as `Identity` has it; then its directory, walked with its rights, among its mounts.
/// 4. Last the system call filter: nothing of the above has to pass it. The kernel takes it of a process without
///    CAP_SYS_ADMIN only with no_new_privs, so without that it comes before the user changes, and what follows must be
///    among what it lets pass (a test of `seccomp` says so).
fn confined_identity(spec: &AppSpec, account: &Account, rlimits: Vec<Step>) -> Result<Vec<Step>, String> {
    let filter = seccomp::program(&spec.sandbox)?.map(Step::Seccomp);
    let (late, early) = if spec.process.no_new_privs { (filter, None) } else { (None, filter) };
    let mut as_root = sandbox::steps(&spec.sandbox, account.uid)?;
    as_root.extend(rlimits);
    as_root.extend(early);
    let mut steps = identity(spec, account)?.steps_with(as_root);
    // After the change of user: the path is walked with the app's rights.
    steps.push(Step::Chdir(c_string(&spec.cwd, "`cwd`")?));
    steps.extend(late);
    Ok(steps)
}

/// Who the child becomes.
fn identity(spec: &AppSpec, account: &Account) -> Result<Identity, String> {
    let process = &spec.process;
    let mut wanted = 0;
    for name in &process.capabilities {
        wanted |=
            capability::parse(name).ok_or_else(|| format!("`capabilities`: there is no capability \"{name}\""))?;
    }
    // Root keeps what it has unless a list says what it needs. Without no_new_privs a set-user-ID program such as
    // ping(8) must still work, so the bounding set stays.
    let root = account.uid == 0;
    let cut = if root { wanted != 0 } else { process.no_new_privs };
    Ok(Identity {
        uid: account.uid,
        gid: account.gid,
        groups: account.groups.clone(),
        capabilities: wanted,
        bounding: cut.then_some(wanted),
        no_new_privs: process.no_new_privs,
    })
}
