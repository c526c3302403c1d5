//! Figures of many instances at one moment.
//! Owns: what is known of the host, and the process tree where no cgroup tells whose a process is.
//! Never: wakes by itself, or remembers anything: a meter does, for as long as its proc lives.

use std::borrow::Borrow;
use std::fs;

use super::meter::{Depth, Families, Figures, Look, Meter};
use super::parse::stat;
use super::reader::{Kept, Reader};
use crate::model::time::Mono;

/// Knows the host.
#[derive(Debug, Clone)]
pub struct Sampler {
    keep_below: i32,
    ticks_per_second: u64,
    page_size: u64,
    /// All of the host's CPUs, also those that the daemon itself may not run on: no share is larger.
    whole: f64,
}

impl Sampler {
    /// Files are kept open on descriptors below `keep_below`.
    pub fn new(keep_below: i32) -> Self {
        Self {
            keep_below,
            ticks_per_second: procfs::ticks_per_second().max(1),
            page_size: procfs::page_size(),
            whole: cpus() * 100.0,
        }
    }

    /// One `Figures` for each meter, in order.
    pub fn sample<M: Borrow<Meter>>(&self, now: Mono, meters: &[M], depth: Depth) -> Vec<Figures> {
        let bare = meters.iter().any(|meter| meter.borrow().needs_families());
        let families = if bare { self.families() } else { Families::new() };
        let look = Look {
            now,
            depth,
            families: &families,
            ticks_per_second: self.ticks_per_second,
            page_size: self.page_size,
        };
        let mut reader = Reader::new(self.keep_below);
        let one = |meter: &M| {
            let figures = meter.borrow().sample(&look, &mut reader);
            Figures { cpu_percent: figures.cpu_percent.min(self.whole), ..figures }
        };
        meters.iter().map(one).collect()
    }

    /// The children of every process.
    fn families(&self) -> Families {
        let mut reader = Reader::new(self.keep_below);
        let mut families = Families::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(stat) = reader.read_proc(&mut Kept::default(), pid, "stat").and_then(stat) {
                families.entry(stat.parent).or_default().push(pid);
            }
        }
        families
    }
}

fn cpus() -> f64 {
    use nix::unistd::{SysconfVar, sysconf};
    sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten().map_or(1.0, |cpus| cpus as f64)
}

#[cfg(test)]
mod tests {
    use super::super::meter::Cgroups;
    use super::*;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    const ALL: i32 = i32::MAX;

