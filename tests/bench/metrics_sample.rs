//! How long it takes to learn what 300 instances use. Needs root: each sleeper is in a cgroup of its own, as instances
//! are, in the v2 hierarchy, or the part of it that hybrid hosts have. `cargo bench --bench metrics_sample`.

#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use stead::metrics::sampler::{Cgroups, Fds, Sampler, Target};
use stead::model::time::Mono;

const INSTANCES: u64 = 300;

fn main() {
    let unified = Path::new("/sys/fs/cgroup/unified");
    let root = if unified.is_dir() { unified } else { Path::new("/sys/fs/cgroup") };
    let base = root.join(format!("stead-bench-{}", std::process::id()));
    fs::create_dir(&base).expect("root makes cgroups");
    let mut sleepers: Vec<(PathBuf, Child)> = (0..INSTANCES).map(|number| start(&base, number)).collect();
    let targets: Vec<Target> = sleepers
        .iter()
        .zip(0..)
        .map(|((dir, child), key)| {
            let tree = Some(dir.to_str().expect("a cgroup path is ASCII").to_owned());
            let cgroups = Cgroups { tree, ..Cgroups::default() };
            Target { key, pid: child.id() as i32, started: Mono(0), cgroups }
        })
        .collect();
    let mut sampler = Sampler::new();
    let mut times: Vec<Duration> = (1..=21)
        .map(|round| {
            let began = Instant::now();
            let figures = sampler.sample(Mono(round * 1_000_000_000), &targets, Fds::Count);
            let took = began.elapsed();
            assert!(figures.iter().all(|f| f.tasks == 1 && f.fds >= 3 && f.memory_bytes > 0), "{figures:?}");
            took
        })
        .collect();
    times.sort_unstable();
    println!("metrics of {INSTANCES} instances: median {:?}, fastest {:?}", times[times.len() / 2], times[0]);
    for (dir, child) in &mut sleepers {
        child.kill().and_then(|()| child.wait()).expect("our own child");
        fs::remove_dir(dir).expect("an empty cgroup");
    }
    fs::remove_dir(&base).expect("an empty cgroup");
}

fn start(base: &Path, number: u64) -> (PathBuf, Child) {
    let dir = base.join(number.to_string());
    fs::create_dir(&dir).expect("root makes cgroups");
    let child = Command::new("sleep").arg("1000").spawn().expect("sleep is installed");
    fs::write(dir.join("cgroup.procs"), child.id().to_string()).expect("root moves processes");
    (dir, child)
}
