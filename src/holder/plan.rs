//! What the daemon wants started: a program and the primitive steps before it.
//! Owns: the plan, its bytes, and the order of the steps that make a process somebody else.
//! Never: knows why a plan is what it is.

use std::ffi::CString;

use crate::sys::child::MAX_FDS;
pub use crate::sys::child::{Instruction, Step};

pub use super::failure::{Failure, Stage};
use super::protocol::{CONFINES, OLDEST};
use super::wire::{Malformed, Reader, Result, Writer};

/// One process to be started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The file to execute; no PATH is searched.
    pub program: CString,
    /// argv, the program's own name first.
    pub args: Vec<CString>,
    /// The whole environment, as `K=V`.
    pub env: Vec<CString>,
    /// A v2 cgroup directory to be born in.
    pub cgroup: Option<CString>,
    /// Done in the child in this order, before exec.
    pub steps: Vec<Step>,
    pub stdout: Sink,
    pub stderr: Sink,
    /// `passed[n]` becomes fd 3 + n of the program.
    pub passed: Vec<Passed>,
}

/// Where an output stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sink {
    #[default]
    Null,
    /// A pipe of 1 MiB, whose read end the holder keeps. It is given to the uid of the plan's `SetUid`, so that the
    /// program can open /dev/stdout.
    Pipe,
}

/// An fd for the program beyond its standard streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// One end of a new stream socket pair, whose other end the holder keeps. At most one in a plan.
    Ipc,
    /// A copy of what is stored under this name.
    Stored(String),
}

/// Who a process becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Capabilities it keeps, as a mask. 0: root keeps what it has, anybody else nothing.
    pub capabilities: u64,
    /// What its bounding set is cut down to; None leaves it.
    pub bounding: Option<u64>,
    pub no_new_privs: bool,
}

impl Identity {
    /// The steps, in the one order that works: the bounding set and the groups need rights that the uid change takes
    /// away, the uid change takes the capabilities unless told otherwise, and ambient ones must be inheritable first.
    pub fn steps(&self) -> Vec<Step> {
        self.steps_with(Vec::new())
    }

    /// The same, with what root must do but with the groups that the process will have.
    pub fn steps_with(&self, before_uid: Vec<Step>) -> Vec<Step> {
        let capabilities = self.capabilities;
        let mut steps = Vec::with_capacity(8 + before_uid.len());
        if let Some(mask) = self.bounding {
            steps.push(Step::Bounding(mask));
        }
        steps.push(Step::SetGroups(self.groups.clone()));
        steps.push(Step::SetGid(self.gid));
        steps.extend(before_uid);
        if self.uid != 0 && capabilities != 0 {
            steps.push(Step::KeepCaps);
        }
        steps.push(Step::SetUid(self.uid));
        if capabilities != 0 {
            let (effective, permitted, inheritable) = (capabilities, capabilities, capabilities);
            steps.push(Step::Capabilities { effective, permitted, inheritable });
        }
        if self.uid != 0 && capabilities != 0 {
            steps.push(Step::Ambient(capabilities));
        }
        if self.no_new_privs {
            steps.push(Step::NoNewPrivs);
        }
        steps
    }
}

