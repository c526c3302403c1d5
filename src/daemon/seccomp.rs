//! From an app's sandbox to the program that judges its system calls.
//! Owns: which calls no service needs, and what a refused one answers.
//! Never: loads the program; a step of the child does.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::holder::plan::Instruction;
use crate::model::sandbox::{Sandbox, Seccomp};

/// open_tree_attr(2), of Linux 6.15: one number on all architectures.
const SYS_OPEN_TREE_ATTR: i64 = 467;

/// What no service needs: systemd's `@system-service` leaves most of it out, too. Beyond that the key rings, which are
/// not divided by app, and process_vm_readv(2), which is ptrace(2) by another name.
const DENIED: &[i64] = &[
    // The file system's shape.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_pivot_root,
    libc::SYS_umount2,
    // The kernel itself.
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    // Clocks.
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    // The host.
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // Other processes.
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Doors of the kernel that exploits like best.
    libc::SYS_bpf,
    libc::SYS_open_by_handle_at,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_lookup_dcookie,
];

/// What only this architecture has: its hardware, and calls that new programs have better ones for.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[i64] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
/// kexec_file_load(2), which libc knows on some of the others only.
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[i64] = &[294];

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];
/// For unshare(2) only: in clone(2) the bit is part of the exit signal.
const CLONE_NEWTIME: i32 = 0x80;

/// Numbers from here on are those of the x32 ABI, under the same architecture: each is another name of a call.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// The program, if there is anything to judge.
pub fn program(sandbox: &Sandbox) -> Result<Option<Vec<Instruction>>, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    if sandbox.seccomp == Seccomp::Default {
        // No rule: whatever its arguments are.
        rules.extend(DENIED.iter().chain(DENIED_HERE).map(|call| (*call, Vec::new())));
    }
    let built = match sandbox.restrict_namespaces {
        true => namespace_rules().map(|more| rules.extend(more)),
        false => Ok(()),
    };
    if rules.is_empty() {
        return Ok(None);
    }
    let compiled = built.and_then(|()| compile(rules));
    let compiled = compiled.map_err(|error| format!("cannot make its system call filter: {error}"))?;
    Ok(Some(prologue(sandbox).into_iter().chain(compiled).collect()))
}

fn namespace_rules() -> Result<Vec<(i64, Vec<SeccompRule>)>, BackendError> {
    // The kernel looks at the lower half of the register only.
    let has = |flag: i32| {
        let flag = flag as u32 as u64;
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![condition])
    };
    let any = |flags: &[i32]| flags.iter().map(|flag| has(*flag)).collect::<Result<Vec<_>, _>>();
    Ok(vec![
        (libc::SYS_clone, any(&NAMESPACES)?),
        (libc::SYS_unshare, any(&[&NAMESPACES[..], &[CLONE_NEWTIME]].concat())?),
        // By a pidfd it enters several at once, with the same flags; by an fd of one, with none at all.
        (libc::SYS_setns, Vec::new()),
    ])
}

/// Kills on a call of another architecture, whose numbers mean something else: a 32-bit program that could not even
/// exit would spin.
fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>) -> Result<impl Iterator<Item = Instruction>, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?;
    Ok(program.into_iter().map(|of| Instruction { code: of.code, jt: of.jt, jf: of.jf, k: of.k }))
}

