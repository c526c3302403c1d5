//! What a run uses.
//! Owns: memory in parts, peak, CPU time and task count, from whichever version counts them.
//! Never: makes up a figure: what no controller counts here is None, and comes from procfs instead.

use super::host::Controller;
use super::run::RunCgroup;
use super::{Result, optional, parse, read, read_number};

/// Memory charged to a cgroup, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it, page cache included.
    pub current: u64,
    /// Since Linux 5.19 on v2.
    pub peak: Option<u64>,
    pub anon: u64,
    /// Page cache, tmpfs included.
    pub file: u64,
    pub shmem: u64,
    pub swap: u64,
    /// Kernel memory that the kernel cannot give back. 0 on v1, which does not tell it from the rest.
    pub kernel_unreclaimable: u64,
    /// Page cache not used lately.
    pub inactive_file: u64,
}

impl Memory {
    /// What an app holds and no pressure takes from it: what `max_memory_restart` is about.
    pub fn held(&self) -> u64 {
        self.anon + self.shmem + self.swap + self.kernel_unreclaimable
    }
}

/// CPU time of a cgroup, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    pub usage_us: u64,
    pub throttled_us: u64,
}

impl RunCgroup {
    /// None where no memory controller counts this run.
    pub fn memory(&self) -> Result<Option<Memory>> {
        if let Some(dir) = self.v1(Controller::Memory) {
            let Some(text) = optional(read(&dir.join("memory.stat")))? else { return Ok(None) };
            let stat = parse::keyed(&text);
            let of = |key: &str| stat.get(key).copied().unwrap_or(0);
            return Ok(Some(Memory {
                current: read_number(&dir.join("memory.usage_in_bytes"))?,
                peak: optional(read_number(&dir.join("memory.max_usage_in_bytes")))?,
                anon: of("total_rss"),
                file: of("total_cache"),
                shmem: of("total_shmem"),
                swap: of("total_swap"),
                // Not told apart from what the kernel could give back, so it does not count.
                kernel_unreclaimable: 0,
                inactive_file: of("total_inactive_file"),
            }));
        }
        let Some(dir) = &self.v2 else { return Ok(None) };
        let Some(text) = optional(read(&dir.join("memory.stat")))? else { return Ok(None) };
        let stat = parse::keyed(&text);
        let of = |key: &str| stat.get(key).copied().unwrap_or(0);
        // `kernel` came with 5.18; before it these are its parts.
        let kernel = stat.get("kernel").copied().unwrap_or_else(|| {
            of("kernel_stack") + of("pagetables") + of("percpu") + of("slab_reclaimable") + of("slab_unreclaimable")
        });
        Ok(Some(Memory {
            current: read_number(&dir.join("memory.current"))?,
            peak: optional(read_number(&dir.join("memory.peak")))?,
            anon: of("anon"),
            file: of("file"),
            shmem: of("shmem"),
            swap: optional(read_number(&dir.join("memory.swap.current")))?.unwrap_or(0),
            kernel_unreclaimable: kernel.saturating_sub(of("slab_reclaimable")),
            inactive_file: of("inactive_file"),
        }))
    }

    /// None where nothing counts CPU time for this run: on v1, unless it has entered `cpuacct`.
    pub fn cpu(&self) -> Result<Option<Cpu>> {
        if let Some(dir) = self.v1(Controller::Cpuacct) {
            let usage_ns = optional(read_number(&dir.join("cpuacct.usage")))?;
            return Ok(usage_ns.map(|ns| Cpu { usage_us: ns / 1000, throttled_us: self.throttled_v1() }));
        }
        let Some(dir) = &self.v2 else { return Ok(None) };
        let Some(text) = optional(read(&dir.join("cpu.stat")))? else { return Ok(None) };
        let throttled_us = parse::key(&text, "throttled_usec").unwrap_or_else(|| self.throttled_v1());
        Ok(parse::key(&text, "usage_usec").map(|usage_us| Cpu { usage_us, throttled_us }))
    }

    fn throttled_v1(&self) -> u64 {
        let text = self.v1(Controller::Cpu).and_then(|dir| read(&dir.join("cpu.stat")).ok());
        text.and_then(|text| parse::key(&text, "throttled_time")).unwrap_or(0) / 1000
    }

    /// Tasks, threads counted. None where the pids controller does not count this run.
    pub fn tasks(&self) -> Result<Option<u64>> {
        match self.v1(Controller::Pids).or(self.v2.as_deref()) {
            Some(dir) => optional(read_number(&dir.join("pids.current"))),
            None => Ok(None),
        }
    }
}
