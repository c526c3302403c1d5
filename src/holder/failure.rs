//! A spawn that came to nothing, and how that is said.
//! Owns: the stages of a spawn, their numbers on the wire, and the sentence for each.
//! Never: knows why a plan is what it is.

use std::fmt;

use nix::errno::Errno;

use crate::sys::child::{At, Step};

use super::plan::Plan;
use super::wire::{Malformed, Result};

/// What a spawn was at when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    Plan = 0,
    Streams = 1,
    Clone = 2,
    Cgroup = 3,
    Fds = 4,
    EnterCgroup = 5,
    Setsid = 6,
    Umask = 7,
    Rlimit = 8,
    Nice = 9,
    OomScoreAdj = 10,
    Chdir = 11,
    SetGroups = 12,
    SetGid = 13,
    SetUid = 14,
    NoNewPrivs = 15,
    KeepCaps = 16,
    Bounding = 17,
    Capabilities = 18,
    Ambient = 19,
    Exec = 20,
    OwnPid = 21,
    MountNamespace = 22,
    WalkAs = 23,
    Keep = 24,
    PutBack = 25,
    ReadOnly = 26,
    Cover = 27,
    Seccomp = 28,
}

/// Every stage and how it is said; the argument of the step follows the words, or stands where the dots are.
pub(super) const STAGES: [(Stage, &str); 29] = [
    (Stage::Plan, "cannot find what it is to be given"),
    (Stage::Streams, "cannot make its pipes"),
    (Stage::Clone, "cannot make a process"),
    (Stage::Cgroup, "cannot make a process in cgroup"),
    (Stage::Fds, "cannot put its file descriptors in place"),
    (Stage::EnterCgroup, "cannot enter cgroup"),
    (Stage::Setsid, "cannot begin a session"),
    (Stage::Umask, "cannot set the umask"),
    (Stage::Rlimit, "cannot set the resource limit"),
    (Stage::Nice, "cannot set the nice value"),
    (Stage::OomScoreAdj, "cannot set the OOM score adjustment"),
    (Stage::Chdir, "cannot change to directory"),
    (Stage::SetGroups, "cannot set the supplementary groups"),
    (Stage::SetGid, "cannot become group"),
    (Stage::SetUid, "cannot become user"),
    (Stage::NoNewPrivs, "cannot set no_new_privs"),
    (Stage::KeepCaps, "cannot keep capabilities"),
    (Stage::Bounding, "cannot drop capabilities"),
    (Stage::Capabilities, "cannot set capabilities"),
    (Stage::Ambient, "cannot give capabilities"),
    (Stage::Exec, "cannot execute"),
    (Stage::OwnPid, "cannot tell it its own pid"),
    (Stage::MountNamespace, "cannot make a mount namespace"),
    (Stage::WalkAs, "cannot look for its paths as user"),
    (Stage::Keep, "cannot leave … as it is"),
    (Stage::PutBack, "cannot leave … as it is"),
    (Stage::ReadOnly, "cannot make … read-only"),
    (Stage::Cover, "cannot mount a tmpfs over"),
    (Stage::Seccomp, "cannot load its system call filter"),
];

impl Stage {
    pub(super) fn from_u8(number: u8) -> Result<Stage> {
        STAGES.get(usize::from(number)).map(|(stage, _)| *stage).ok_or(Malformed("an unknown stage"))
    }

    pub(super) fn of(step: &Step) -> Stage {
        match step {
            Step::EnterCgroup(_) => Stage::EnterCgroup,
            Step::Setsid => Stage::Setsid,
            Step::Umask(_) => Stage::Umask,
            Step::Rlimit { .. } => Stage::Rlimit,
            Step::Nice(_) => Stage::Nice,
            Step::OomScoreAdj(_) => Stage::OomScoreAdj,
            Step::Chdir(_) => Stage::Chdir,
            Step::SetGroups(_) => Stage::SetGroups,
            Step::SetGid(_) => Stage::SetGid,
            Step::SetUid(_) => Stage::SetUid,
            Step::NoNewPrivs => Stage::NoNewPrivs,
            Step::KeepCaps => Stage::KeepCaps,
            Step::Bounding(_) => Stage::Bounding,
            Step::Capabilities { .. } => Stage::Capabilities,
            Step::Ambient(_) => Stage::Ambient,
            Step::OwnPid(_) => Stage::OwnPid,
            Step::MountNamespace => Stage::MountNamespace,
            Step::WalkAs(_) => Stage::WalkAs,
            Step::Keep(_) => Stage::Keep,
            Step::PutBack(_) => Stage::PutBack,
            Step::ReadOnly { .. } => Stage::ReadOnly,
            Step::Cover { .. } => Stage::Cover,
            Step::Seccomp(_) => Stage::Seccomp,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(STAGES[*self as usize].1)
    }
}

/// A spawn that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub stage: Stage,
    pub errno: i32,
    /// Which of the plan's steps it was, if it was one.
    pub step: Option<u32>,
}

impl Failure {
    /// Of something before the clone.
    pub fn before(stage: Stage, errno: i32) -> Failure {
        Failure { stage, errno, step: None }
    }

