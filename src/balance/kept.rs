//! Programs and maps by their descriptors, for the holder: what it keeps goes on working while no daemon is there.
//! Owns: copies of descriptors by name, and turning them into maps again.
//! Never: speaks with the holder.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};

use super::object::Unable;

/// Raised when what one daemon writes into a map could be misread by another, or by a program that an earlier one loaded.
pub const LAYOUT: u32 = 1;

/// Descriptors by what they are.
pub type Kept = BTreeMap<String, OwnedFd>;

/// A map of an object that was just loaded, and a copy of its descriptor.
pub fn take<T>(programs: &mut Ebpf, name: &'static str, kept: &mut Kept) -> Result<T, Unable>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = programs.take_map(name).ok_or(Unable::Incomplete(name))?;
    let data = match &map {
        Map::Array(data) | Map::HashMap(data) | Map::RingBuf(data) | Map::ReusePortSockArray(data) => data,
        _ => return Err(Unable::Incomplete(name)),
    };
    kept.insert(name.to_owned(), data.fd().as_fd().try_clone_to_owned().map_err(refused)?);
    Ok(map.try_into()?)
}

/// A map that was kept.
pub fn resume<T>(kept: &mut Kept, name: &'static str) -> Result<T, Unable>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let fd = kept.remove(name).ok_or(Unable::Incomplete(name))?;
    Ok(Map::from_map_data(MapData::from_fd(fd)?)?.try_into()?)
}

pub fn refused(source: io::Error) -> Unable {
    Unable::Refused { what: "a descriptor cannot be copied", source }
}
