//! Shares of a CPU.
//! Owns: between which two moments a share is taken.
//! Never: reads a clock or a file; both come in.

use std::time::Duration;

use crate::model::time::Mono;

/// A CPU share over less time than this says more about the clock's ticks than about the app.
const SHORTEST: Duration = Duration::from_millis(500);

/// CPU time used up to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub at: Mono,
    pub cpu: Duration,
}

/// What was seen before of one proc.
#[derive(Debug, Default)]
pub struct Past {
    /// At least `SHORTEST` before `newer`.
    older: Option<Used>,
    newer: Option<Used>,
}

impl Past {
    /// The share of one core up to `now`, and `now` remembered if the last is old enough.
    pub fn share(&mut self, now: Used, started: Mono) -> f64 {
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
}