impl Plan {
    /// The oldest version of the protocol whose holder knows every step of it.
    pub fn version(&self) -> u32 {
        let confines = |step| Stage::of(step) >= Stage::MountNamespace;
        if self.steps.iter().any(confines) { CONFINES } else { OLDEST }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let strings = |out: &mut Writer, list: &[CString]| out.list(list, |out, string| out.bytes(string.as_bytes()));
        out.bytes(self.program.as_bytes());
        strings(out, &self.args);
        strings(out, &self.env);
        out.u8(self.cgroup.is_some().into());
        if let Some(cgroup) = &self.cgroup {
            out.bytes(cgroup.as_bytes());
        }
        out.list(&self.steps, write_step);
        out.u8((self.stdout == Sink::Pipe).into());
        out.u8((self.stderr == Sink::Pipe).into());
        out.list(&self.passed, |out, passed| match passed {
            Passed::Ipc => out.u8(0),
            Passed::Stored(name) => {
                out.u8(1);
                out.bytes(name.as_bytes());
            }
        });
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Plan> {
        let sink = |pipe| if pipe { Sink::Pipe } else { Sink::Null };
        let plan = Plan {
            program: from.c_string()?,
            args: from.list(Reader::c_string)?,
            env: from.list(Reader::c_string)?,
            cgroup: if from.flag()? { Some(from.c_string()?) } else { None },
            steps: from.list(read_step)?,
            stdout: sink(from.flag()?),
            stderr: sink(from.flag()?),
            passed: from.list(|from| match from.u8()? {
                0 => Ok(Passed::Ipc),
                1 => Ok(Passed::Stored(from.string()?)),
                _ => Err(Malformed("an unknown kind of passed fd")),
            })?,
        };
        if plan.passed.len() > MAX_FDS - 3 {
            return Err(Malformed("too many passed fds"));
        }
        if plan.passed.iter().filter(|passed| **passed == Passed::Ipc).count() > 1 {
            return Err(Malformed("more than one IPC channel"));
        }
        if plan.steps.iter().filter(|step| matches!(step, Step::OwnPid(_))).count() > 1 {
            return Err(Malformed("more than one variable for its pid"));
        }
        Ok(plan)
    }
}

fn write_step(out: &mut Writer, step: &Step) {
    out.u8(Stage::of(step) as u8);
    match step {
        Step::EnterCgroup(text) | Step::Chdir(text) | Step::OwnPid(text) => out.bytes(text.as_bytes()),
        Step::Keep(path) | Step::PutBack(path) => out.bytes(path.as_bytes()),
        Step::Setsid | Step::NoNewPrivs | Step::KeepCaps | Step::MountNamespace => {}
        Step::Umask(number) | Step::SetGid(number) | Step::SetUid(number) | Step::WalkAs(number) => out.u32(*number),
        Step::Nice(number) | Step::OomScoreAdj(number) => out.i32(*number),
        Step::Bounding(mask) | Step::Ambient(mask) => out.u64(*mask),
        Step::SetGroups(groups) => out.list(groups, |out, gid| out.u32(*gid)),
        Step::Rlimit { resource, soft, hard } => {
            out.u32(*resource);
            out.u64(*soft);
            out.u64(*hard);
        }
        Step::Capabilities { effective, permitted, inheritable } => {
            out.u64(*effective);
            out.u64(*permitted);
            out.u64(*inheritable);
        }
        Step::ReadOnly { path, must_exist } => {
            out.bytes(path.as_bytes());
            out.u8((*must_exist).into());
        }
        Step::Cover { path, options, read_only } => {
            out.bytes(path.as_bytes());
            out.bytes(options.as_bytes());
            out.u8((*read_only).into());
        }
        Step::Seccomp(program) => out.list(program, |out, Instruction { code, jt, jf, k }| {
            out.u32(u32::from(*code) << 16 | u32::from(*jt) << 8 | u32::from(*jf));
            out.u32(*k);
        }),
    }
}

fn read_step(from: &mut Reader<'_>) -> Result<Step> {
    Ok(match Stage::from_u8(from.u8()?)? {
        Stage::EnterCgroup => Step::EnterCgroup(from.c_string()?),
        Stage::Setsid => Step::Setsid,
        Stage::Umask => Step::Umask(from.u32()?),
        Stage::Rlimit => Step::Rlimit { resource: from.u32()?, soft: from.u64()?, hard: from.u64()? },
        Stage::Nice => Step::Nice(from.i32()?),
        Stage::OomScoreAdj => Step::OomScoreAdj(from.i32()?),
        Stage::Chdir => Step::Chdir(from.c_string()?),
        Stage::SetGroups => Step::SetGroups(from.list(Reader::u32)?),
        Stage::SetGid => Step::SetGid(from.u32()?),
        Stage::SetUid => Step::SetUid(from.u32()?),
        Stage::NoNewPrivs => Step::NoNewPrivs,
        Stage::KeepCaps => Step::KeepCaps,
        Stage::Bounding => Step::Bounding(from.u64()?),
        Stage::Capabilities => {
            Step::Capabilities { effective: from.u64()?, permitted: from.u64()?, inheritable: from.u64()? }
        }
        Stage::Ambient => Step::Ambient(from.u64()?),
        Stage::OwnPid => Step::OwnPid(from.c_string()?),
        Stage::MountNamespace => Step::MountNamespace,
        Stage::WalkAs => Step::WalkAs(from.u32()?),
        Stage::Keep => Step::Keep(from.c_string()?),
        Stage::PutBack => Step::PutBack(from.c_string()?),
        Stage::ReadOnly => Step::ReadOnly { path: from.c_string()?, must_exist: from.flag()? },
        Stage::Cover => Step::Cover { path: from.c_string()?, options: from.c_string()?, read_only: from.flag()? },
        Stage::Seccomp => Step::Seccomp(from.list(|from| {
            let (packed, k) = (from.u32()?, from.u32()?);
            let [jf, jt, low, high] = packed.to_le_bytes();
            Ok(Instruction { code: u16::from_le_bytes([low, high]), jt, jf, k })
        })?),
        Stage::Plan | Stage::Streams | Stage::Clone | Stage::Cgroup | Stage::Fds | Stage::Exec => {
            return Err(Malformed("a stage that is not a step"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_kept_over_the_uid_change_and_raised_after_it() {
        let identity = Identity {
            uid: 5,
            gid: 6,
            groups: vec![6],
            capabilities: 1 << 10,
            bounding: Some(1 << 10),
            no_new_privs: true,
        };
        let steps = identity.steps();
        let at = |wanted: &Step| steps.iter().position(|step| step == wanted).unwrap();
        assert!(at(&Step::Bounding(1 << 10)) < at(&Step::SetUid(5)));
        assert!(at(&Step::SetGroups(vec![6])) < at(&Step::SetGid(6)));
        assert!(at(&Step::KeepCaps) < at(&Step::SetUid(5)));
        assert!(at(&Step::SetUid(5)) < at(&Step::Ambient(1 << 10)));
        assert_eq!(steps.last(), Some(&Step::NoNewPrivs));
    }
}
