//! Memory, CPU and task limits, on whatever cgroup hierarchy this host has.

use crate::support::{Stead, program};

#[test]
fn over_memory_max_the_whole_instance_is_replaced_with_the_reason_oom() {
    let stead = Stead::new();
    let leaker = program("leaker");
    let steps = stead.path("steps");
    stead.run(&[
        "start",
        leaker.to_str().unwrap(),
        "--name",
        "leak",
        "--ready-on",
        "instant",
        "--memory-max",
        "32M",
        "--max-restarts",
        "2",
        // A slow machine takes its time to fill the memory; each death counts all the same.
        "--min-uptime",
        "10m",
        "--restart-delay",
        "0",
        "--",
        "200",
        &format!("file={}", steps.display()),
    ]);
    let row = stead.wait("leak/0", "errored", |row| row["status"] == "errored");
    assert_eq!(row["last_exit"]["reason"], "oom", "{row:#}");
    let most = largest_step(&std::fs::read_to_string(&steps).unwrap());
    assert!(most <= 32, "it reached {most} MiB of 32");
}

/// The last `step NS MIB` of any run.
fn largest_step(text: &str) -> u64 {
    text.lines().filter_map(|l| l.strip_prefix("step ")?.split(' ').nth(1)?.parse().ok()).max().unwrap_or(0)
}

#[test]
fn a_child_that_leaks_counts_and_takes_the_instance_with_it() {
    let stead = Stead::new();
    let leaker = program("leaker");
    stead.run(&[
        "start",
        leaker.to_str().unwrap(),
        "--name",
        "leak",
        "--ready-on",
        "instant",
        "--memory-max",
        "32M",
        "--max-restarts",
        "2",
        // A slow machine takes its time to fill the memory; each death counts all the same.
        "--min-uptime",
        "10m",
        "--restart-delay",
        "0",
        "--",
        "200",
        "child",
    ]);
    let row = stead.wait("leak/0", "errored", |row| row["status"] == "errored");
    assert_eq!(row["last_exit"]["reason"], "oom", "{row:#}");
}

#[test]
fn over_max_memory_restart_the_instance_is_replaced_gracefully() {
    let stead = Stead::new();
    let leaker = program("leaker");
    stead
        .run(&[
            "start",
            leaker.to_str().unwrap(),
            "--name",
            "leak",
            "--ready-on",
            "instant",
            "--max-memory-restart",
            "24M",
            "--",
            "40",
            "hold",
        ])
        .ok();
    let row = stead.wait("leak/0", "replaced", |row| row["last_exit"]["reason"] == "memory");
    // The leaker dies of SIGTERM: a graceful stop, not a kill.
    assert_eq!(row["last_exit"]["signal"], "SIGTERM", "{row:#}");
}

#[test]
fn page_cache_does_not_count_for_max_memory_restart() {
    let stead = Stead::new();
    // On a disk: what is written to a tmpfs is memory, and counts.
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("big-{}", std::process::id()));
    std::fs::write(&file, vec![7u8; 64 << 20]).unwrap();
    let line = format!("while :; do cat {0} > {0}.copy; echo read; done", file.display());
    stead
        .run(&[
            "start",
            "sh",
            "--name",
            "cache",
            "--ready-on",
            "instant",
            "--max-memory-restart",
            "24M",
            "--",
            "-c",
            &line,
        ])
        .ok();
    // Three rounds of 64 MiB through the page cache of its cgroup.
    stead.wait("cache/0", "three rounds", |_| {
        stead.run(&["logs", "cache", "--no-follow", "--lines", "10"]).out.matches("read").count() >= 3
    });
    let row = stead.instance("cache/0");
    assert!(row["last_exit"].is_null(), "{row:#}");
    assert_eq!(row["restarts"], 0);
    stead.run(&["stop", "cache"]).ok();
    std::fs::remove_file(file.with_extension("copy")).unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_cpu_limit_is_written_where_the_kernel_reads_it() {
    let stead = Stead::new();
    let sleeper = program("sleeper");
    stead
        .run(&[
            "start",
            sleeper.to_str().unwrap(),
            "--name",
            "s",
            "--ready-on",
            "instant",
            "--cpu-max",
            "50%",
            "--cpu-weight",
            "200",
        ])
        .ok();
    let run = stead.instance("s/0")["cgroup"].as_str().unwrap().rsplit_once("app-").unwrap().1.to_owned();
    let read = |file: &str| {
        stead.cgroups().iter().find_map(|base| std::fs::read_to_string(base.join(format!("app-{run}")).join(file)).ok())
    };
    let quota = read("cpu.max").or_else(|| read("cpu.cfs_quota_us")).expect("no CPU limit is set");
    assert!(quota.trim() == "50000" || quota.trim() == "50000 100000", "{quota}");
}
