//! When and how often a request to the object store is tried again.

use std::time::Duration;

use object_store::Error as StoreError;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Timeouts and retries of a bucket. object_store's own retries are switched off, so these are the only ones.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// One request may take this long, plus a second for each `bytes_per_second` it moves.
    pub request_timeout: Duration,
    /// The slowest link that is still waited for.
    pub bytes_per_second: u64,
    /// Tries in all, the first included.
    pub max_attempts: u32,
    /// Upper bound of the first wait; doubles with each try. The wait is drawn evenly from zero to its bound.
    pub backoff_initial: Duration,
    /// Upper bound of every wait.
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            request_timeout: Duration::from_secs(15),
            bytes_per_second: 256 << 10,
            max_attempts: 5,
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// How long one try that moves `bytes` may take.
    pub(super) fn timeout(&self, bytes: u64) -> Duration {
        self.request_timeout + Duration::from_secs(bytes / self.bytes_per_second.max(1))
    }
}

/// Draws waits: exponential bounds with full jitter, from a seeded generator so that simulations repeat.
#[derive(Debug)]
pub(crate) struct Jitter(Mutex<StdRng>);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Jitter(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// The wait after failed try number `attempt` (from 1).
    pub(crate) fn wait(&self, initial: Duration, max: Duration, attempt: u32) -> Duration {
        let bound = initial
            .saturating_mul(1u32 << attempt.saturating_sub(1).min(16))
            .min(max);
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.0.lock().random_range(0..=micros))
    }
}

/// Whether the same request may succeed later. Everything the store says about the request itself is final; all else
/// (5xx, throttling, broken connections) reaches us as a generic error.
pub(super) fn is_transient(error: &StoreError) -> bool {
    matches!(error, StoreError::Generic { .. } | StoreError::JoinError { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_their_bounds_and_repeat_with_the_seed() {
        let draw = |seed| {
            let jitter = Jitter::new(seed);
            (1..40)
                .map(|n| jitter.wait(Duration::from_millis(100), Duration::from_secs(5), n))
                .collect::<Vec<_>>()
        };
        assert!(draw(1).iter().all(|w| *w <= Duration::from_secs(5)));
        assert!(draw(1)[0] <= Duration::from_millis(100));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
