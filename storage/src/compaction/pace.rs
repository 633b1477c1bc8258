//! How fast compaction works, so that ingest and queries keep their speed.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::SharedClock;
use crate::model::Timestamp;

/// Rows' bytes that may be worked on at once after a pause.
const BURST: Duration = Duration::from_millis(250);
/// Longest sleep for one piece of work: a clock that is set back must not stop compaction.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// A budget of bytes a second, by the injected clock. Other tasks of the runtime get their turn after each piece of work
/// whatever the budget.
#[derive(Debug)]
pub struct Pace {
    clock: SharedClock,
    /// 0 is no limit.
    bytes_per_second: u64,
    /// Up to when the budget is spent.
    spent_until: Mutex<Timestamp>,
}

impl Pace {
    /// At most `bytes_per_second` bytes of rows before encoding; 0 means as fast as it goes.
    pub fn new(clock: SharedClock, bytes_per_second: u64) -> Self {
        Pace {
            clock,
            bytes_per_second,
            spent_until: Mutex::new(Timestamp::MIN),
        }
    }

    /// Accounts for work on `bytes`, then waits until the next piece may begin.
    pub async fn spend(&self, bytes: u64) {
        tokio::task::yield_now().await;
        let wait = self.wait_after(bytes);
        if !wait.is_zero() {
            tokio::time::sleep(wait.min(MAX_SLEEP)).await;
        }
    }

    fn wait_after(&self, bytes: u64) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let burst = BURST.as_nanos() as i64;
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let mut until = self.spent_until.lock();
        let from = (*until).max(now.saturating_sub(burst));
        // A clock that was set back leaves no debt behind.
        let from = from.min(now.saturating_add(MAX_SLEEP.as_nanos() as i64));
        *until = from.saturating_add(i64::try_from(cost).unwrap_or(i64::MAX));
        Duration::from_nanos(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::ManualClock;

    #[test]
    fn work_beyond_the_budget_waits_and_a_pause_saves_little() {
        let clock = ManualClock::new(0);
        let pace = Pace::new(Arc::new(clock.clone()), 1000);
        let ms = Duration::from_millis;
        assert_eq!(pace.wait_after(100), ms(0), "inside the burst");
        assert_eq!(pace.wait_after(250), ms(100));
        assert_eq!(pace.wait_after(1000), ms(1100));
        clock.advance(ms(1100));
        assert_eq!(pace.wait_after(10), ms(10));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(pace.wait_after(250), ms(0), "an hour's pause is worth one burst");
        assert_eq!(pace.wait_after(5), ms(5));
        clock.set(0);
        assert!(pace.wait_after(10) <= MAX_SLEEP + ms(10), "a clock that was set back");
        assert_eq!(Pace::new(Arc::new(clock), 0).wait_after(u64::MAX), ms(0));
    }
}
