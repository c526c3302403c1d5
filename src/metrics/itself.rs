//! What a process of stead's own uses.
//! Owns: its four figures, by the same files as those of apps. Never: remembers anything.

use std::fs;
use std::time::Duration;

use super::meter::fds;
use super::parse::{resident_pages, stat};
use crate::model::time::Mono;

/// What stead costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub fds: u64,
    pub started: Mono,
}

/// None: there is no such process.
pub fn cost(pid: i32) -> Option<Cost> {
    let stat = stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
    let pages = resident_pages(&fs::read(format!("/proc/{pid}/statm")).ok()?)?;
    let per_second = u128::from(procfs::ticks_per_second().max(1));
    let span = |ticks: u64| u64::try_from(u128::from(ticks) * 1_000_000_000 / per_second).unwrap_or(u64::MAX);
    Some(Cost {
        cpu: Duration::from_nanos(span(stat.ticks)),
        resident_bytes: pages * procfs::page_size(),
        fds: fds(pid),
        started: Mono(span(stat.started)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_cost_and_one_that_is_not_there_has_none() {
        let here = cost(std::process::id() as i32).unwrap();
        assert!(here.resident_bytes > 0 && here.fds > 2 && here.started.0 > 0, "{here:?}");
        assert_eq!(cost(i32::MAX), None);
    }
}