    fn sleeper() -> Child {
        Command::new("sleep").arg("100").spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A directory with the files of a cgroup, one that no other test of this process has.
    fn directory(name: &str) -> (PathBuf, impl Fn(&str, &str)) {
        let dir = std::env::temp_dir().join(format!("stead-metrics-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let at = dir.clone();
        (dir, move |file, text| fs::write(at.join(file), text).unwrap())
    }

    fn meter(dir: &std::path::Path, controllers: bool, pid: i32) -> Meter {
        let tree = Some(dir.to_str().unwrap().to_owned());
        Meter::new(pid, Mono(0), Cgroups { tree, controllers, ..Cgroups::default() })
    }

    /// Files of this process that stand in a directory. Other tests open and close files meanwhile.
    fn open_below(dir: &std::path::Path) -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        links.filter(|link| link.starts_with(dir)).count()
    }

    #[test]
    fn a_process_without_a_cgroup_is_sampled_with_its_family() {
        let child = sleeper();
        let bare = |pid| Meter::new(pid, Mono(0), Cgroups::default());
        let (family, alone) = (bare(std::process::id() as i32), bare(child.id() as i32));
        let figures = Sampler::new(ALL).sample(Mono(1), &[family, alone], Depth::Whole);
        end(child);
        let [family, alone] = figures[..] else { panic!("{figures:?}") };
        assert!(family.sampled && family.fds > Some(2) && family.anon > Some(0) && family.memory_peak_bytes > Some(0));
        assert_eq!(alone.tasks, Some(1));
        assert!(family.tasks > Some(1) && family.memory_bytes > alone.memory_bytes);
    }

    #[test]
    fn what_is_gone_has_no_figures() {
        let gone = meter("/sys/fs/cgroup/no/such/directory".as_ref(), false, i32::MAX);
        let figures = Sampler::new(ALL).sample(Mono(1), &[gone], Depth::Whole)[0];
        assert_eq!((figures.memory_bytes, figures.tasks, figures.fds), (0, Some(0), Some(0)));
    }

    #[test]
    fn what_goes_between_two_looks_has_no_figures_and_no_open_files() {
        let (dir, write) = directory("gone");
        let child = sleeper();
        let meter = meter(&dir, false, child.id() as i32);
        write("cgroup.procs", &format!("{}\n", child.id()));
        write("cpu.stat", "usage_usec 250000\n");
        let status = PathBuf::from(format!("/proc/{}", child.id()));
        let sampler = Sampler::new(ALL);
        let before = sampler.sample(Mono(1_000_000_000), &[&meter], Depth::Row)[0];
        assert!(before.memory_bytes > 0 && before.tasks == Some(1) && before.cpu_percent == 25.0, "{before:?}");
        assert_eq!(open_below(&status), 1);
        end(child);
        write("cgroup.procs", "");
        let after = sampler.sample(Mono(2_000_000_000), &[&meter], Depth::Row)[0];
        assert_eq!((after.memory_bytes, after.tasks, after.cpu_percent), (0, Some(0), 0.0));
        assert_eq!((open_below(&status), open_below(&dir)), (0, 2), "the process's is closed, the cgroup's are not");
        drop(meter);
        assert_eq!(open_below(&dir), 0, "nothing is left open of a proc that nobody measures");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_process_that_joins_is_counted_and_one_that_leaves_is_not() {
        let (dir, write) = directory("family");
        let children: Vec<Child> = (0..6).map(|_| sleeper()).collect();
        let procs = |children: &[Child]| children.iter().map(|child| format!("{}\n", child.id())).collect::<String>();
        let meter = meter(&dir, false, children[0].id() as i32);
        let sampler = Sampler::new(ALL);
        let tasks = |children: &[Child]| {
            write("cgroup.procs", &procs(children));
            sampler.sample(Mono(1), &[&meter], Depth::Row)[0].tasks
        };
        assert_eq!((tasks(&children[..1]), tasks(&children), tasks(&children[2..4])), (Some(1), Some(6), Some(2)));
        children.into_iter().for_each(end);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_memory_of_a_brief_look_is_that_of_a_long_one() {
        let (dir, write) = directory("brief");
        let child = sleeper();
        write("cgroup.procs", &format!("{}\n", child.id()));
        let meter = meter(&dir, false, child.id() as i32);
        // It may still be loading its program.
        let settled = std::iter::repeat_with(|| {
            [Depth::Brief, Depth::Whole, Depth::Brief]
                .map(|depth| Sampler::new(ALL).sample(Mono(1), &[&meter], depth)[0])
        });
        let mut memory = settled.map(|looks| looks.map(|figures| figures.memory_bytes)).take(100_000);
        assert!(memory.any(|[before, whole, after]| before == after && before == whole && before > 0));
        end(child);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_v2_directory_with_controllers_is_read_from_its_files() {
        let (dir, write) = directory("v2");
        write("cgroup.procs", "");
        write("memory.current", "3000\n");
        write("memory.peak", "5000\n");
        write("memory.stat", "anon 1000\nfile 2000\nshmem 10\nslab_unreclaimable 5\n");
        write("memory.swap.current", "7\n");
        write("pids.current", "4\n");
        write("cpu.stat", "usage_usec 250000\nuser_usec 1\n");
        let meter = meter(&dir, true, i32::MAX);
        let whole = Figures {
            memory_bytes: 3000,
            memory_peak_bytes: Some(5000),
            anon: Some(1000),
            file: Some(2000),
            cpu_percent: 25.0,
            cpu: std::time::Duration::from_millis(250),
            tasks: Some(4),
            fds: Some(0),
            sampled: false,
        };
        let row = Figures { anon: None, file: None, fds: None, ..whole };
        let brief = Figures { memory_peak_bytes: None, tasks: None, ..row };
        let sampler = Sampler::new(ALL);
        for (depth, expected) in [(Depth::Whole, whole), (Depth::Row, row), (Depth::Brief, brief)] {
            assert_eq!(sampler.sample(Mono(1_000_000_000), &[&meter], depth)[0], expected);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
