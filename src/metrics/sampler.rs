//! Figures of many instances at one moment.
//! Owns: which file each figure comes from on each kind of host, and the two samples behind a CPU share.
//! Never: wakes by itself, or holds a file open: an instance may be gone at any read, and its figures are then 0.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::time::Duration;

use crate::model::time::Mono;

use super::parse::{field, number, pids, stat, status};

/// One proc to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The caller's name for it, the same at each sample. A new run of an instance is a new one.
    pub key: u64,
    /// The main process.
    pub pid: i32,
    pub started: Mono,
    pub cgroups: Cgroups,
}

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

/// What one proc, all its processes together, uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// What `memory_max` is compared with, page cache included; where no controller counts, what is resident.
    pub memory_bytes: u64,
    /// The most `memory_bytes` ever was; where no controller counts, the most that was seen.
    pub memory_peak_bytes: u64,
    pub anon: u64,
    /// Page cache; where no controller counts, mapped files only.
    pub file: u64,
    /// Of one core, since the last sample that is 500 ms old or older, else since the start.
    pub cpu_percent: f64,
    pub tasks: u64,
    pub fds: u64,
    /// Memory was added up from processes, so it counts what they share twice.
    pub sampled: bool,
}

/// Whether open descriptors are counted: one more look at each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fds {
    Count,
    Skip,
}

/// A CPU share over less time than this says more about the clock's ticks than about the app.
const SHORTEST: Duration = Duration::from_millis(500);

/// Half a page: see `read_path`.
const SHORT: usize = 2048;

/// CPU time used up to a moment.
#[derive(Debug, Clone, Copy)]
struct Used {
    at: Mono,
    cpu: Duration,
}

#[derive(Debug, Default)]
struct Past {
    pid: i32,
    /// At least `SHORTEST` before `newer`.
    older: Option<Used>,
    newer: Option<Used>,
    peak: u64,
}

/// Keeps what one sample needs to know of the last.
pub struct Sampler {
    past: HashMap<u64, Past>,
    buffer: Vec<u8>,
    path: String,
    pids: Vec<i32>,
    ticks_per_second: u64,
    /// All of the host's CPUs: no share is larger.
    whole: f64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampler {
    pub fn new() -> Self {
        Self {
            past: HashMap::new(),
            buffer: vec![0; 8192],
            path: String::new(),
            pids: Vec::new(),
            ticks_per_second: procfs::ticks_per_second().max(1),
            whole: cpus() * 100.0,
        }
    }

    /// One `Figures` for each target, in order. All zero: it is gone.
    pub fn sample(&mut self, now: Mono, targets: &[Target], fds: Fds) -> Vec<Figures> {
        let bare = targets.iter().any(|target| target.cgroups.tree.is_none());
        let families = if bare { self.families() } else { HashMap::new() };
        targets.iter().map(|target| self.figures(now, target, &families, fds)).collect()
    }

    /// Drops what is remembered of a proc that is gone.
    pub fn forget(&mut self, key: u64) {
        self.past.remove(&key);
    }

    fn figures(&mut self, now: Mono, target: &Target, families: &HashMap<i32, Vec<i32>>, fds: Fds) -> Figures {
        let mut members = std::mem::take(&mut self.pids);
        members.clear();
        match &target.cgroups.tree {
            Some(dir) => members.extend(self.read(dir, "cgroup.procs").into_iter().flat_map(pids)),
            None => add_family(target.pid, families, &mut members),
        }
        let mut figures = Figures::default();
        let counted = self.memory_from_controller(&target.cgroups, &mut figures);
        let tasks = self.tasks_from_controller(&target.cgroups);
        let cpu = self.cpu_from_cgroup(&target.cgroups);
        figures.sampled = !counted;
        let mut ticks = 0;
        for pid in &members {
            if fds == Fds::Count {
                figures.fds += self.fds(*pid);
            }
            if !counted || tasks.is_none() {
                let Some(status) = self.read_proc(*pid, "status").map(status) else { continue };
                if !counted {
                    figures.anon += status.anon;
                    figures.file += status.file;
                    figures.memory_bytes += status.anon + status.file + status.shmem;
                    if *pid == target.pid {
                        figures.memory_peak_bytes = status.peak;
                    }
                }
                figures.tasks += status.threads;
            }
            if cpu.is_none() {
                ticks += self.read_proc(*pid, "stat").and_then(stat).map_or(0, |stat| stat.ticks);
            }
        }
        self.pids = members;
        if let Some(tasks) = tasks {
            figures.tasks = tasks;
        }
        let cpu = cpu.unwrap_or_else(|| {
            Duration::from_nanos((u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_second)) as u64)
        });
        let past = self.past.entry(target.key).or_default();
        if past.pid != target.pid {
            *past = Past { pid: target.pid, ..Past::default() };
        }
        past.peak = past.peak.max(figures.memory_bytes).max(figures.memory_peak_bytes);
        figures.memory_peak_bytes = past.peak;
        figures.cpu_percent = past.share(Used { at: now, cpu }, target.started).min(self.whole);
        figures
    }

