//! `ListInstances` over the private socket of a running daemon, all instances in each answer. Run by
//! `tests/bench/run --only bus`, which starts the daemon and its instances:
//!
//!     bus_calls RUNTIME-DIR MEASURE one             300 calls, one after the other: their median, in ms
//!     bus_calls RUNTIME-DIR MEASURE flood RATE      RATE calls a second, by two that ask, until its input ends: how many
//!                                                   were answered
//!
//! Prints the one number.

#![allow(clippy::disallowed_methods)]

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stead::bus::proxy::Client;
use stead::model::status::Measure;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // Without them it is `cargo bench`, which runs whatever has no harness.
    let [dir, measure, what @ ..] = args.as_slice() else { return println!("bus_calls: see its source") };
    let measure = match *measure {
        "nothing" => Measure::Nothing,
        "brief" => Measure::Brief,
        _ => Measure::Full,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = Client::connect(Path::new(dir)).await.expect("a daemon");
        match what {
            ["one"] => println!("{:.3}", one(&mut client, measure).await),
            ["flood", rate] => {
                let mut other = Client::connect(Path::new(dir)).await.expect("a daemon");
                let half = rate.parse::<u32>().expect("a rate") / 2;
                let ended = end_of_input();
                let both =
                    tokio::join!(flood(&mut client, measure, half, &ended), flood(&mut other, measure, half, &ended));
                println!("{:.1}", both.0 + both.1);
            }
            _ => panic!("one, or flood RATE"),
        }
    });
}

async fn one(client: &mut Client, measure: Measure) -> f64 {
    let mut taken = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        client.list(&[], measure).await.expect("a list");
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    taken[taken.len() / 2].as_secs_f64() * 1e3
}

fn end_of_input() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        seen.store(true, Ordering::Relaxed);
    });
    ended
}

/// Answered calls a second; never more than asked for: it is the daemon that is looked at, not this program.
async fn flood(client: &mut Client, measure: Measure, rate: u32, ended: &AtomicBool) -> f64 {
    let (mut answered, begun) = (0u32, Instant::now());
    while !ended.load(Ordering::Relaxed) {
        tokio::time::sleep_until((begun + Duration::from_secs(1) * answered / rate).into()).await;
        client.list(&[], measure).await.expect("a list");
        answered += 1;
    }
    f64::from(answered) / begun.elapsed().as_secs_f64()
}
