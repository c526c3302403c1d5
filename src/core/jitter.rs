//! Chance, small and reproducible.
//! Owns: the one source of randomness in the core, so that apps that die together do not come back together.
//! Never: asks the system for entropy; the seed is given once and the state is saved with the rest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, good enough to spread restarts, useless for secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jitter(u64);

impl Jitter {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `span`, up to a fifth shorter or longer.
    pub fn spread(&mut self, span: Duration) -> Duration {
        let permille = 800 + self.next() % 401;
        Duration::from_nanos((span.as_nanos() * u128::from(permille) / 1000) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_spread_and_it_stays_within_a_fifth() {
        let (mut a, mut b) = (Jitter::new(7), Jitter::new(7));
        let span = Duration::from_secs(10);
        for _ in 0..1000 {
            let spread = a.spread(span);
            assert_eq!(spread, b.spread(span));
            assert!((Duration::from_secs(8)..=Duration::from_secs(12)).contains(&spread), "{spread:?}");
        }
    }
}
