//! Capabilities by name and as bits.
//! Owns: the translation between `CAP_NET_BIND_SERVICE`, its bit, and this process's sets.
//! Never: changes a set: that is for the child's steps.

use std::io;

use caps::{CapSet, Capability};

/// The bit of a capability named with or without `CAP_`, in any case. None if this kernel interface has no such name.
pub fn parse(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    full.parse::<Capability>().ok().map(|capability| capability.bitmask())
}

/// The names of the bits that have one.
pub fn names(mask: u64) -> Vec<String> {
    let mut found: Vec<Capability> =
        caps::all().into_iter().filter(|capability| mask & capability.bitmask() != 0).collect();
    found.sort_by_key(Capability::index);
    found.iter().map(ToString::to_string).collect()
}

/// What this thread may hand on at most.
pub fn permitted() -> io::Result<u64> {
    let set = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    Ok(set.iter().fold(0, |mask, capability| mask | capability.bitmask()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_are_two_spellings_of_one_thing() {
        assert_eq!(parse("CAP_NET_BIND_SERVICE"), Some(1 << 10));
        assert_eq!(parse("net_bind_service"), Some(1 << 10));
        assert_eq!(parse("CAP_FLY"), None);
        assert_eq!(names(1 | 1 << 10), ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]);
    }
}
