//! `ListInstances` over the private socket of a running daemon: what a call takes, and what many of them leave to the
//! apps. Run by `tests/bench/run --only bus`, which starts the daemon and its instances:
//!
//!     bus_calls RUNTIME-DIR SECONDS RATE
//!
//! Prints one line of JSON: the median of 300 single calls in ms, and how many a second were answered at RATE.

#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::time::{Duration, Instant};

use stead::bus::proxy::Client;
use stead::model::status::Measure;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [dir, seconds, rate] = args.as_slice() else {
        // `cargo bench` without its harness.
        return println!("bus_calls: RUNTIME-DIR SECONDS RATE");
    };
    let (seconds, rate): (u64, u32) = (seconds.parse().expect("seconds"), rate.parse().expect("a rate"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = Client::connect(Path::new(dir)).await.expect("a daemon");
        let mut taken = Vec::new();
        for _ in 0..300 {
            let begun = Instant::now();
            client.list(&[], Measure::Full).await.expect("a list");
            taken.push(begun.elapsed());
        }
        taken.sort_unstable();
        let (mut answered, begun) = (0u32, Instant::now());
        while begun.elapsed() < Duration::from_secs(seconds) {
            // No more than asked for: it is the daemon that is looked at, not this program.
            let due = begun + Duration::from_secs(1) * answered / rate;
            tokio::time::sleep_until(due.into()).await;
            client.list(&["first".to_owned()], Measure::Nothing).await.expect("a list");
            answered += 1;
        }
        let per_second = f64::from(answered) / begun.elapsed().as_secs_f64();
        let median = taken[taken.len() / 2].as_secs_f64() * 1e3;
        println!("{{\"median_ms\": {median:.2}, \"per_second\": {per_second:.0}}}");
    });
}
