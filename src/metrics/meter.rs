//! The figures of one proc at one moment.
//! Owns: which file each figure comes from on each kind of host, the files that stay open for it, and what was seen of
//! it before. All of that ends with the meter, and a meter with its proc.
//! Never: wakes by itself, or tells a figure of an earlier moment: a proc may be gone at any read, and its figures are
//! then 0.

use std::collections::HashMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::parse::{field, number, pids, resident_pages, stat, status};
use super::reader::{Kept, Reader};
use super::share::{Past, Used};
use crate::model::time::Mono;

/// The directories of the run in each hierarchy it entered, absolute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cgroups {
    /// The v2 directory, or on v1-only hosts the one that tracks processes. None: only the process tree is known.
    pub tree: Option<String>,
    /// The v2 directory has the memory and pids controllers.
    pub controllers: bool,
    /// v1, each only where a key of the app made the run enter it.
    pub memory_v1: Option<String>,
    pub cpuacct_v1: Option<String>,
    pub pids_v1: Option<String>,
}

/// What one proc, all its processes together, uses. None: nobody asked.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// What `memory_max` is compared with, page cache included; where no controller counts, what is resident.
    pub memory_bytes: u64,
    /// The most `memory_bytes` ever was; where no controller counts, the most that was seen.
    pub memory_peak_bytes: Option<u64>,
    pub anon: Option<u64>,
    /// Page cache; where no controller counts, mapped files only.
    pub file: Option<u64>,
    /// Of one core, since the last sample that is 500 ms old or older, else since the start.
    pub cpu_percent: f64,
    /// Since the start; where no controller counts, without processes that are gone.
    pub cpu: Duration,
    pub tasks: Option<u64>,
    pub fds: Option<u64>,
    /// Memory was added up from processes, so it counts what they share twice.
    pub sampled: bool,
}

/// How much is wanted: every file that need not be read is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Memory and the CPU share.
    Brief,
    /// And the peak, and tasks.
    Row,
    /// And what memory is made of, and open descriptors.
    Whole,
}

/// The children of every process, where no cgroup tells whose a process is.
pub type Families = HashMap<i32, Vec<i32>>;

/// One look at many.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub now: Mono,
    pub depth: Depth,
    pub families: &'a Families,
    /// What `/proc/PID/stat` counts CPU time in.
    pub ticks_per_second: u64,
    /// What `/proc/PID/statm` counts memory in.
    pub page_size: u64,
}

/// Of so many processes of one proc the files stay open. A build server's job may have a thousand.
const KEPT_PROCESSES: usize = 4;

/// Looks at one proc, again and again.
#[derive(Debug)]
pub struct Meter {
    /// The main process.
    pid: i32,
    started: Mono,
    cgroups: Cgroups,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: Files,
    past: Past,
    /// The most memory that was seen.
    peak: u64,
}

/// Those of the controllers are v2's or v1's, whichever counts.
#[derive(Debug, Default)]
struct Files {
    procs: Kept,
    memory: Kept,
    memory_peak: Kept,
    tasks: Kept,
    cpu: Kept,
    processes: Vec<Process>,
}

/// What is open of `/proc/PID`.
#[derive(Debug, Default)]
struct Process {
    pid: i32,
    status: Kept,
    statm: Kept,
}

#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    usage: u64,
    peak: u64,
    anon: u64,
    file: u64,
}

/// What its processes must be asked for, as no controller tells it.
#[derive(Debug, Clone, Copy)]
struct Missing {
    memory: bool,
    tasks: bool,
    cpu: bool,
}

/// And what they said, added up.
#[derive(Debug, Default)]
struct Sums {
    memory: Memory,
    tasks: u64,
    ticks: u64,
    fds: u64,
}