    pub(super) fn from_child(failure: crate::sys::child::Failure, plan: &Plan) -> Failure {
        let errno = failure.errno;
        let (stage, step) = match failure.at {
            At::Clone => (Stage::Clone, None),
            At::Cgroup => (Stage::Cgroup, None),
            At::Fds => (Stage::Fds, None),
            At::Exec => (Stage::Exec, None),
            // The holder adds a limit of open files at the end.
            At::Step(index) => (plan.steps.get(index as usize).map_or(Stage::Rlimit, Stage::of), Some(index)),
        };
        Failure { stage, errno, step }
    }

    /// "cannot change to directory /srv/x: No such file or directory".
    pub fn sentence(&self, plan: &Plan) -> String {
        let argument = match self.stage {
            Stage::Exec => Some(plan.program.to_string_lossy().into_owned()),
            Stage::Cgroup => plan.cgroup.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
            _ => self.step.and_then(|index| plan.steps.get(index as usize)).and_then(argument),
        };
        let reason = match (self.errno, self.stage) {
            // "Try again" would be no help.
            (libc::EAGAIN, Stage::Clone | Stage::Cgroup | Stage::Exec) => {
                "no more processes are allowed (pids.max of a cgroup, RLIMIT_NPROC of the user, or kernel.pid_max)"
            }
            // open_tree(2) is of 5.2, mount_setattr(2) of 5.12. Without the latter only the topmost mount could be made
            // read-only, and what is mounted below it would stay open behind the person's back.
            (libc::ENOSYS, Stage::Keep | Stage::PutBack | Stage::ReadOnly) => "this takes Linux 5.12",
            (libc::ELOOP, Stage::Keep | Stage::PutBack | Stage::ReadOnly) => {
                "too many symbolic links, or one of /proc that leads into a process"
            }
            (libc::ESTALE, Stage::PutBack) => "something else has taken its place meanwhile",
            (libc::EINVAL, Stage::MountNamespace) => "stead runs in a chroot, where no mount can hide another",
            (libc::EINVAL, Stage::Seccomp) => "this kernel has no seccomp filters",
            (errno, _) => Errno::from_raw(errno).desc(),
        };
        let words = self.stage.to_string();
        match argument {
            Some(argument) if words.contains('…') => format!("{}: {reason}", words.replace('…', &argument)),
            Some(argument) => format!("{words} {argument}: {reason}"),
            None => format!("{words}: {reason}"),
        }
    }
}

/// What a person knows a step by.
fn argument(step: &Step) -> Option<String> {
    match step {
        Step::EnterCgroup(path) | Step::Chdir(path) => Some(path.to_string_lossy().into_owned()),
        Step::Nice(number) | Step::OomScoreAdj(number) => Some(number.to_string()),
        Step::SetGid(id) | Step::SetUid(id) | Step::WalkAs(id) => Some(id.to_string()),
        Step::Keep(path) | Step::PutBack(path) | Step::ReadOnly { path, .. } | Step::Cover { path, .. } => {
            Some(path.to_string_lossy().into_owned())
        }
        Step::Umask(mask) => Some(format!("{mask:04o}")),
        Step::Rlimit { resource, .. } => crate::sys::rlimit::name(*resource).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_with_its_argument_and_reason() {
        let plan = Plan {
            program: c"/srv/run".into(),
            steps: vec![Step::Setsid, Step::Chdir(c"/srv/x".into()), Step::Umask(0o27)],
            ..Plan::default()
        };
        let said = |stage, step| Failure { stage, errno: 2, step }.sentence(&plan);
        assert_eq!(said(Stage::Chdir, Some(1)), "cannot change to directory /srv/x: No such file or directory");
        assert_eq!(said(Stage::Umask, Some(2)), "cannot set the umask 0027: No such file or directory");
        assert_eq!(said(Stage::Exec, None), "cannot execute /srv/run: No such file or directory");
        assert_eq!(said(Stage::Clone, None), "cannot make a process: No such file or directory");
    }

    #[test]
    fn what_an_old_kernel_lacks_is_named_by_the_version_that_has_it() {
        let read_only = Step::ReadOnly { path: c"/srv".into(), must_exist: true };
        let plan = Plan { steps: vec![read_only, Step::Seccomp(vec![])], ..Plan::default() };
        let said = |stage, errno, step| Failure { stage, errno, step: Some(step) }.sentence(&plan);
        assert_eq!(said(Stage::ReadOnly, libc::ENOENT, 0), "cannot make /srv read-only: No such file or directory");
        assert_eq!(said(Stage::ReadOnly, libc::ENOSYS, 0), "cannot make /srv read-only: this takes Linux 5.12");
        let filter = "cannot load its system call filter: this kernel has no seccomp filters";
        assert_eq!(said(Stage::Seccomp, libc::EINVAL, 1), filter);
    }

    #[test]
    fn every_stage_stands_at_its_number() {
        for (number, (stage, _)) in STAGES.iter().enumerate() {
            assert_eq!(*stage as usize, number);
        }
    }
}
