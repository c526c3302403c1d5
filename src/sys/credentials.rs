//! Who a child is and what it may, changed between clone and exec.
//! Owns: what the steps of `child` about capabilities and the rights of path walks do.
//! Never: allocates, or calls those of libc's wrappers that look for other threads to change with this one.

use libc::{c_int, c_long, c_ulong};

use super::child::{Done, check};

pub(super) fn drop_bounding(keep: u64) -> Done {
    for capability in (0..64).filter(|bit| keep & (1 << bit) == 0) {
        // SAFETY: integers only.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability as c_ulong, 0, 0, 0) }.into()) {
            Ok(_) => {}
            // The kernel knows no capability of this number, and so none above it.
            Err(libc::EINVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(super) fn raise_ambient(raise: u64) -> Done {
    for capability in (0..64).filter(|bit| raise & (1 << bit) != 0) {
        let (raise, capability) = (libc::PR_CAP_AMBIENT_RAISE as c_ulong, capability as c_ulong);
        // SAFETY: integers only.
        check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0) }.into())?;
    }
    Ok(())
}

pub(super) fn walk_as(uid: u32) -> Done {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    // setfsuid(2) returns the former uid, whatever becomes of it; a second call that changes nothing tells.
    // SAFETY: integers only; -1 is nobody's uid.
    let now = unsafe {
        libc::syscall(libc::SYS_setfsuid, uid as c_long);
        libc::syscall(libc::SYS_setfsuid, -1 as c_long)
    };
    if now as u32 != uid {
        return Err(libc::EPERM);
    }
    // That takes the capabilities about files away, but in /proc those about processes open doors, too.
    let (permitted, inheritable) = capget()?;
    let effective = if uid == 0 { permitted } else { permitted & CAP_SYS_ADMIN };
    capset(effective, permitted, inheritable)
}

/// The third form of capset(2) and capget(2): two words of 32 capabilities each.
const VERSION_3: u32 = 0x2008_0522;

/// What is permitted, and what is inheritable.
fn capget() -> Result<(u64, u64), c_int> {
    let header: [u32; 2] = [VERSION_3, 0];
    let mut data = [0u32; 6];
    // SAFETY: as in `capset`; the kernel fills `data`.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    let mask = |low: usize| u64::from(data[low]) | u64::from(data[low + 3]) << 32;
    Ok((mask(1), mask(2)))
}

pub(super) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Done {
    let header: [u32; 2] = [VERSION_3, 0];
    let low = |mask: u64| mask as u32;
    let high = |mask: u64| (mask >> 32) as u32;
    let data: [u32; 6] =
        [low(effective), low(permitted), low(inheritable), high(effective), high(permitted), high(inheritable)];
    // SAFETY: header and data have the layout of the kernel's cap_user_header and two cap_user_data.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}