impl Meter {
    pub fn new(pid: i32, started: Mono, cgroups: Cgroups) -> Self {
        Self { pid, started, cgroups, state: Mutex::default() }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Only the process tree tells what belongs to it.
    pub fn needs_families(&self) -> bool {
        self.cgroups.tree.is_none()
    }

    /// All zero but the peak: it is gone.
    pub fn sample(&self, look: &Look, reader: &mut Reader) -> Figures {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { files, past, peak } = &mut *state;
        let row = look.depth >= Depth::Row;
        let whole = look.depth == Depth::Whole;
        let memory = self.memory(look.depth, files, reader);
        let tasks = if row { self.tasks(files, reader) } else { None };
        let cpu = self.cpu(files, reader);
        let missing = Missing { memory: memory.is_none(), tasks: row && tasks.is_none(), cpu: cpu.is_none() };
        let sums = self.ask_processes(look, missing, files, reader);
        let sampled = memory.is_none();
        let memory = memory.unwrap_or(sums.memory);
        *peak = (*peak).max(memory.usage).max(memory.peak);
        let cpu = cpu.unwrap_or_else(|| {
            Duration::from_nanos((u128::from(sums.ticks) * 1_000_000_000 / u128::from(look.ticks_per_second)) as u64)
        });
        Figures {
            memory_bytes: memory.usage,
            memory_peak_bytes: row.then_some(*peak),
            anon: whole.then_some(memory.anon),
            file: whole.then_some(memory.file),
            cpu_percent: past.share(Used { at: look.now, cpu }, self.started),
            cpu,
            tasks: row.then(|| tasks.unwrap_or(sums.tasks)),
            fds: whole.then_some(sums.fds),
            sampled,
        }
    }

    /// None: no controller counts this proc's memory.
    fn memory(&self, depth: Depth, files: &mut Files, reader: &mut Reader) -> Option<Memory> {
        let (dir, usage, peak, anon, file): (_, _, _, &[u8], &[u8]) =
            match (&self.cgroups.tree, &self.cgroups.memory_v1) {
                (Some(dir), _) if self.cgroups.controllers => (dir, "memory.current", "memory.peak", b"anon", b"file"),
                (_, Some(dir)) => {
                    (dir, "memory.usage_in_bytes", "memory.max_usage_in_bytes", b"total_rss", b"total_cache")
                }
                _ => return None,
            };
        let usage = reader.read(&mut files.memory, dir, usage).and_then(number)?;
        let mut memory = Memory { usage, peak: usage, ..Memory::default() };
        if depth >= Depth::Row {
            // memory.peak came with Linux 5.19; before it, what was seen is the best there is.
            memory.peak = reader.read(&mut files.memory_peak, dir, peak).and_then(number).unwrap_or(usage);
        }
        // The kernel adds up every CPU's share to answer this one: not for a list, and so not worth keeping open.
        if depth == Depth::Whole
            && let Some(text) = reader.read(&mut Kept::default(), dir, "memory.stat")
        {
            memory.anon = field(text, anon).unwrap_or(0);
            memory.file = field(text, file).unwrap_or(0);
        }
        Some(memory)
    }

    fn tasks(&self, files: &mut Files, reader: &mut Reader) -> Option<u64> {
        let dir = match (&self.cgroups.tree, &self.cgroups.pids_v1) {
            (Some(dir), _) if self.cgroups.controllers => dir,
            (_, Some(dir)) => dir,
            _ => return None,
        };
        reader.read(&mut files.tasks, dir, "pids.current").and_then(number)
    }

    /// A v2 directory counts CPU time whether or not it has the controller, also of processes that are gone.
    fn cpu(&self, files: &mut Files, reader: &mut Reader) -> Option<Duration> {
        if let Some(dir) = &self.cgroups.cpuacct_v1 {
            return reader.read(&mut files.cpu, dir, "cpuacct.usage").and_then(number).map(Duration::from_nanos);
        }
        let dir = self.cgroups.tree.as_ref()?;
        let text = reader.read(&mut files.cpu, dir, "cpu.stat")?;
        field(text, b"usage_usec").map(Duration::from_micros)
    }

    fn ask_processes(&self, look: &Look, missing: Missing, files: &mut Files, reader: &mut Reader) -> Sums {
        let mut sums = Sums::default();
        if !missing.memory && !missing.tasks && !missing.cpu && look.depth < Depth::Whole {
            return sums;
        }
        let members: Vec<i32> = match &self.cgroups.tree {
            Some(dir) => reader.read(&mut files.procs, dir, "cgroup.procs").into_iter().flat_map(pids).collect(),
            None => {
                let mut members = Vec::new();
                add_family(self.pid, look.families, &mut members);
                members
            }
        };
        files.processes.retain(|process| members.contains(&process.pid));
        for &pid in &members {
            let mut unkept = Process { pid, ..Process::default() };
            match files.processes.iter_mut().find(|process| process.pid == pid) {
                Some(known) => self.ask_process(look, missing, known, reader, &mut sums),
                None => {
                    self.ask_process(look, missing, &mut unkept, reader, &mut sums);
                    if files.processes.len() < KEPT_PROCESSES {
                        files.processes.push(unkept);
                    }
                }
            }
        }
        sums
    }

    fn ask_process(&self, look: &Look, missing: Missing, process: &mut Process, reader: &mut Reader, sums: &mut Sums) {
        let pid = process.pid;
        if missing.memory && look.depth == Depth::Brief {
            // A sixth of the time of `status`, whose every line the kernel writes out.
            let resident = reader.read_proc(&mut process.statm, pid, "statm").and_then(resident_pages);
            sums.memory.usage += resident.unwrap_or(0) * look.page_size;
        } else if missing.memory || missing.tasks {
            let status = reader.read_proc(&mut process.status, pid, "status").map(status).unwrap_or_default();
            sums.memory.usage += status.anon + status.file + status.shmem;
            sums.memory.anon += status.anon;
            sums.memory.file += status.file;
            if pid == self.pid {
                sums.memory.peak = status.peak;
            }
            sums.tasks += status.threads;
        }
        if missing.cpu {
            let text = reader.read_proc(&mut Kept::default(), pid, "stat");
            sums.ticks += text.and_then(stat).map_or(0, |stat| stat.ticks);
        }
        if look.depth == Depth::Whole {
            sums.fds += fds(pid);
        }
    }
}

/// Since Linux 6.2 the size of `/proc/PID/fd` is the number of entries; before, it is 0 and they are counted.
pub(super) fn fds(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/fd");
    match fs::metadata(&path) {
        Ok(seen) if seen.len() > 0 => seen.len(),
        Ok(_) => fs::read_dir(&path).map_or(0, |entries| entries.count() as u64),
        Err(_) => 0,
    }
}

fn add_family(pid: i32, families: &Families, members: &mut Vec<i32>) {
    // Pids may be used again while procfs is read, so a loop must end.
    if members.contains(&pid) {
        return;
    }
    members.push(pid);
    families.get(&pid).into_iter().flatten().for_each(|child| add_family(*child, families, members));
}
