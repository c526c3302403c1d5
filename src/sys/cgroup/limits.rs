//! Limits of a run.
//! Owns: writing them in either version, in the order in which the kernel takes them.
//! Never: chooses a value. cgroups-rs carries the v1 controllers; it does not tell a clamped value from the one asked
//! for, so what it wrote is read back.

use std::io;
use std::path::Path;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::host::Controller;
use super::run::RunCgroup;
use super::{Error, Result, read_number, write};

/// What a run may use. None leaves the kernel's default, which is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub memory_max: Option<u64>,
    /// v2 only; v1 has usage thresholds instead.
    pub memory_high: Option<u64>,
    /// Bytes of swap on top of `memory_max`. Ignored where the kernel does not count swap.
    pub memory_swap_max: Option<u64>,
    /// Kill every process of the run when one goes over `memory_max`. v2 only: v1 leaves that to whoever watches.
    pub oom_group: bool,
    pub tasks_max: Option<u64>,
    /// Microseconds of CPU time in each 100 ms.
    pub cpu_quota_us: Option<u64>,
    /// 1 to 10,000; 100 is the default.
    pub cpu_weight: Option<u64>,
}

const PERIOD_US: u64 = 100_000;

impl Limits {
    /// The controllers that these limits cannot do without.
    pub fn needs(&self) -> Vec<Controller> {
        let mut needs = Vec::new();
        if self.memory_max.is_some() || self.memory_high.is_some() || self.memory_swap_max.is_some() {
            needs.push(Controller::Memory);
        }
        if self.tasks_max.is_some() {
            needs.push(Controller::Pids);
        }
        if self.cpu_quota_us.is_some() || self.cpu_weight.is_some() {
            needs.push(Controller::Cpu);
        }
        needs
    }
}

impl RunCgroup {
    /// Sets limits. Before the first process enters: v1 does not charge a process for what it had elsewhere.
    pub fn limit(&self, limits: &Limits) -> Result<()> {
        match (self.v1(Controller::Memory), &self.v2) {
            (Some(dir), _) => limit_memory_v1(dir, limits)?,
            (None, Some(dir)) => limit_memory_v2(dir, limits)?,
            (None, None) => {}
        }
        if let Some(max) = limits.tasks_max {
            match (self.v1(Controller::Pids), &self.v2) {
                (Some(dir), _) => {
                    let file = dir.join("pids.max");
                    let value = MaxValue::Value(i64::try_from(max).unwrap_or(i64::MAX));
                    let pids = PidController::new(dir.to_path_buf(), dir.to_path_buf(), false);
                    pids.set_pid_max(value).map_err(|error| Error::new(&file, "write", io::Error::other(error)))?;
                    verify(&file, max)?;
                }
                (None, Some(dir)) => write(&dir.join("pids.max"), &max.to_string())?,
                (None, None) => {}
            }
        }
        match (self.v1(Controller::Cpu), &self.v2) {
            (Some(dir), _) => limit_cpu_v1(dir, limits)?,
            (None, Some(dir)) => limit_cpu_v2(dir, limits)?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Lifts the soft wall, so that an instance over it is not throttled while it is being replaced. v2 only.
    pub fn lift_memory_high(&self) -> Result<()> {
        match &self.v2 {
            Some(dir) if self.v1(Controller::Memory).is_none() => write(&dir.join("memory.high"), "max"),
            _ => Ok(()),
        }
    }

    /// Moves the soft wall. v2 only.
    pub fn set_memory_high(&self, bytes: u64) -> Result<()> {
        match &self.v2 {
            Some(dir) if self.v1(Controller::Memory).is_none() => write(&dir.join("memory.high"), &bytes.to_string()),
            _ => Ok(()),
        }
    }
}

fn limit_memory_v2(dir: &Path, limits: &Limits) -> Result<()> {
    if let Some(max) = limits.memory_max {
        write(&dir.join("memory.max"), &max.to_string())?;
    }
    if let Some(high) = limits.memory_high {
        write(&dir.join("memory.high"), &high.to_string())?;
    }
    if let Some(swap) = limits.memory_swap_max {
        // Absent in kernels without swap accounting, where nothing is swapped out on our account either.
        super::optional(write(&dir.join("memory.swap.max"), &swap.to_string()))?;
    }
    if limits.oom_group {
        write(&dir.join("memory.oom.group"), "1")?;
    }
    Ok(())
}

/// memsw is memory and swap together, and never below the limit of memory: raised first, lowered last.
fn limit_memory_v1(dir: &Path, limits: &Limits) -> Result<()> {
    let memory = MemController::new(dir.to_path_buf(), dir.to_path_buf(), false);
    let limit_file = dir.join("memory.limit_in_bytes");
    let memsw_file = dir.join("memory.memsw.limit_in_bytes");
    let Some(max) = limits.memory_max else { return Ok(()) };
    let memsw = limits.memory_swap_max.map(|swap| max.saturating_add(swap)).filter(|_| memsw_file.exists());
    let set_limit = || {
        memory.set_limit(signed(max)).map_err(|error| Error::new(&limit_file, "write", io::Error::other(error)))?;
        verify(&limit_file, max)
    };
    let Some(memsw) = memsw else { return set_limit() };
    let set_memsw = || {
        let written = memory.set_memswap_limit(signed(memsw));
        written.map_err(|error| Error::new(&memsw_file, "write", io::Error::other(error)))?;
        verify(&memsw_file, memsw)
    };
    if memsw > read_number(&memsw_file)? {
        set_memsw()?;
        set_limit()
    } else {
        set_limit()?;
        set_memsw()
    }
}

fn limit_cpu_v2(dir: &Path, limits: &Limits) -> Result<()> {
    if let Some(quota) = limits.cpu_quota_us {
        write(&dir.join("cpu.max"), &format!("{quota} {PERIOD_US}"))?;
    }
    match limits.cpu_weight {
        Some(weight) => write(&dir.join("cpu.weight"), &weight.to_string()),
        None => Ok(()),
    }
}

fn limit_cpu_v1(dir: &Path, limits: &Limits) -> Result<()> {
    let cpu = CpuController::new(dir.to_path_buf(), dir.to_path_buf(), false);
    if let Some(quota) = limits.cpu_quota_us {
        let file = dir.join("cpu.cfs_quota_us");
        let written = cpu.set_cfs_quota_and_period(Some(signed(quota)), Some(PERIOD_US));
        written.map_err(|error| Error::new(&file, "write", io::Error::other(error)))?;
        verify(&file, quota)?;
    }
    if let Some(weight) = limits.cpu_weight {
        let file = dir.join("cpu.shares");
        // 100 of v2 are 1024 of v1; 2 is v1's least.
        let shares = (weight.saturating_mul(1024) / 100).max(2);
        cpu.set_shares(shares).map_err(|error| Error::new(&file, "write", io::Error::other(error)))?;
        verify(&file, shares)?;
    }
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// v1 rounds down to whole pages, and nothing else.
fn verify(file: &Path, wanted: u64) -> Result<()> {
    const LARGEST_PAGE: u64 = 64 << 10;
    let found = read_number(file)?;
    if found == u64::MAX || (found <= wanted && wanted - found < LARGEST_PAGE) {
        return Ok(());
    }
    Err(Error::new(file, "set the value asked for, the kernel took another", io::ErrorKind::InvalidData))
}
