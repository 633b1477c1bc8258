//! When it is worth waiting a moment for more appends before a group is written.
//!
//! Senders wait for their answer before they send again. Of four connections three could be answered by each sync while the
//! fourth just missed it, or two and two take turns; either way most syncs are wasted. Whoever was answered or came while the
//! last group was written is likely to come again soon, so the next group waits for as many, about as long as a sync takes.
//! Where they do not come, the wait shrinks.

use std::time::Duration;

/// A group waits as long as a sync takes, but at least this: a sync also costs CPU, a tenth of a millisecond ...
const MIN_WAIT: Duration = Duration::from_millis(1);
/// ... and at most this: it is latency.
const MAX_WAIT: Duration = Duration::from_millis(2);
/// Of that, a group waits at first 1 / this ...
const LONGEST_WAIT: u32 = 1;
/// ... and, where waiting was in vain, down to 1 / this ...
const SHORTEST_WAIT: u32 = 32;
/// ... until this many groups later it is tried again.
const TRY_AGAIN_AFTER: u32 = 256;

/// What the groups so far teach about the next.
#[derive(Debug)]
pub(super) struct Pace {
    expected: usize,
    sync_time: Duration,
    fraction: u32,
    groups: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            expected: 1,
            sync_time: Duration::ZERO,
            fraction: LONGEST_WAIT,
            groups: 0,
        }
    }
}

impl Pace {
    /// Appends that the next group is likely to get.
    pub fn expected(&self) -> usize {
        self.expected
    }

    /// How long to wait for them.
    pub fn patience(&self) -> Duration {
        self.sync_time.clamp(MIN_WAIT, MAX_WAIT) / self.fraction
    }

    /// A group of `written` appends was written and synced in `took`; `arrived` came in the meantime.
    pub fn note(&mut self, written: usize, arrived: usize, took: Duration) {
        self.groups = (self.groups + 1) % TRY_AGAIN_AFTER;
        self.fraction = if self.groups == 0 {
            LONGEST_WAIT
        } else if written < self.expected {
            (self.fraction * 2).min(SHORTEST_WAIT)
        } else {
            (self.fraction / 2).max(LONGEST_WAIT)
        };
        self.expected = written + arrived;
        self.sync_time = (self.sync_time * 3 + took) / 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_sender_never_waits_and_turns_become_one_group() {
        let sync = Duration::from_millis(2);
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.note(1, 0, sync);
            assert_eq!(pace.expected(), 1);
        }
        // Two and two take turns: from now on the next group is worth waiting for all four.
        pace.note(2, 2, sync);
        assert_eq!(pace.expected(), 4);
        assert!(pace.patience() > sync / 2 && pace.patience() <= sync);
        pace.note(4, 0, sync);
        assert_eq!(pace.expected(), 4);
    }

    #[test]
    fn waiting_in_vain_gets_short() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.note(1, 1, Duration::from_millis(3));
        }
        assert!(pace.patience() < Duration::from_micros(150), "{:?}", pace.patience());
        pace.note(1, 0, Duration::from_secs(9));
        assert!(pace.patience() <= MAX_WAIT);
    }
}