    /// False: no controller counts this proc's memory.
    fn memory_from_controller(&mut self, cgroups: &Cgroups, figures: &mut Figures) -> bool {
        let (dir, usage, peak, anon, file): (_, _, _, &[u8], &[u8]) = match (&cgroups.tree, &cgroups.memory_v1) {
            (Some(dir), _) if cgroups.controllers => (dir, "memory.current", "memory.peak", b"anon", b"file"),
            (_, Some(dir)) => (dir, "memory.usage_in_bytes", "memory.max_usage_in_bytes", b"total_rss", b"total_cache"),
            _ => return false,
        };
        let Some(usage) = self.read(dir, usage).and_then(number) else { return false };
        figures.memory_bytes = usage;
        // memory.peak came with Linux 5.19; before it, what was seen is the best there is.
        figures.memory_peak_bytes = self.read(dir, peak).and_then(number).unwrap_or(usage);
        if let Some(text) = self.read(dir, "memory.stat") {
            figures.anon = field(text, anon).unwrap_or(0);
            figures.file = field(text, file).unwrap_or(0);
        }
        true
    }

    fn tasks_from_controller(&mut self, cgroups: &Cgroups) -> Option<u64> {
        let dir = match (&cgroups.tree, &cgroups.pids_v1) {
            (Some(dir), _) if cgroups.controllers => dir,
            (_, Some(dir)) => dir,
            _ => return None,
        };
        self.read(dir, "pids.current").and_then(number)
    }

    /// A v2 directory counts CPU time whether or not it has the controller, also of processes that are gone.
    fn cpu_from_cgroup(&mut self, cgroups: &Cgroups) -> Option<Duration> {
        if let Some(dir) = &cgroups.cpuacct_v1 {
            return self.read(dir, "cpuacct.usage").and_then(number).map(Duration::from_nanos);
        }
        let dir = cgroups.tree.as_ref()?;
        self.read(dir, "cpu.stat").and_then(|text| field(text, b"usage_usec")).map(Duration::from_micros)
    }

    /// Since Linux 6.2 the size of `/proc/PID/fd` is the number of entries; before, it is 0 and they are counted.
    fn fds(&mut self, pid: i32) -> u64 {
        use std::fmt::Write;
        self.path.clear();
        let _ = write!(self.path, "/proc/{pid}/fd");
        match fs::metadata(&self.path) {
            Ok(seen) if seen.len() > 0 => seen.len(),
            Ok(_) => fs::read_dir(&self.path).map_or(0, |entries| entries.count() as u64),
            Err(_) => 0,
        }
    }

    fn read_proc(&mut self, pid: i32, name: &str) -> Option<&[u8]> {
        use std::fmt::Write;
        self.path.clear();
        let _ = write!(self.path, "/proc/{pid}/{name}");
        self.read_path()
    }

    fn read(&mut self, dir: &str, name: &str) -> Option<&[u8]> {
        self.path.clear();
        self.path.push_str(dir);
        self.path.push('/');
        self.path.push_str(name);
        self.read_path()
    }

    /// The whole of the file at `self.path`, in a buffer that the next read takes over. None: it is gone.
    fn read_path(&mut self) -> Option<&[u8]> {
        let mut file = File::open(&self.path).ok()?;
        let mut len = 0;
        loop {
            match file.read(&mut self.buffer[len..]).ok()? {
                0 => return Some(&self.buffer[..len]),
                read => len += read,
            }
            // The kernel gives these files a page at a time; less than half of one is all there is.
            if len < SHORT {
                return Some(&self.buffer[..len]);
            }
            if len == self.buffer.len() {
                self.buffer.resize(len * 2, 0);
            }
        }
    }

    /// The children of every process: where no cgroup tells, the process tree must.
    fn families(&mut self) -> HashMap<i32, Vec<i32>> {
        let mut families: HashMap<i32, Vec<i32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(stat) = self.read_proc(pid, "stat").and_then(stat) {
                families.entry(stat.parent).or_default().push(pid);
            }
        }
        families
    }
}

/// Also those that the daemon itself may not run on.
fn cpus() -> f64 {
    use nix::unistd::{SysconfVar, sysconf};
    sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten().map_or(1.0, |cpus| cpus as f64)
}

