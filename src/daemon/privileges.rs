//! What of root's power the daemon keeps.
//! Owns: the list, with a reason for each. Never: takes anything from apps: those come from the holder, which keeps all,
//! since an app may be given any of it.

use caps::{CapSet, Capability, CapsHashSet};

/// What is needed, and for what (capabilities(7)).
pub const KEPT: [(Capability, &str); 13] = [
    (Capability::CAP_BPF, "programs and maps that share ports"),
    (Capability::CAP_PERFMON, "programs that look at kernel structures"),
    (Capability::CAP_NET_ADMIN, "attaching them, and asking for sockets"),
    (Capability::CAP_NET_BIND_SERVICE, "addresses below port 1024 in listen"),
    (Capability::CAP_SYS_PTRACE, "sockets and figures of processes of others"),
    (Capability::CAP_SYS_RESOURCE, "limits of its own, and memory of maps"),
    (Capability::CAP_SETUID, "files that are opened as an app's user"),
    (Capability::CAP_SETGID, "the same, with the user's groups"),
    (Capability::CAP_CHOWN, "logs and sockets that belong to an app's group and user"),
    (Capability::CAP_FOWNER, "modes of those"),
    (Capability::CAP_DAC_OVERRIDE, "directories of others in which sockets stand"),
    (Capability::CAP_DAC_READ_SEARCH, "programs and scripts that are looked for"),
    (Capability::CAP_KILL, "processes of others, where there is no cgroup.kill"),
];

/// Gives up the rest, for good. Before any thread is begun: a thread's capabilities are its own. Without root there is
/// nothing to give up.
pub fn give_up_the_rest() -> Result<(), caps::errors::CapsError> {
    let wanted: CapsHashSet = KEPT.iter().map(|(capability, _)| *capability).collect();
    let had = caps::read(None, CapSet::Permitted)?;
    if had.is_empty() {
        return Ok(());
    }
    let kept: CapsHashSet = had.intersection(&wanted).copied().collect();
    if had.contains(&Capability::CAP_SETPCAP) {
        for other in caps::read(None, CapSet::Bounding)?.difference(&wanted) {
            caps::drop(None, CapSet::Bounding, *other)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

/// Those that it has now.
pub fn held() -> Vec<String> {
    let mut held: Vec<String> =
        caps::read(None, CapSet::Effective).unwrap_or_default().iter().map(ToString::to_string).collect();
    held.sort_unstable();
    held
}
