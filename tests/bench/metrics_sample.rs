//! How long it takes to learn what 300 instances use. Needs root: each sleeper is in a cgroup of its own, as instances
//! are, in the v2 hierarchy, or the part of it that hybrid hosts have. `cargo bench --bench metrics_sample`.

#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use stead::metrics::meter::{Cgroups, Depth, Meter};
use stead::metrics::sampler::Sampler;
use stead::model::time::Mono;

const INSTANCES: u64 = 300;

fn main() {
    let unified = Path::new("/sys/fs/cgroup/unified");
    let root = if unified.is_dir() { unified } else { Path::new("/sys/fs/cgroup") };
    let base = root.join(format!("stead-bench-{}", std::process::id()));
    fs::create_dir(&base).expect("root makes cgroups");
    let mut sleepers: Vec<(PathBuf, Child)> = (0..INSTANCES).map(|number| start(&base, number)).collect();
    let meters: Vec<Meter> = sleepers
        .iter()
        .map(|(dir, child)| {
            let tree = Some(dir.to_str().expect("a cgroup path is ASCII").to_owned());
            Meter::new(child.id() as i32, Mono(0), Cgroups { tree, ..Cgroups::default() })
        })
        .collect();
    let sampler = Sampler::new(i32::MAX);
    for depth in [Depth::Brief, Depth::Row, Depth::Whole] {
        let mut times: Vec<Duration> = (1..=21)
            .map(|round| {
                let began = Instant::now();
                let figures = sampler.sample(Mono(round * 1_000_000_000), &meters, depth);
                let took = began.elapsed();
                assert!(figures.iter().all(|f| f.memory_bytes > 0), "{figures:?}");
                took
            })
            .collect();
        println!("metrics of {INSTANCES} instances, {depth:?}: the first look {:?}", times[0]);
        times.sort_unstable();
        println!("    median {:?}, fastest {:?}", times[times.len() / 2], times[0]);
    }
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
