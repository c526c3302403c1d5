//! Restart delays and crash loops.
//! Owns: when a dead instance may come back, and when it has died too often to try.
//! Never: starts anything, reads a clock, or knows why the instance died beyond its `End`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::jitter::Jitter;
use crate::model::spec::{AppSpec, Restart};

/// The delay of the second restart in a row; the first is at once.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Where the exponential delay stops growing, before it is spread.
const LONGEST_DELAY: Duration = Duration::from_secs(15);
/// A run that was up this long starts the delays over.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);

/// What an instance's recent deaths add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crashes {
    /// Deaths in a row, each before ready or before `min_uptime`. What `max_restarts` counts.
    pub deaths: u32,
    /// Restarts in a row without one run that lasted. What the delay grows with.
    pub attempts: u32,
}

/// How a run ended, as far as a restart cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Exit code 0.
    pub clean: bool,
    /// An exit code of `stop_exit_codes`.
    pub stops: bool,
    pub was_ready: bool,
    /// From the program's first instruction to its death.
    pub up: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Again {
        after: Duration,
        /// How many restarts in a row this makes.
        attempts: u32,
    },
    /// The policy says that this death is an end.
    Rest,
    GiveUp {
        deaths: u32,
    },
}

/// What follows a death. Updates the counts.
pub fn next_verdict(spec: &AppSpec, crashes: &mut Crashes, end: End, jitter: &mut Jitter) -> Verdict {
    let lasted = |span: Duration| end.was_ready && end.up >= span;
    if lasted(FORGIVEN_AFTER) {
        crashes.attempts = 0;
    }
    crashes.deaths = if lasted(spec.min_uptime) { 0 } else { crashes.deaths.saturating_add(1) };
    if end.stops {
        return Verdict::Rest;
    }
    match spec.restart {
        Restart::Never => return Verdict::Rest,
        // Ready or not: a short job may well be over before anything could call it ready.
        Restart::OnFailure if end.clean => return Verdict::Rest,
        Restart::OnFailure | Restart::Always => {}
    }
    if spec.max_restarts > 0 && crashes.deaths >= spec.max_restarts {
        return Verdict::GiveUp { deaths: crashes.deaths };
    }
    let after = match spec.restart_delay {
        Some(delay) => delay,
        None => next_delay(spec.exp_backoff_restart_delay, crashes.attempts, jitter),
    };
    crashes.attempts = crashes.attempts.saturating_add(1);
    Verdict::Again { after, attempts: crashes.attempts }
}

/// How long a run that has grown too large is kept before it is replaced: an app that needs more than its soft limit at
/// all times would otherwise be replaced without end. Updates the count.
pub fn next_replacement(crashes: &mut Crashes, up: Duration, jitter: &mut Jitter) -> Duration {
    if up >= FORGIVEN_AFTER {
        crashes.attempts = 0;
    }
    let after = next_delay(None, crashes.attempts, jitter);
    crashes.attempts = crashes.attempts.saturating_add(1);
    after
}

/// At once, then 100 ms × 1.5ⁿ up to 15 s, spread. With a first delay: exactly that, then by the same rule from there on.
fn next_delay(first: Option<Duration>, attempts: u32, jitter: &mut Jitter) -> Duration {
    let (mut delay, grown) = match (first, attempts) {
        (first, 0) => return first.unwrap_or_default(),
        (Some(first), grown) => (first, grown),
        (None, attempts) => (FIRST_DELAY, attempts - 1),
    };
    for _ in 0..grown {
        delay = delay * 3 / 2;
        if delay >= LONGEST_DELAY {
            delay = LONGEST_DELAY;
            break;
        }
    }
    jitter.spread(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_fifteen_seconds_and_no_further() {
        let mut jitter = Jitter::new(1);
        assert_eq!(next_delay(None, 0, &mut jitter), Duration::ZERO);
        let mut floor = Duration::ZERO;
        for attempts in 1..40 {
            let delay = next_delay(None, attempts, &mut jitter);
            assert!(delay >= floor * 2 / 3, "{delay:?} after {floor:?}");
            assert!(delay <= LONGEST_DELAY * 6 / 5);
            floor = delay;
        }
        assert!(floor >= LONGEST_DELAY * 4 / 5);
    }

    #[test]
    fn a_first_delay_is_kept_exactly_and_grows_by_half() {
        let mut jitter = Jitter::new(1);
        let first = Some(Duration::from_secs(4));
        let delays: Vec<u128> = (0..5).map(|attempts| next_delay(first, attempts, &mut jitter).as_millis()).collect();
        assert_eq!(delays[0], 4000);
        for (delay, grown) in delays[1..].iter().zip([6000, 9000, 13_500, 15_000]) {
            assert!((grown * 4 / 5..=grown * 6 / 5).contains(delay), "{delays:?}");
        }
    }
}
