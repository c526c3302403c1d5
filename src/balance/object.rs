//! Loading the BPF programs that are committed beside this file.
//! Owns: the loader, and why it may be refused.
//! Never: compiles; `build` does, for who changes the C.

use std::io;

use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError, EbpfLoader};

use crate::sys::memory;

/// SO_REUSEPORT in a bind hook came with Linux 5.13, migration by program with 5.14.
const NEEDED: (u32, u32) = (5, 14);

/// Why instances cannot share ports on this host.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    #[error("Linux {0} cannot do it: 5.14 or newer can")]
    Kernel(String),
    #[error("there is no cgroup v2 hierarchy, which the BPF programs are attached to")]
    NoTree,
    #[error("BPF is refused: {what}: {source}")]
    Refused { what: &'static str, source: io::Error },
    #[error("the kernel does not take the BPF program: {0}")]
    Program(#[from] ProgramError),
    #[error("the kernel does not take the BPF maps: {0}")]
    Maps(#[from] EbpfError),
    #[error("a BPF map cannot be written: {0}")]
    Map(#[from] aya::maps::MapError),
    #[error("the BPF object has no {0}")]
    Incomplete(&'static str),
}

/// Loads objects, one or many times.
#[derive(Debug)]
pub struct Loader(EbpfLoader<'static>);

impl Loader {
    /// Fails where no program could be loaded anyway.
    pub fn new() -> Result<Self, Unable> {
        let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        let release = release.unwrap_or_default();
        if version(&release) < NEEDED {
            return Err(Unable::Kernel(release));
        }
        let mut loader = EbpfLoader::new();
        // It has read the kernel's own types, megabytes of them, for relocations that these programs do not have.
        loader.btf(None);
        memory::give_back();
        Ok(Self(loader))
    }

    pub fn load(&mut self, object: &'static [u8]) -> Result<Ebpf, Unable> {
        Ok(self.0.load(object)?)
    }
}

fn version(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(version("5.14.0-427.el9.x86_64"), (5, 14));
        assert!(version("5.9.16") < NEEDED && version("6.1") > NEEDED && version("5.10.0-33-amd64") < NEEDED);
        assert_eq!(version("strange"), (0, 0));
    }
}
