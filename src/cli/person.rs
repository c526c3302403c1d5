//! Users and groups of this host, and what one of them may execute.
//! Owns: the answer by mode bits alone. Access control lists may say more; then the answer only sends the search on to
//! the next candidate, and exec(2) as the app's user has the last word.
//! Never: becomes anybody.

use std::ffi::CString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::model::spec::Identity;

/// Somebody other than root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    uid: u32,
    gids: Vec<u32>,
}

impl Person {
    /// None for root, who may do all of it, and for who does not exist.
    pub fn of(identity: &Identity) -> Option<Self> {
        let number = identity.user.parse::<u32>().ok();
        let user = match number {
            Some(uid) => User::from_uid(Uid::from_raw(uid)),
            None => User::from_name(&identity.user),
        };
        let user = user.ok().flatten();
        let uid = number.or(user.as_ref().map(|user| user.uid.as_raw())).filter(|uid| *uid != 0)?;
        let group = identity.group.as_deref().and_then(gid_of).or(user.as_ref().map(|user| user.gid.as_raw()));
        let mut gids: Vec<u32> = group.into_iter().collect();
        match (&identity.groups, user) {
            (Some(names), _) => gids.extend(names.iter().filter_map(|name| gid_of(name))),
            (None, Some(user)) => {
                let name = CString::new(user.name).ok();
                let all = name.and_then(|name| getgrouplist(&name, user.gid).ok()).unwrap_or_default();
                gids.extend(all.into_iter().map(Gid::as_raw));
            }
            (None, None) => {}
        }
        Some(Self { uid, gids })
    }

    /// Whether the file may be executed, and every directory on the way to it be passed: as it is written, and where
    /// its links lead.
    pub fn may_execute(&self, file: &Path) -> bool {
        let passes = |file: &Path| file.ancestors().all(|part| std::fs::metadata(part).is_ok_and(|m| self.has_x(&m)));
        passes(file) && std::fs::canonicalize(file).is_ok_and(|real| passes(&real))
    }

    /// The first class that fits decides, whatever the others say (path_resolution(7)).
    fn has_x(&self, metadata: &Metadata) -> bool {
        let bit = if metadata.uid() == self.uid {
            0o100
        } else if self.gids.contains(&metadata.gid()) {
            0o010
        } else {
            0o001
        };
        metadata.mode() & bit != 0
    }
}

/// A file that somebody may execute.
pub fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}

/// A number needs no entry: containers run as such.
pub fn is_user(user: &str) -> bool {
    user.parse::<u32>().is_ok() || matches!(User::from_name(user), Ok(Some(_)))
}

/// The same for a group.
pub fn is_group(group: &str) -> bool {
    gid_of(group).is_some()
}

fn gid_of(group: &str) -> Option<u32> {
    let number = group.parse::<u32>().ok();
    number.or_else(|| Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir_all, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn every_directory_on_the_way_counts_and_so_does_where_a_link_leads() {
        let base = std::env::temp_dir().join(format!("stead-person-{}", std::process::id()));
        let (closed, open) = (base.join("closed"), base.join("open"));
        create_dir_all(&closed).unwrap();
        create_dir_all(&open).unwrap();
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for directory in [&closed, &open] {
            write(directory.join("node"), "").unwrap();
            mode(&directory.join("node"), 0o755);
            mode(directory, 0o755);
        }
        symlink(closed.join("node"), open.join("link")).unwrap();
        mode(&base, 0o755);
        let owner = std::fs::metadata(&base).unwrap().uid();
        let stranger = Person { uid: owner + 4711, gids: Vec::new() };
        assert!(stranger.may_execute(&open.join("node")) && stranger.may_execute(&open.join("link")));
        mode(&closed, 0o700);
        assert!(!stranger.may_execute(&closed.join("node")) && !stranger.may_execute(&open.join("link")));
        assert!(Person { uid: owner, gids: Vec::new() }.may_execute(&open.join("link")));
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn root_is_nobody_who_must_be_asked() {
        let identity = |user: &str| Identity { user: user.to_owned(), group: None, groups: None };
        assert_eq!(Person::of(&identity("root")), None);
        assert_eq!(Person::of(&identity("0")), None);
        assert_eq!(Person::of(&identity("no-such-user")), None);
        assert_eq!(Person::of(&identity("4711")).map(|person| person.uid), Some(4711));
    }
}
