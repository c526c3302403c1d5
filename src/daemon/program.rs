//! From a spec to the primitive steps a child takes before exec.
//! Owns: their order, and why it is so. Never: starts anything.

use std::ffi::{CString, NulError};

use super::account::Account;
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
    for (name, (soft, hard)) in &process.rlimits {
        let resource = rlimit::resource(name).ok_or_else(|| format!("`rlimits`: there is no resource \"{name}\""))?;
        let value = |limit: &Option<u64>| limit.unwrap_or(nix::libc::RLIM_INFINITY);
        steps.push(Step::Rlimit { resource, soft: value(soft), hard: value(hard) });
    }
    if let Some(nice) = process.nice {
        steps.push(Step::Nice(nice));
    }
    // The holder's own is low, and inherited (reference: trap 5); a process at -1000 survives its group's OOM kill.
    steps.push(Step::OomScoreAdj(process.oom_score_adj));
    steps.extend(identity_steps(spec, account)?);
    // After the change of user: the path is walked with the app's rights.
    steps.push(Step::Chdir(c_string(&spec.cwd, "`cwd`")?));
    Ok(steps)
}

/// The steps of a probe: the same person, directory and cgroup, without limits of its own.
pub fn probe_steps(spec: &AppSpec, account: &Account, v1: Vec<CString>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for path in v1 {
        steps.push(Step::EnterCgroup(path));
    }
    steps.push(Step::Setsid);
    steps.push(Step::Umask(spec.process.umask));
    steps.push(Step::OomScoreAdj(spec.process.oom_score_adj));
    steps.extend(identity_steps(spec, account)?);
    steps.push(Step::Chdir(c_string(&spec.cwd, "`cwd`")?));
    Ok(steps)
}

/// Who the child becomes.
fn identity_steps(spec: &AppSpec, account: &Account) -> Result<Vec<Step>, String> {
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
    let identity = Identity {
        uid: account.uid,
        gid: account.gid,
        groups: account.groups.clone(),
        capabilities: wanted,
        bounding: cut.then_some(wanted),
        no_new_privs: process.no_new_privs,
    };
    Ok(identity.steps())
}
