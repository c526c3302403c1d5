//! Users and groups, and acting as one of them.
//! Owns: lookups in the user database, supplementary groups, a thread with another user's rights.
//! Never: decides who may act as whom. Lookups may block (NSS), so they belong on a thread that may.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User};

/// One entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    pub home: PathBuf,
    pub shell: PathBuf,
}

impl From<User> for Account {
    fn from(user: User) -> Account {
        Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home: user.dir, shell: user.shell }
    }
}

/// A user by name, or by number if no user has that name. None if there is neither.
pub fn user(name: &str) -> io::Result<Option<Account>> {
    if let Some(user) = User::from_name(name)? {
        return Ok(Some(user.into()));
    }
    match name.parse() {
        Ok(uid) => user_by_id(uid),
        Err(_) => Ok(None),
    }
}

pub fn user_by_id(uid: u32) -> io::Result<Option<Account>> {
    Ok(User::from_uid(Uid::from_raw(uid))?.map(Account::from))
}

/// A group's number by name; a number stands for itself.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    if let Some(group) = Group::from_name(name)? {
        return Ok(Some(group.gid.as_raw()));
    }
    Ok(name.parse().ok())
}

pub fn group_name(gid: u32) -> io::Result<Option<String>> {
    Ok(Group::from_gid(Gid::from_raw(gid))?.map(|group| group.name))
}

/// Every group of a user, the one given among them.
pub fn groups_of(name: &str, gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let groups = nix::unistd::getgrouplist(&name, Gid::from_raw(gid))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Runs a closure with the rights of a user, on a thread of its own: the credentials of the process stay as they are.
/// For opening files that a user names: what they may not open is not opened, by whatever link or mount.
pub fn as_user<T: Send>(uid: u32, gid: u32, groups: &[u32], act: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("as-user".into()).spawn_scoped(scope, move || {
            become_user(uid, gid, groups)?;
            Ok(act())
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Of this thread only: libc's wrappers would change every thread. The effective ids are what files are opened with, and
/// leaving root takes the effective capabilities. The real and saved ids stay root's: by those a process may be signalled
/// (kill(2)), and a thread that a user may kill takes the whole daemon with it.
fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let check = |result: libc::c_long| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: integers, and a list of gids with its length. The thread ends with the closure, so the credentials that
    // differ from those of its siblings are seen by nothing else.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        check(libc::syscall(libc::SYS_setresgid, -1i64, gid, -1i64))?;
        check(libc::syscall(libc::SYS_setresuid, -1i64, uid, -1i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!(user("root").unwrap().unwrap().uid, 0);
        assert_eq!(user("0").unwrap().unwrap().name, "root");
        assert_eq!(user("no-such-user-here").unwrap(), None);
        assert_eq!(group("root").unwrap(), Some(0));
        assert_eq!(group("4711").unwrap(), Some(4711));
        assert!(groups_of("root", 0).unwrap().contains(&0));
    }

    #[test]
    fn a_closure_has_the_rights_of_its_user_and_the_process_keeps_its_own() {
        if !Uid::effective().is_root() {
            return;
        }
        let denied = as_user(65534, 65534, &[65534], || std::fs::read("/etc/shadow").unwrap_err().kind()).unwrap();
        assert_eq!(denied, io::ErrorKind::PermissionDenied);
        assert!(std::fs::read("/etc/shadow").is_ok());
        assert!(Uid::effective().is_root());
    }
}