/// What answers ENOSYS, which a filter with one answer cannot have: numbers of the x32 ABI, as on a kernel without it;
/// and clone3(2), whose flags lie in memory, where no filter sees them.
fn prologue(sandbox: &Sandbox) -> Vec<Instruction> {
    const LOAD_NUMBER: Instruction = Instruction { code: 0x20, jt: 0, jf: 0, k: 0 };
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let no_such_call = Instruction { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32 };
    let mut program = vec![LOAD_NUMBER];
    #[cfg(target_arch = "x86_64")]
    {
        const JUMP_IF_AT_LEAST: u16 = 0x35;
        program.extend([Instruction { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: X32 }, no_such_call]);
    }
    if sandbox.restrict_namespaces {
        let clone3 = libc::SYS_clone3 as u32;
        program.extend([Instruction { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: clone3 }, no_such_call]);
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[cfg(target_arch = "x86_64")]
    const HERE: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const HERE: u32 = 0xc000_00b7;
    #[cfg(target_arch = "riscv64")]
    const HERE: u32 = 0xc000_00f3;

    /// What the kernel would make of a call: the instructions that seccompiler and `prologue` use.
    fn verdict(program: &[Instruction], arch: u32, call: i64, argument: u64) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let mut jump = |taken: bool| at += usize::from(if taken { jt } else { jf });
            match code {
                0x20 => {
                    value = match k {
                        0 => call as u32,
                        4 => arch,
                        16 => argument as u32,
                        20 => (argument >> 32) as u32,
                        other => panic!("a look at {other}"),
                    }
                }
                0x05 => at += k as usize,
                0x06 => return k,
                0x15 => jump(value == k),
                0x25 => jump(value > k),
                0x35 => jump(value >= k),
                0x54 => value &= k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn judged(sandbox: &Sandbox, call: i64, argument: u64) -> u32 {
        verdict(&program(sandbox).unwrap().unwrap(), HERE, call, argument)
    }

    fn all() -> Sandbox {
        Sandbox { restrict_namespaces: true, seccomp: Seccomp::Default, ..Sandbox::default() }
    }

    #[test]
    fn nothing_asked_for_is_nothing_loaded() {
        assert_eq!(program(&Sandbox::default()), Ok(None));
    }

    #[test]
    fn what_the_child_does_after_it_was_loaded_passes() {
        // KeepCaps to exec, and the report of a failure.
        for call in [
            libc::SYS_prctl,
            libc::SYS_setresuid,
            libc::SYS_capset,
            libc::SYS_chdir,
            libc::SYS_getpid,
            libc::SYS_prlimit64,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_execve,
            libc::SYS_write,
            libc::SYS_exit_group,
        ] {
            assert_eq!(judged(&all(), call, 0), ALLOW, "{call}");
        }
    }

    #[test]
    fn a_denied_call_is_refused_whatever_its_arguments() {
        for &call in DENIED.iter().chain(DENIED_HERE) {
            assert_eq!(judged(&all(), call, 0), EPERM, "{call}");
            assert_eq!(judged(&all(), call, u64::MAX), EPERM, "{call}");
            let namespaces_only = Sandbox { seccomp: Seccomp::None, ..all() };
            assert_eq!(judged(&namespaces_only, call, 0), ALLOW, "{call}");
        }
    }

    #[test]
    fn threads_are_made_and_namespaces_are_not() {
        let thread = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        let thread = thread as u32 as u64;
        assert_eq!(judged(&all(), libc::SYS_clone, thread), ALLOW);
        assert_eq!(judged(&all(), libc::SYS_clone, 0x80 | 17), ALLOW, "no namespace's bit in clone(2)");
        assert_eq!(judged(&all(), libc::SYS_unshare, libc::CLONE_FILES as u64), ALLOW);
        for flag in NAMESPACES {
            let flag = flag as u32 as u64;
            assert_eq!(judged(&all(), libc::SYS_clone, thread | flag), EPERM, "{flag:#x}");
            assert_eq!(judged(&all(), libc::SYS_unshare, flag), EPERM, "{flag:#x}");
            assert_eq!(judged(&all(), libc::SYS_unshare, flag | 1 << 40), EPERM, "{flag:#x}");
        }
        assert_eq!(judged(&all(), libc::SYS_unshare, CLONE_NEWTIME as u64), EPERM);
        assert_eq!(judged(&all(), libc::SYS_setns, 3), EPERM);
        assert_eq!(judged(&all(), libc::SYS_clone3, 0), ENOSYS);
        let calls_only = Sandbox { restrict_namespaces: false, ..all() };
        assert_eq!(judged(&calls_only, libc::SYS_clone3, 0), ALLOW);
    }

    #[test]
    fn another_architecture_has_no_calls_at_all() {
        const AUDIT_ARCH_I386: u32 = 0x4000_0003;
        let program = program(&all()).unwrap().unwrap();
        assert_eq!(verdict(&program, AUDIT_ARCH_I386, 20, 0), libc::SECCOMP_RET_KILL_PROCESS);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(verdict(&program, HERE, i64::from(X32) | libc::SYS_mount, 0), ENOSYS);
    }
}