fn add_family(pid: i32, families: &HashMap<i32, Vec<i32>>, members: &mut Vec<i32>) {
    // Pids may be used again while procfs is read, so a loop must end.
    if members.contains(&pid) {
        return;
    }
    members.push(pid);
    families.get(&pid).into_iter().flatten().for_each(|child| add_family(*child, families, members));
}

impl Past {
    /// The share of one core up to `now`, and `now` remembered if the last is old enough.
    fn share(&mut self, now: Used, started: Mono) -> f64 {
        let due = self.newer.is_none_or(|newer| now.at.since(newer.at) >= SHORTEST);
        let from = if due { self.newer } else { self.older };
        if due {
            self.older = self.newer.replace(now);
        }
        let from = from.unwrap_or(Used { at: started, cpu: Duration::ZERO });
        // A process a few milliseconds old has been forked and loaded in them, on more than one CPU at times.
        let wall = now.at.since(from.at).max(SHORTEST).as_secs_f64();
        now.cpu.saturating_sub(from.cpu).as_secs_f64() / wall * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, cpu_ms: u64) -> Used {
        Used { at: Mono(ms * 1_000_000), cpu: Duration::from_millis(cpu_ms) }
    }

    #[test]
    fn a_share_is_since_the_last_sample_that_is_old_enough_else_since_the_start() {
        let mut past = Past::default();
        let started = Mono(0);
        assert_eq!(past.share(at(1000, 500), started), 50.0);
        // 100 ms later: still since the start, not since 100 ms ago.
        assert_eq!(past.share(at(1100, 550), started), 50.0);
        // 1000 ms after the first sample, which is the last that is old enough.
        assert_eq!(past.share(at(2000, 1500), started), 100.0);
        // 200 ms after that one: since the first, at 1000.
        assert_eq!(past.share(at(2200, 1500), started).round(), 83.0);
    }

    #[test]
    fn what_a_process_used_to_come_to_life_is_no_share_of_a_few_milliseconds() {
        assert_eq!(Past::default().share(at(4, 20), Mono(0)), 4.0);
    }

    #[test]
    fn cpu_time_that_goes_back_is_no_time() {
        let mut past = Past::default();
        past.share(at(1000, 500), Mono(0));
        assert_eq!(past.share(at(2000, 400), Mono(0)), 0.0);
    }

    #[test]
    fn a_process_without_a_cgroup_is_sampled_with_its_family() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let mut sampler = Sampler::new();
        let pid = std::process::id() as i32;
        let target = |pid| Target { key: 1, pid, started: Mono(0), cgroups: Cgroups::default() };
        let figures = sampler.sample(Mono(1), &[target(pid)], Fds::Count)[0];
        let alone = sampler.sample(Mono(1), &[target(child.id() as i32)], Fds::Count)[0];
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(figures.sampled && figures.fds > 2 && figures.anon > 0 && figures.memory_peak_bytes > 0);
        assert_eq!(alone.tasks, 1);
        assert!(figures.tasks > 1 && figures.memory_bytes > alone.memory_bytes);
    }

    #[test]
    fn what_is_gone_has_no_figures() {
        let cgroups = Cgroups { tree: Some("/sys/fs/cgroup/no/such/directory".into()), ..Cgroups::default() };
        let target = Target { key: 1, pid: i32::MAX, started: Mono(0), cgroups };
        let figures = Sampler::new().sample(Mono(1), &[target], Fds::Count)[0];
        assert_eq!((figures.memory_bytes, figures.tasks, figures.fds), (0, 0, 0));
    }

    #[test]
    fn a_v2_directory_with_controllers_is_read_from_its_files() {
        let dir = std::env::temp_dir().join(format!("stead-metrics-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
        write("cgroup.procs", "");
        write("memory.current", "3000\n");
        write("memory.peak", "5000\n");
        write("memory.stat", "anon 1000\nfile 2000\nshmem 10\nslab_unreclaimable 5\n");
        write("memory.swap.current", "7\n");
        write("pids.current", "4\n");
        write("cpu.stat", "usage_usec 250000\nuser_usec 1\n");
        let tree = Some(dir.to_str().unwrap().to_owned());
        let cgroups = Cgroups { tree, controllers: true, ..Cgroups::default() };
        let target = Target { key: 1, pid: i32::MAX, started: Mono(0), cgroups };
        let figures = Sampler::new().sample(Mono(1_000_000_000), &[target], Fds::Count)[0];
        let expected = Figures {
            memory_bytes: 3000,
            memory_peak_bytes: 5000,
            anon: 1000,
            file: 2000,
            cpu_percent: 25.0,
            tasks: 4,
            fds: 0,
            sampled: false,
        };
        assert_eq!(figures, expected);
        fs::remove_dir_all(dir).unwrap();
    }
}
